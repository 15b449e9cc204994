"""Frames that are ready together are written together, whole and in order."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from connect.transport.websocket import WebSocket, open_session


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[WebSocket, list[aiohttp.WSMessage]]]:
    """A WebSocket, and what its server hears until it is closed."""
    heard: list[aiohttp.WSMessage] = []

    async def serve(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(max_msg_size=0)
        await socket.prepare(request)
        heard.extend([message async for message in socket])
        return socket

    app = web.Application()
    app.router.add_get("/", serve)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        async with open_session() as session:
            socket = await session.ws_connect("http://{}:{}".format(*runner.addresses[0][:2]), compress=0)
            assert isinstance(socket, WebSocket)
            yield socket, heard
            await socket.close()
    finally:
        await runner.cleanup()


class Counting:
    """A transport that counts what is written through it."""

    def __init__(self, transport: object) -> None:
        self._transport = transport
        self.writes: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.writes.append(data)
        self._transport.write(data)  # type: ignore[attr-defined]

    def __getattr__(self, name: str) -> object:
        return getattr(self._transport, name)


def counted(socket: WebSocket) -> Counting:
    piece = socket._batch
    piece._transport = counting = Counting(piece._transport)
    return counting


@pytest.mark.parametrize("sizes", [[0, 1, 125, 126, 65_535, 65_536, 1 << 20, 3], [600] * 200, [4 << 20]])
async def test_all_frames_arrive_in_order(sizes: list[int]) -> None:
    frames = [bytes([number % 251]) * size for number, size in enumerate(sizes)]
    async with connected() as (socket, heard):
        await socket.send_together(frames)
        await socket.send_bytes(b"after")
    assert [message.data for message in heard] == [*frames, b"after"]


async def test_a_hundred_frames_are_one_write() -> None:
    async with connected() as (socket, _):
        counting = counted(socket)
        await socket.send_together([b"frame"] * 100)
        assert len(counting.writes) == 1
        await socket.send_bytes(b"alone")
        assert len(counting.writes) == 2


async def test_where_one_frame_cannot_be_written_none_is() -> None:
    async with connected() as (socket, heard):
        with pytest.raises(TypeError):
            await socket.send_together([b"one", b"two", "no bytes"])  # type: ignore[list-item]
        await socket.send_bytes(b"three")
    assert [message.data for message in heard] == [b"three"]


async def test_nothing_is_written_to_a_closed_socket() -> None:
    async with connected() as (socket, heard):
        await socket.close()
        with pytest.raises(aiohttp.ClientConnectionError):
            await socket.send_together([b"late"])
    assert heard == []
