"""A channel over a real WebSocket.

The far end is a WebSocket of aiohttp's server, which the test reads, writes and breaks as it likes.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import web

from connect.transport.channel import Channel, Frame
from connect.transport.websocket import WebSocket, open_session, open_socket

MIB = 1024 * 1024


class Far:
    """The peer's end: `socket` speaks, and once `read()` was called, what comes is heard."""

    def __init__(self, request: web.Request, end: web.WebSocketResponse) -> None:
        self.request = request
        self.socket = end
        self.heard: list[Any] = []
        self.news = asyncio.Event()
        self.over = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None

    def read(self) -> None:
        """Read from here on, to the end."""
        if self._reading is None:
            self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for message in self.socket:
            self.heard.append(message.data)
            self.news.set()

    def write_raw(self, data: bytes) -> None:
        """Put bytes on the wire at once, whatever they are."""
        assert self.request.transport
        self.request.transport.write(data)

    def abort(self) -> None:
        """The connection is gone, without a close frame."""
        assert self.request.transport
        self.request.transport.abort()


class Near:
    """A channel with everything that it told."""

    def __init__(self, end: WebSocket, far: Far) -> None:
        self.far = far
        self.received: list[bytes | None] = []
        self.ended: list[Exception] = []
        self.written: list[tuple[Any, bool]] = []
        self.news = asyncio.Event()
        self.is_broken = False
        self.socket = end
        self.channel = Channel(end, self.receive, self.end)

    def receive(self, frame: bytes | None) -> None:
        if self.is_broken:
            raise ZeroDivisionError("a bug")
        self.received.append(frame)
        self.news.set()

    def end(self, error: Exception) -> None:
        self.ended.append(error)
        self.news.set()

    def refuse_writing(self) -> None:
        """Have the next write fail as aiohttp lets one fail on a socket that is being closed."""

        async def refused(_: Sequence[bytes]) -> None:
            raise aiohttp.ClientConnectionResetError("Cannot write to closing transport")

        self.socket.send_together = refused  # type: ignore[method-assign]

    def send(self, frame: Frame, name: Any = None, kept: int = 0) -> None:
        """Send *frame*; what becomes of it is noted under *name*."""

        def tell(written: bool) -> None:
            self.written.append((name, written))
            self.news.set()

        self.channel.send(frame, tell, kept)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Until *condition* holds, asked after each piece of news from either end."""
        async with asyncio.timeout(20):
            while not condition():
                self.news.clear()
                self.far.news.clear()
                waits = [asyncio.ensure_future(self.news.wait()), asyncio.ensure_future(self.far.news.wait())]
                try:
                    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for wait in waits:
                        wait.cancel()

    async def ends(self) -> Exception:
        """Until the channel says why it ended."""
        await self.until(lambda: bool(self.ended))
        return self.ended[0]


@asynccontextmanager
async def opened() -> AsyncIterator[Near]:
    """A channel, and the far end of its WebSocket; the channel is closed at the end, and leaves no task."""
    ends: asyncio.Queue[Far] = asyncio.Queue()

    async def serve(request: web.Request) -> web.WebSocketResponse:
        far = Far(request, web.WebSocketResponse(max_msg_size=0, timeout=0.2))
        await far.socket.prepare(request)
        ends.put_nowait(far)
        await far.over.wait()
        return far.socket

    app = web.Application()
    app.router.add_get("/", serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)  # what waits for the far end waits at this one
    listening.bind(("127.0.0.1", 0))
    await web.SockSite(runner, listening).start()
    before = asyncio.all_tasks()
    try:
        async with open_session() as session:
            near = Near(await open_socket(session, f"ws://127.0.0.1:{runner.addresses[0][1]}/"), await ends.get())
            try:
                yield near
            finally:
                near.far.read()
                await near.channel.close(1000, b"")
                assert not [task for task in asyncio.all_tasks() - before if task.get_name().startswith("link-")]
                near.far.over.set()
    finally:
        await runner.cleanup()
