"""What `connect.transport.websocket` needs of aiohttp's writer, and what it does with a writer that lacks it."""

import asyncio
import importlib.metadata
import logging
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import aiohttp.client
import pytest

from connect.transport import connector, websocket
from connect.transport.channel import Channel
from tests.transport.test_websocket import connected

AIOHTTP = f"aiohttp {importlib.metadata.version('aiohttp')}"

try:
    from aiohttp.client import WebSocketWriter
except ImportError as error:
    pytest.fail(f"{AIOHTTP}: {error}; what these tests put another writer in place of", pytrace=False)


CONTEXTS = """
import ssl
from connect import connect
from aiohttp import connector
print(*(type(each).__name__ for each in vars(connector).values() if isinstance(each, ssl.SSLContext)))
"""


class Hidden:
    """A writer that has no transport."""

    __slots__ = ("_inner",)

    def __init__(self, *given: Any, **named: Any) -> None:
        self._inner = WebSocketWriter(*given, **named)

    async def send_frame(self, *given: Any, **named: Any) -> None:
        await self._inner.send_frame(*given, **named)

    async def close(self, *given: Any, **named: Any) -> None:
        await self._inner.close(*given, **named)


class Fixed(Hidden):
    """A writer whose transport can be read and not replaced."""

    __slots__ = ()

    @property
    def transport(self) -> Any:
        return self._inner.transport


class Copied(Hidden):
    """A writer whose transport can be replaced, but which goes on writing through the first one."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.transport = self._inner.transport


@pytest.fixture
def fresh() -> Iterator[None]:
    """A warning that is given once in a process is given again."""
    websocket._warn_once.cache_clear()
    yield
    websocket._warn_once.cache_clear()


@pytest.fixture(params=[Hidden, Fixed, Copied])
def changed(request: pytest.FixtureRequest, fresh: None, monkeypatch: pytest.MonkeyPatch) -> type:
    """aiohttp with another writer."""
    kind: type = request.param
    monkeypatch.setattr(aiohttp.client, "WebSocketWriter", kind)
    return kind


async def test_frames_are_written_without_waiting() -> None:
    async with connected() as (socket, heard):
        for _ in range(100):
            assert socket.send_at_once([bytes(1024)] * 10), f"{AIOHTTP}: its `send_bytes` waits for something"
            await asyncio.sleep(0.001)
    assert len(heard) == 1000


async def test_the_installed_aiohttp_lets_frames_be_joined(fresh: None) -> None:
    async with connected() as (socket, _):
        await socket.send_together([b"one", b"two"])
        assert socket.joins_frames, f"{AIOHTTP}: its writer no longer writes through an assigned `transport`"


async def test_the_installed_aiohttp_reads_through_what_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[object] = []
    read = websocket._FairReader.read

    async def noted(reader: websocket._FairReader) -> Any:
        reads.append(await read(reader))
        return reads[-1]

    monkeypatch.setattr(websocket._FairReader, "read", noted)
    async with connected() as (socket, _):
        await socket.close()
    assert reads, f"{AIOHTTP}: it no longer reads a WebSocket by `read()` of its first argument"


async def test_with_another_writer_all_frames_arrive_in_order(changed: type) -> None:
    frames = [bytes([number]) * 600 for number in range(200)] + [b"x" * (1 << 20), b""]
    async with connected() as (socket, heard):
        await socket.send_together(frames[:100])
        assert not socket.joins_frames
        await socket.send_together(frames[100:])
        await socket.send_bytes(b"after")
    assert [message.data for message in heard] == [*frames, b"after"]


async def test_with_another_writer_none_is_written_where_one_cannot_be(changed: type) -> None:
    async with connected() as (socket, heard):
        await socket.send_together([b"one"])
        with pytest.raises(TypeError):
            await socket.send_together([b"two", "no bytes"])  # type: ignore[list-item]
    assert [message.data for message in heard] == [b"one"]


async def test_with_another_writer_it_is_said_once(changed: type, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "connect.link")
    for _ in range(2):
        async with connected() as (socket, _):
            await socket.send_together([b"one"])
    [said] = caplog.messages
    assert f"one by one, which takes more CPU and loses nothing: {AIOHTTP}: " in said


async def test_with_another_writer_a_channel_knows_of_each_frame_whether_it_was_written(changed: type) -> None:
    frames = [bytes([number]) for number in range(50)]
    written: list[tuple[bytes, bool]] = []
    async with connected() as (socket, heard):
        await socket.send_together([b"first"])
        channel = Channel(socket, lambda _: None, lambda _: None)
        taken: list[int] = []
        piece = channel._next_batch
        channel._next_batch = lambda: taken.append(len(piece())) or piece()  # type: ignore[method-assign, func-returns-value]
        for frame in frames:
            channel.send(frame, lambda went, frame=frame: written.append((frame, went)))  # type: ignore[misc]
        await channel.close(1000, b"")
    assert written == [(frame, True) for frame in frames]
    assert taken == [1] * len(frames), "a cancel between two frames of a piece could not take the first one back"
    assert [message.data for message in heard] == [b"first", *frames]


async def test_a_writer_may_hand_over_parts() -> None:
    """A transport also has `writelines`, and other methods that a release may call."""
    async with connected() as (socket, _):
        piece = socket._batch
        assert piece
        with piece:
            piece.writelines([b"one", b"two"])
            assert piece._parts == [b"onetwo"]
            piece._parts.clear()
        assert piece.get_extra_info("peername")


async def test_the_installed_aiohttp_asks_our_connector(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []
    create = connector.Connector._create_connection

    async def noted(self: connector.Connector, request: aiohttp.ClientRequest, *given: Any) -> Any:
        made.append(request.proxy)
        assert request.connection_key
        return await create(self, request, *given)

    monkeypatch.setattr(connector.Connector, "_create_connection", noted)
    async with connected() as (socket, _):
        await socket.close()
    assert made == [None], f"{AIOHTTP}: it no longer asks a connector for connections by `_create_connection`"


def test_the_installed_aiohttp_reads_certificates_as_late_as_it_is_told() -> None:
    ran = subprocess.run([sys.executable, "-c", CONTEXTS], capture_output=True, text=True, check=True)  # noqa: S603
    assert set(ran.stdout.split()) == {"LateContext"}, AIOHTTP
