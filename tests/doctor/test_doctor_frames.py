"""The frames that the doctor reads from a gateway: a gateway that floods it costs no memory."""

import tracemalloc
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from connect.doctor.frames import FRAME_BYTES, FRAMES, Frames
from connect.errors import ProtocolError
from connect.transport.websocket import READ_LIMIT, open_session, open_socket
from connect.wire import codec
from connect.wire.codec import Kind

MIB = 1 << 20


@pytest.fixture
async def flooding(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """The address of a gateway that says hello, then sends 100 MiB in frames of the test's size, and hangs up."""

    async def serve(asked: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(asked)
        await socket.send_bytes(codec.encode(Kind.GATEWAY_HELLO))
        for _ in range(100 * MIB // request.param):
            await socket.send_bytes(bytes(request.param))
        await socket.close()
        return socket

    app = web.Application()
    app.router.add_get("/", serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"ws://127.0.0.1:{runner.addresses[0][1]}/"
    await runner.cleanup()


@pytest.mark.parametrize("flooding", [FRAME_BYTES, FRAME_BYTES + 1, 8 * MIB], indirect=True)
async def test_a_flood_of_frames_is_not_kept(flooding: str) -> None:
    async with open_session() as session:
        socket = await open_socket(session, flooding)
        tracemalloc.start()
        frames = Frames(socket)
        assert (await frames.receive(Kind.GATEWAY_HELLO)).kind == Kind.GATEWAY_HELLO
        with pytest.raises(ProtocolError):
            await frames.receive(Kind.GATEWAY_CONNECTION_READY)
        await frames._channel._reader
        kept, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert kept < 2 * FRAMES * FRAME_BYTES + 2 * READ_LIMIT, "a socket that is read no more keeps two messages"
        await frames.close()
