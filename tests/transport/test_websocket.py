"""A WebSocket to a gateway: how it is opened, and that frames which are ready together are written together, whole and in order."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from connect.transport.websocket import READ_LIMIT, WebSocket, open_session, open_socket, why_not_open
from connect.wire.codec import SUBPROTOCOL


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


async def test_frames_are_written_at_once_while_no_others_wait() -> None:
    async with connected() as (socket, heard):
        counting = counted(socket)
        assert socket.send_at_once([b"one", b"two"])
        assert len(counting.writes) == 1
        await socket.send_bytes(b"three")
    assert [message.data for message in heard] == [b"one", b"two", b"three"]


async def test_while_bytes_wait_nothing_is_written_at_once() -> None:
    """aiohttp would wait until its peer reads, which only a task can."""
    async with connected() as (socket, heard):
        counting = counted(socket)
        counting.get_write_buffer_size = lambda: 1  # type: ignore[attr-defined]
        assert not socket.send_at_once([b"one"])
        assert counting.writes == []
        del counting.get_write_buffer_size  # type: ignore[attr-defined]
        await socket.send_together([b"one"])
    assert [message.data for message in heard] == [b"one"]


async def test_what_cannot_be_written_at_once_is_left_to_be_written_later() -> None:
    async with connected() as (socket, heard):
        await socket.close()
        assert not socket.send_at_once([b"late"])
    assert heard == []


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


# -- opening -------------------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def gateway(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    """A server that hands each request to *handler*; its WebSocket address."""
    app = web.Application()
    app.router.add_get("/", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"ws://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


async def test_a_gateway_is_asked_for_the_protocols_subprotocol_and_no_compression() -> None:
    asked: list[web.Request] = []

    async def accept(request: web.Request) -> web.WebSocketResponse:
        asked.append(request)
        socket = web.WebSocketResponse(protocols=(SUBPROTOCOL,))
        await socket.prepare(request)
        return socket

    async with gateway(accept) as url, open_session() as session:
        socket = await open_socket(session, url)
        assert isinstance(socket, WebSocket)
        assert socket.protocol == SUBPROTOCOL == "v0.connect.inngest.com"
        assert socket.joins_frames
        await socket.close()
    assert asked[0].headers["Sec-WebSocket-Protocol"] == SUBPROTOCOL
    assert "Sec-WebSocket-Extensions" not in asked[0].headers


@pytest.mark.parametrize(("size", "kind"), [(7 << 20, "BINARY"), (READ_LIMIT + 1, "ERROR")])
async def test_a_message_is_read_up_to_the_limit(size: int, kind: str) -> None:
    """aiohttp closes a socket over a larger one with 1009."""

    async def send(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        with contextlib.suppress(ConnectionError):
            await socket.send_bytes(bytes(size))
        await socket.receive()
        return socket

    async with gateway(send) as url, open_session() as session:
        socket = await open_socket(session, url)
        message = await socket.receive()
        assert message.type is aiohttp.WSMsgType[kind]
        await socket.close()


@pytest.mark.parametrize("status", [200, 403, 404, 503])
async def test_a_gateway_that_refuses_the_upgrade_is_an_error_with_its_status(status: int) -> None:
    async def refuse(_: web.Request) -> web.Response:
        return web.Response(status=status)

    async with gateway(refuse) as url, open_session() as session:
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await open_socket(session, url)
        assert caught.value.status == status


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("wss://me:word@other:99/x?token=word", "other:99"),
        ("/elsewhere", "127.0.0.1:{port}"),
        ("", "127.0.0.1:{port}"),
        ("ws://[::1", "what is no address"),
        ("mailto:me@other", "no host"),
    ],
)
async def test_a_redirect_is_refused_with_its_status_and_the_host_that_it_names(
    status: int, location: str, shown: str
) -> None:
    """aiohttp would follow it."""
    asked = []

    async def redirect(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(status=status, headers={"Location": location})

    async with gateway(redirect) as url, open_session() as session:
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await open_socket(session, url)
        host = shown.format(port=url.split(":")[2].strip("/"))
        said = f"{url} refused the WebSocket with status {status}: a redirect to {host}, which is not followed"
        assert why_not_open(url, caught.value) == said
    assert len(asked) == 1


async def test_a_gateway_that_is_not_there_is_an_error() -> None:
    async with await asyncio.start_server(lambda *_: None, "127.0.0.1", 0) as closed_soon:
        port = closed_soon.sockets[0].getsockname()[1]
    async with open_session() as session:
        with pytest.raises(aiohttp.ClientConnectorError):
            await open_socket(session, f"ws://127.0.0.1:{port}/")


@pytest.mark.parametrize("url", ["ws://a.example:99999/", "ws://a.example:x", "ws://[::1", "ws://"])
async def test_an_address_that_is_none_is_an_error_that_shows_it(url: str) -> None:
    async with open_session() as session:
        with pytest.raises(ValueError, match=r"gateway endpoint .* its host or port is not valid") as failed:
            await open_socket(session, url)
        assert url in str(failed.value)
