"""A hostile peer for a worker in a process of its own: an API, and a gateway that a test scripts byte by byte."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
from aiohttp import WSMsgType, web

from connect import wire
from connect.wire import codec, ulid
from connect.wire.codec import Kind

MIB = 1024 * 1024
WORKER = Path(__file__).with_name("flooded.py")


def raw(payload: bytes, opcode: int = 2, fin: bool = True) -> bytes:
    """A WebSocket frame as a server writes it. *opcode*: 2 is binary, 1 text, 9 a ping, 10 a pong, 0 goes on with a message."""
    head = bytes([(0x80 if fin else 0) | opcode])
    if len(payload) < 126:
        return head + bytes([len(payload)]) + payload
    if len(payload) < 65536:
        return head + b"\x7e" + len(payload).to_bytes(2) + payload
    return head + b"\x7f" + len(payload).to_bytes(8) + payload


def frame(kind: int, payload: Any = b"") -> bytes:
    """A binary frame with a message of *kind*."""
    return raw(codec.encode(kind, payload))  # type: ignore[arg-type]


def request(request_id: str, slug: str, padding: int = 0) -> bytes:
    """A frame with GATEWAY_EXECUTOR_REQUEST, whose event has *padding* bytes of data."""
    event = {"id": "event", "name": "event", "data": {"padding": "x" * padding}, "ts": 1}
    context = {
        "attempt": 0,
        "disable_immediate_execution": False,
        "fn_id": slug,
        "run_id": request_id,
        "stack": {"stack": [], "current": 0},
    }
    payload = {"ctx": context, "event": event, "events": [event], "steps": {}, "use_api": False}
    data = wire.GatewayExecutorRequestData(
        request_id=request_id,
        account_id="account",
        env_id="env",
        app_id="app",
        app_name="app",
        function_slug=slug,
        request_payload=json.dumps(payload).encode(),
        run_id=request_id,
        lease_id=ulid.new(),
    )
    return frame(Kind.GATEWAY_EXECUTOR_REQUEST, data)


class Link:
    """The gateway's end of one link."""

    def __init__(self, asked: web.Request, end: web.WebSocketResponse) -> None:
        assert asked.transport
        self.transport: asyncio.Transport = asked.transport  # type: ignore[assignment]
        self.asked = asked
        self.end = end
        self.heard: list[int] = []
        self.heard_at: list[float] = []
        self.ended = asyncio.Event()
        self.news = asyncio.Event()
        self._writing = asyncio.Lock()

    async def write(self, data: bytes) -> None:
        """Put *data* on the wire, as fast as the worker reads. Raises: ConnectionError: the link has ended."""
        view = memoryview(data)
        async with self._writing:  # a frame must not begin inside another
            for begin in range(0, len(view), 64 * 1024):
                if self.ended.is_set() or self.transport.is_closing():
                    raise ConnectionResetError("the link has ended")
                self.transport.write(bytes(view[begin : begin + 64 * 1024]))
                await self.drained()

    async def drained(self) -> None:
        # a transport has no event for it
        while self.transport.get_write_buffer_size() > 128 * 1024 and not self.transport.is_closing():  # noqa: ASYNC110
            await asyncio.sleep(0.001)

    async def listen(self) -> None:
        """Read to the end; heartbeats are answered."""
        loop = asyncio.get_running_loop()
        try:
            while (message := await self.end.receive()).type is WSMsgType.BINARY:
                kind = wire.ConnectMessage.FromString(message.data).kind
                self.heard.append(kind)
                self.heard_at.append(loop.time())
                self.news.set()
                if kind == Kind.WORKER_HEARTBEAT:
                    await self.write(frame(Kind.GATEWAY_HEARTBEAT))
        except ConnectionError:
            pass
        finally:
            self.ended.set()


Script = Callable[[Link], Awaitable[None]]


class Hostile:
    """An API that grants whatever is asked, and a gateway whose links run *script* once they are ready.

    *greet* runs in the place of the handshake's rest, once WORKER_CONNECT has come. *reads*: the gateway reads what is sent.
    """

    def __init__(self) -> None:
        self.script: Script | None = None
        self.greet: Script | None = None
        self.flush: Callable[[], Awaitable[None]] | None = None
        self.heartbeat = "1s"
        self.reads = True
        self.links: list[Link] = []
        self.starts: list[wire.StartRequest] = []
        self.ready = asyncio.Event()
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def _start(self, asked: web.Request) -> web.Response:
        self.starts.append(wire.StartRequest.FromString(await asked.read()))
        granted = wire.StartResponse(
            connection_id=ulid.new(),
            gateway_endpoint=f"ws://127.0.0.1:{self.port}/v0/connect",
            gateway_group=f"gw-{len(self.starts)}",
            session_token="session",
            sync_token="sync",
        )
        return web.Response(body=granted.SerializeToString())

    async def _flush(self, asked: web.Request) -> web.Response:
        if self.flush:
            await self.flush()
        return web.Response(body=wire.FlushResponse().SerializeToString())

    async def _connect(self, asked: web.Request) -> web.WebSocketResponse:
        end = web.WebSocketResponse(max_msg_size=0, timeout=0.5, protocols=(codec.SUBPROTOCOL,))
        await end.prepare(asked)
        link = Link(asked, end)
        self.links.append(link)
        link.transport.write(frame(Kind.GATEWAY_HELLO))
        await end.receive()
        try:
            if self.greet:
                await self.greet(link)
            data = wire.GatewayConnectionReadyData(heartbeat_interval=self.heartbeat, extend_lease_interval="1s")
            link.transport.write(frame(Kind.GATEWAY_CONNECTION_READY, data))
            self.ready.set()
            hearing = asyncio.ensure_future(link.listen()) if self.reads else None
            if self.script:
                await self.script(link)
            if hearing:
                await hearing
            else:
                await link.ended.wait()
        except ConnectionError:
            pass
        finally:
            link.ended.set()
        return end


@asynccontextmanager
async def hostile() -> AsyncIterator[Hostile]:
    """The peer, while the block runs."""
    peer = Hostile()
    app = web.Application(client_max_size=64 * MIB)
    app.router.add_post("/v0/connect/start", peer._start)
    app.router.add_post("/v0/connect/flush", peer._flush)
    app.router.add_get("/v0/connect", peer._connect)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    peer.port = runner.addresses[0][1]
    try:
        yield peer
    finally:
        for link in peer.links:
            link.ended.set()
            if not link.transport.is_closing():
                link.transport.abort()
        await runner.cleanup()


class Worker:
    """A worker in a process of its own, with its HTTP port."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.port = 0
        self.watched = psutil.Process(process.pid)
        self.said: list[str] = []
        self._news = asyncio.Event()
        self._reading = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        assert self.process.stderr
        async for line in self.process.stderr:
            self.said.append(line.decode().rstrip())
            self._news.set()
        self._news.set()

    async def says(self, text: str) -> str:
        """The first line of the log with *text*, once it is there."""
        async with asyncio.timeout(30):
            while not (lines := [line for line in self.said if text in line]):
                assert not self._reading.done(), self.said
                self._news.clear()
                await self._news.wait()
        return lines[0]

    async def listens(self) -> None:
        """Wait for its HTTP port."""
        self.port = int((await self.says("probes and metrics: ")).rstrip("/").rpartition(":")[2])

    @property
    def rss(self) -> int:
        """Bytes of memory that the process holds, those of its children too."""
        children = self.watched.children(recursive=True)
        return int(self.watched.memory_info().rss) + sum(int(child.memory_info().rss) for child in children)

    async def get(self, path: str) -> bytes:
        """The answer to GET *path*."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nConnection: close\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()
        return answer

    async def slowest(self, seconds: float, while_: Callable[[], bool] = lambda: True) -> float:
        """The longest that `/livez` took, asked again and again for *seconds*."""
        loop = asyncio.get_running_loop()
        worst, until = 0.0, loop.time() + seconds
        while loop.time() < until and while_():
            asked = loop.time()
            assert b"200 OK" in await self.get("/livez")
            worst = max(worst, loop.time() - asked)
            await asyncio.sleep(0.01)
        return worst

    async def stop(self) -> float:
        """Send SIGTERM, and wait for the end. Returns: the seconds that it took."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            await self.process.wait()
        return loop.time() - begun


@asynccontextmanager
async def worker(peer: Hostile, **options: Any) -> AsyncIterator[Worker]:
    """A worker for *peer*, killed at the end if it still runs; *options* are those of `connect()`, as they are written."""
    root = str(Path(__file__).parents[2])
    environment = {name: text for name, text in os.environ.items() if not name.startswith("INNGEST_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(WORKER),
        peer.url,
        repr({"http": "127.0.0.1:0", **options}),
        stderr=asyncio.subprocess.PIPE,
        env={
            **environment,
            "PYTHONPATH": os.pathsep.join([root, str(WORKER.parent), environment.get("PYTHONPATH", "")]),
        },
    )
    running = Worker(process)
    try:
        await running.listens()
        yield running
    finally:
        for child in running.watched.children(recursive=True) if process.returncode is None else ():
            child.kill()
        if process.returncode is None:
            process.kill()
            await process.wait()
        await running._reading
