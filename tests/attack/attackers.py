"""Gateways and APIs that attack. Each speaks the protocol as far as it must to be let in."""

import asyncio
import contextlib
import gzip
import itertools
import json
import socket
from typing import ClassVar, Self

from aiohttp import web

from connect.gateway import Kind
from connect.wire import (
    GatewayConnectionReadyData,
    GatewayExecutorRequestData,
    StartResponse,
    WorkerReplyAckData,
    ulid,
)
from connect.wire.codec import SUBPROTOCOL, encode

MIB = 2**20
READY = GatewayConnectionReadyData(heartbeat_interval="1s", extend_lease_interval="2s", status_interval="0s")


def request_frame(slug: str, filling: int = 0) -> bytes:
    """GATEWAY_EXECUTOR_REQUEST for function *slug*, of *filling* bytes and some more."""
    event = {"name": "event", "data": {"filling": "x" * filling}, "id": "event", "ts": 1}
    context = {
        "attempt": 0,
        "disable_immediate_execution": False,
        "env": "",
        "fn_id": "fn",
        "generation_id": 1,
        "max_attempts": 1,
        "request_id": "r",
        "run_id": "r",
        "stack": {"current": 0, "stack": []},
        "step_id": "step",
        "use_api": False,
    }
    content = {"ctx": context, "event": event, "events": [event], "steps": {}, "use_api": False, "version": 1}
    data = GatewayExecutorRequestData(
        request_id=ulid.new(),
        app_name="app",
        function_slug=slug,
        run_id=ulid.new(),
        lease_id=ulid.new(4e9),
        request_payload=json.dumps(content).encode(),
    )
    return encode(Kind.GATEWAY_EXECUTOR_REQUEST, data)


def on_the_wire(payload: bytes) -> bytes:
    """*payload* as a WebSocket frame of a server."""
    size = len(payload)
    if size < 126:
        return bytes((0x82, size)) + payload
    if size < 2**16:
        return b"\x82\x7e" + size.to_bytes(2) + payload
    return b"\x82\x7f" + size.to_bytes(8) + payload


class Attacker:
    """A server that behaves: it lets workers in, and answers their heartbeats and replies. An attack overrides what it does."""

    grows: ClassVar[int] = 80 * MIB

    def __init__(self) -> None:
        self.let_in = asyncio.Event()
        self.seen = 0
        """Start requests and sockets so far."""
        self.blows = 0
        """Frames, pieces of answers and connections with which it has attacked so far."""
        self.failed: list[BaseException] = []
        """What an attack raised, other than that the worker has hung up."""
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=0)
        app.router.add_post("/v0/connect/start", self.start)
        app.router.add_post("/v0/connect/flush", self.flush)
        app.router.add_get("/v0/connect", self._upgrade)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://localhost:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        for error in await asyncio.gather(*self._tasks, return_exceptions=True):
            if error and not isinstance(error, asyncio.CancelledError | ConnectionError):
                self.failed.append(error)
        await self._runner.cleanup()

    # -- what an attack overrides

    async def start(self, request: web.Request) -> web.StreamResponse:
        self.seen += 1
        return web.Response(body=self.grant(request).SerializeToString())

    async def flush(self, request: web.Request) -> web.StreamResponse:
        await request.read()
        return web.Response(body=b"")

    async def attack(self, request: web.Request, ws: web.WebSocketResponse) -> None:
        """Called once the worker is ready on this socket."""
        await self.serve(ws)

    async def from_outside(self, port: int) -> None:
        """Attack the worker's own port, where its probes are."""

    # -- what they use

    def grant(self, request: web.Request) -> StartResponse:
        return StartResponse(
            connection_id=ulid.new(),
            gateway_endpoint=f"ws://{request.host}/v0/connect",
            gateway_group="group",
            session_token="session",
            sync_token="sync",
        )

    def outside(self, port: int) -> None:
        """Begin the attack on the worker's own port."""
        self._tasks.append(asyncio.create_task(self.from_outside(port)))

    async def serve(self, ws: web.WebSocketResponse) -> None:
        """Answer heartbeats and replies until the socket ends."""
        async for message in ws:
            await self.answer(ws, message.data)

    async def answer(self, ws: web.WebSocketResponse, data: bytes) -> None:
        if data == encode(Kind.WORKER_HEARTBEAT):
            await ws.send_bytes(encode(Kind.GATEWAY_HEARTBEAT))
        elif data[:2] == bytes((8, Kind.WORKER_REPLY)):
            request_id = data.partition(b"\x0a\x1a")[2][:26].decode(errors="replace")
            await ws.send_bytes(encode(Kind.WORKER_REPLY_ACK, WorkerReplyAckData(request_id=request_id)))

    async def send(self, ws: web.WebSocketResponse, frame: bytes) -> None:
        """Send a frame of the attack. Raises: ConnectionError: the socket has ended."""
        await ws.send_bytes(frame)
        self.blows += 1

    async def pour(self, request: web.Request, data: bytes) -> None:
        """Write *data* again and again, as fast as the worker takes it, until the socket ends."""
        transport = request.transport
        while transport is not None and not transport.is_closing():
            transport.write(data)
            self.blows += 1
            while transport.get_write_buffer_size() > MIB and not transport.is_closing():  # noqa: ASYNC110 - it tells nothing
                await asyncio.sleep(0.002)
            await asyncio.sleep(0)

    async def _upgrade(self, request: web.Request) -> web.StreamResponse:
        ws = web.WebSocketResponse(protocols=(SUBPROTOCOL,), max_msg_size=0, compress=False, timeout=0.2)
        await ws.prepare(request)
        self.seen += 1
        try:
            await ws.send_bytes(encode(Kind.GATEWAY_HELLO))
            await ws.receive()
            await ws.send_bytes(encode(Kind.GATEWAY_CONNECTION_READY, READY))
            await ws.receive()
            self.let_in.set()
            await self.attack(request, ws)
        except (ConnectionError, asyncio.CancelledError):
            pass
        except Exception as error:
            self.failed.append(error)
        return ws


class FloodOfNothing(Attacker):
    """Frames of two bytes, of a kind that no worker knows."""

    async def attack(self, request: web.Request, ws: web.WebSocketResponse) -> None:
        await self.pour(request, on_the_wire(bytes((8, 99))) * 16_000)


class FloodOfHeartbeats(Attacker):
    """Answers to heartbeats that were never sent."""

    async def attack(self, request: web.Request, ws: web.WebSocketResponse) -> None:
        await self.pour(request, on_the_wire(encode(Kind.GATEWAY_HEARTBEAT)) * 16_000)


class FloodOfPings(Attacker):
    """Pings, each of which asks for an answer."""

    async def attack(self, request: web.Request, ws: web.WebSocketResponse) -> None:
        await self.pour(request, b"\x89\x04ping" * 8_000)


class FloodOfLies(Attacker):
    """Answers about requests that never were."""

    async def attack(self, request: web.Request, ws: web.WebSocketResponse) -> None:
        ack = encode(Kind.WORKER_REPLY_ACK, WorkerReplyAckData(request_id="x" * 200))
        await self.pour(request, on_the_wire(ack) * 2_000)


class LargeFrames(Attacker):
    """Frames of 15 MiB that do not decode."""

    grows = 160 * MIB

    async def attack(self, request: web.Request, ws: web.WebSocketResponse) -> None:
        await self.pour(request, on_the_wire(b"\xff" * (15 * MIB)))


class FloodOfFragments(Attacker):
    """A message that never ends, in fragments."""

    async def attack(self, request: web.Request, ws: web.WebSocketResponse) -> None:
        if request.transport is not None:
            request.transport.write(b"\x02\x01x")
        await self.pour(request, b"\x00\x7e\x10\x00" + b"x" * 4096)


class FloodOfRequests(Attacker):
    """Requests for functions that the worker does not have, as fast as it answers."""

    grows = 200 * MIB

    async def attack(self, request: web.Request, ws: web.WebSocketResponse) -> None:
        serving = asyncio.create_task(self.serve(ws))
        for number in itertools.count():
            if ws.closed:
                break
            await self.send(ws, request_frame(f"app-{number}"))
        await serving


class FloodOfRedeliveries(Attacker):
    """One request again and again, whose payload is 100 KB, from a gateway that reads no ACK."""

    grows = 200 * MIB

    async def attack(self, request: web.Request, ws: web.WebSocketResponse) -> None:
        if request.transport is not None:
            request.transport.pause_reading()  # type: ignore[attr-defined]
        await self.pour(request, on_the_wire(request_frame("app-wait", 100_000)))


class Reads(Attacker):
    """Two thousand requests in flight, and forty pages open."""

    grows = 200 * MIB

    async def attack(self, request: web.Request, ws: web.WebSocketResponse) -> None:
        for _ in range(2_000):
            await self.send(ws, request_frame("app-wait"))
        await self.serve(ws)

    async def from_outside(self, port: int) -> None:
        pages = [await asyncio.open_connection("127.0.0.1", port) for _ in range(40)]
        for _, writer in pages:
            writer.write(f"GET /feed HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        try:
            for reader, _ in pages:
                assert b" 200 " in await reader.readline()
            await asyncio.gather(*(_read_on(reader) for reader, _ in pages))
        finally:
            for _, writer in pages:
                writer.transport.abort()


class ReadsNothing(Attacker):
    """Requests whose results are a MiB each, to a worker whose replies are never read, nor taken by the API."""

    grows = 200 * MIB

    async def attack(self, request: web.Request, ws: web.WebSocketResponse) -> None:
        if request.transport is not None:
            request.transport.pause_reading()  # type: ignore[attr-defined]
        while not ws.closed:
            await self.send(ws, request_frame("app-large"))
            await asyncio.sleep(0.01)

    async def flush(self, request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(3600)
        raise web.HTTPInternalServerError


class Bombs(Attacker):
    """Answers of 2 MB that unpack to 2 GB, after the first ones."""

    _bomb: ClassVar[bytes] = gzip.compress(b"\0" * (64 * MIB), 9) * 32

    async def start(self, request: web.Request) -> web.StreamResponse:
        if not self.let_in.is_set():
            return await super().start(request)
        self.seen += 1
        self.blows += 1
        return web.Response(body=self._bomb, headers={"Content-Encoding": "gzip"}, status=200 if self.seen % 2 else 500)

    async def attack(self, request: web.Request, ws: web.WebSocketResponse) -> None:
        await ws.close()


class HugeAnswers(Bombs):
    """Answers of the API that have no end, after the first ones."""

    async def start(self, request: web.Request) -> web.StreamResponse:
        if not self.let_in.is_set():
            return await Attacker.start(self, request)
        self.seen += 1
        answer = web.StreamResponse(status=200 if self.seen % 2 else 500)
        await answer.prepare(request)
        for _ in range(1_000):
            await answer.write(b"x" * MIB)
            self.blows += 1
        return answer


class Drips(Bombs):
    """Answers that come byte by byte, after the first ones."""

    async def start(self, request: web.Request) -> web.StreamResponse:
        if not self.let_in.is_set():
            return await Attacker.start(self, request)
        self.seen += 1
        answer = web.StreamResponse()
        await answer.prepare(request)
        for _ in range(1_000):
            await answer.write(b"x")
            self.blows += 1
            await asyncio.sleep(0.1)
        return answer


class EndlessHeaders(Bombs):
    """Answers of the API whose headers have no end, after the first ones."""

    async def start(self, request: web.Request) -> web.StreamResponse:
        if not self.let_in.is_set():
            return await Attacker.start(self, request)
        self.seen += 1
        if request.transport is not None:
            request.transport.write(b"HTTP/1.1 200 OK\r\n")
        await self.pour(request, b"".join(b"X-%d: %s\r\n" % (number, b"y" * 1_000) for number in range(100)))
        return web.Response()


class Liar(Attacker):
    """Another group, connection, cookie and function each time; each link ends at once, for another reason."""

    async def start(self, request: web.Request) -> web.StreamResponse:
        self.seen += 1
        grant = self.grant(request)
        grant.gateway_group = f"{self.seen}-{'x' * 200}"
        grant.connection_id = f"{self.seen}-{'y' * 2_000}"
        return web.Response(body=grant.SerializeToString(), headers={"Set-Cookie": f"c{self.seen}={'z' * 1_000}"})

    async def attack(self, request: web.Request, ws: web.WebSocketResponse) -> None:
        for number in range(20):
            await self.send(ws, request_frame(f"app-{self.seen}-{number}", 1_000))
        await ws.close(code=3000 + self.seen % 1000, message=f"connect_{self.seen}".encode())


class CloseStorm(Attacker):
    """Each socket ends the moment that it is ready."""

    async def attack(self, request: web.Request, ws: web.WebSocketResponse) -> None:
        if request.transport is not None and self.seen % 2:
            request.transport.abort()
        else:
            await ws.close(code=1011)
        self.blows += 1


class HalfOpen(Attacker):
    """Hundreds of connections to the worker's own port, which ask for half a page each."""

    async def from_outside(self, port: int) -> None:
        sockets: list[socket.socket] = []
        loop = asyncio.get_running_loop()
        try:
            for number in itertools.count():
                each = socket.socket()
                each.setblocking(False)
                sockets.append(each)
                with contextlib.suppress(OSError):
                    async with asyncio.timeout(1):
                        await loop.sock_connect(each, ("127.0.0.1", port))
                        await loop.sock_sendall(each, b"GET /feed HTTP/1.1\r\nHost: 127.")
                        self.blows += 1
                if number >= 600:  # fewer than the files that a process may usually open
                    sockets.pop(0).close()
                    await asyncio.sleep(0.01)
        finally:
            for each in sockets:
                each.close()


async def _read_on(reader: asyncio.StreamReader) -> None:
    while await reader.read(2**16):
        pass


ATTACKERS: tuple[type[Attacker], ...] = (
    Attacker,
    FloodOfNothing,
    FloodOfHeartbeats,
    FloodOfPings,
    FloodOfLies,
    FloodOfFragments,
    FloodOfRequests,
    FloodOfRedeliveries,
    LargeFrames,
    Reads,
    ReadsNothing,
    Bombs,
    HugeAnswers,
    Drips,
    EndlessHeaders,
    Liar,
    CloseStorm,
    HalfOpen,
)
