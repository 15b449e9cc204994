"""The load gateway: `python -m benchmarks.load`. It answers and counts, nothing else, so that it is never what is measured.

A hand-made server for this one purpose: the start request, the WebSocket, and the frames of PROTOCOL.md §3, written as bytes that
were built before. What is ready together is written together. Any number of workers connect; they are told apart by instance id.

It is driven by lines of JSON on stdin, `["method", arguments…]` of `LoadGateway`, and answers each with a line on stdout; the first
line there is its address.
"""

import asyncio
import base64
import contextlib
import hashlib
import json
import struct
import sys
import time
from array import array
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Final

from benchmarks import frames
from benchmarks.app import RESULT
from benchmarks.frames import Kind
from connect import wire
from connect.gateway import ulid
from connect.loops import new_loop

LEASE: Final = 4
"""How long a lease lasts, in intervals of its extension (PROTOCOL.md §7)."""
_ACCEPT: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_BINARY, _CLOSE, _PING = 2, 8, 9
_ACK, _REPLY = int(Kind.WORKER_REQUEST_ACK), int(Kind.WORKER_REPLY)
_DONE: Final = wire.SDKResponseStatus.DONE


class LoadGateway:
    """The workers that are connected, and what they are asked to do. Times are monotonic seconds."""

    def __init__(self) -> None:
        self.address = ""
        self.intervals = wire.GatewayConnectionReadyData(
            heartbeat_interval="10s", extend_lease_interval="30s", status_interval="0s"
        )
        self.lease_seconds = 120.0
        self._server: asyncio.Server
        self._workers: dict[str, Worker] = {}
        self._arrived = asyncio.Condition()
        self._arrivals: set[asyncio.Task[None]] = set()

    async def listen(self) -> str:
        """Take connections until `close()`; returns the address."""
        self._server = await asyncio.get_running_loop().create_server(lambda: Socket(self), "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        self.address = f"{host}:{port}"
        return f"http://{self.address}"

    def close(self) -> None:
        """Take no more connections."""
        self._server.close()

    async def obey(self) -> None:
        """Do as stdin says, until it ends."""
        loop = asyncio.get_running_loop()
        lines = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
        while line := await lines.readline():
            method, *arguments = json.loads(line)
            answer = getattr(self, method)(*arguments)
            print(json.dumps(await answer if asyncio.iscoroutine(answer) else answer), flush=True)

    def routable(self, name: str, socket: "Socket") -> "Worker":
        """The worker of that instance can take requests over *socket*: a new one, or one that lost its connection."""
        worker = self._workers.get(name)
        if worker:
            worker.reconnected(socket)
            return worker
        worker = self._workers[name] = Worker(self, name, socket)
        self._arrivals.add(asyncio.create_task(self._tell()))
        return worker

    def flushed(self, request_id: str) -> None:
        """A reply came over HTTP."""
        for worker in self._workers.values():
            worker.flushed(request_id)

    async def _tell(self) -> None:
        async with self._arrived:
            self._arrived.notify_all()

    # -- what it can be told --------------------------------------------------------------------------------------------------

    def pace(self, heartbeat: int, extend_lease: int) -> None:
        """Intervals, whole seconds, for whoever connects from now on."""
        self.intervals.heartbeat_interval, self.intervals.extend_lease_interval = f"{heartbeat}s", f"{extend_lease}s"
        self.lease_seconds = float(LEASE * extend_lease)

    async def joins(self, name: str, timeout: float) -> float | None:  # noqa: ASYNC109 - of a remote call
        """When the worker *name* became routable; None: it did not in *timeout* seconds."""
        try:
            async with asyncio.timeout(timeout), self._arrived:
                await self._arrived.wait_for(lambda: name in self._workers)
        except TimeoutError:
            return None
        return self._workers[name].since

    def drive(self, name: str, window: int) -> None:
        """Keep *window* requests outstanding from now on."""
        self._workers[name].drive(window)

    async def hold(self, name: str, count: int, seconds: float, over: float) -> None:
        """Send *count* requests whose function sleeps *seconds*, evenly over the seconds of *over*."""
        sent, steps = 0, 100
        for step in range(1, steps + 1):
            self._workers[name].hold(count * step // steps - sent, seconds)
            sent = count * step // steps
            await asyncio.sleep(over / steps)

    def mark(self, name: str) -> dict[str, float]:
        """What was answered since the last mark; how old leases were when they were extended, and the gaps between heartbeats."""
        return self._workers[name].mark()

    async def stop(self, name: str, timeout: float) -> dict[str, int]:  # noqa: ASYNC109
        """Send nothing more, wait up to *timeout* seconds for what is outstanding, and say how the whole of it went."""
        return await self._workers[name].stop(timeout)


class Worker:
    """One connected worker: what it was sent, and what it said."""

    def __init__(self, gateway: LoadGateway, name: str, socket: "Socket") -> None:
        self.name = name
        self.since = time.monotonic()
        self._gateway = gateway
        self._socket = socket
        self._window = 0
        self._start = ulid.new()[:16]
        self._ids = frames.request_ids(self._start)
        self._work = frames.requests({"user": "u_1", "amount": 42, "tags": ["a", "b"], "note": "a note of some length"})
        self._sent_at: dict[str, float] = {}
        self._held: dict[str, float] = {}
        """When each lease of a held request was last renewed."""
        self._latencies = array("d")
        self._ages = array("d")
        self._beats: list[float] = []
        self._marked = self.since
        self._empty = asyncio.Event()
        self._tally = dict.fromkeys(("sent", "acked", "replied", "not_done", "not_asked", "flushed", "reconnected"), 0)
        self._good: set[bytes] = set()
        self._lease_made, self._lease_id = 0.0, ""

    def reconnected(self, socket: "Socket") -> None:
        """It is here again. What it still owes stays owed."""
        self._socket = socket
        self._tally["reconnected"] += 1

    # -- asking

    def drive(self, window: int) -> None:
        self._window = window
        self._top_up(time.monotonic())
        self._socket.flush()

    def hold(self, count: int, seconds: float) -> None:
        held, now = frames.requests({"hold": seconds}), time.monotonic()
        for _ in range(count):
            request_id = next(self._ids)
            self._held[request_id] = now
            self._tally["sent"] += 1
            self._socket.out.append(held(request_id, self._lease(now)))
        self._socket.flush()

    def mark(self) -> dict[str, float]:
        taken, self._latencies = sorted(self._latencies), array("d")
        ages, self._ages = sorted(self._ages), array("d")
        beats, self._beats = self._beats, self._beats[-1:]
        began, self._marked = self._marked, time.monotonic()
        return {
            "replies": len(taken),
            "seconds": self._marked - began,
            "p50": quantile(taken, 0.5),
            "p99": quantile(taken, 0.99),
            "held": len(self._held),
            "acked": self._tally["acked"],
            "extensions": len(ages),
            "age_p50": quantile(ages, 0.5),
            "age_p99": quantile(ages, 0.99),
            "age_max": quantile(ages, 1.0),
            "beats": len(beats) - 1,
            "beat_gap_max": max((after - before for before, after in pairwise(beats)), default=0.0),
        }

    async def stop(self, seconds: float) -> dict[str, int]:
        self._window = 0
        self._empty.clear()
        if self._sent_at or self._held:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), seconds)
        unanswered = len(self._sent_at) + len(self._held)
        return {**self._tally, "unanswered": unanswered}

    def _top_up(self, now: float) -> None:
        """Send requests until *window* are outstanding."""
        for _ in range(self._window - len(self._sent_at)):
            request_id = next(self._ids)
            self._sent_at[request_id] = now
            self._tally["sent"] += 1
            self._socket.out.append(self._work(request_id, self._lease(now)))

    def _lease(self, now: float) -> str:
        """A lease id as of *now*: the same for what is sent within a quarter of a second."""
        if now > self._lease_made + 0.25:
            self._lease_made, self._lease_id = now, ulid.new(time.time() + self._gateway.lease_seconds)
        return self._lease_id

    # -- hearing

    def heard(self, payloads: list[bytes]) -> None:
        """Frames that came together."""
        now = time.monotonic()
        for payload in payloads:
            kind = payload[1]
            if kind == _ACK:
                self._tally["acked"] += 1
            elif kind == _REPLY:
                self._replied(payload, now)
            else:
                self._answer(kind, payload, now)
        self._top_up(now)

    def _replied(self, payload: bytes, now: float) -> None:
        reply = wire.SDKResponse.FromString(wire.ConnectMessage.FromString(payload).payload)
        request_id = reply.request_id
        self._socket.out.append(frames.reply_ack(request_id))
        sent_at = self._sent_at.pop(request_id, None)
        if sent_at is not None:
            self._latencies.append(now - sent_at)
        elif self._held.pop(request_id, None) is None:
            self._tally["not_asked"] += 1
            return
        self._tally["replied"] += 1
        if reply.status != _DONE or not self._is_good(reply.body):
            self._tally["not_done"] += 1
        if not self._sent_at and not self._held:
            self._empty.set()

    def flushed(self, request_id: str) -> None:
        """Counted, where the request was this worker's; its reply is not."""
        self._tally["flushed"] += request_id.startswith(self._start)

    def _is_good(self, body: bytes) -> bool:
        if body not in self._good and json.loads(body) == RESULT:
            self._good.add(body)
        return body in self._good

    def _answer(self, kind: int, payload: bytes, now: float) -> None:
        if kind == Kind.WORKER_HEARTBEAT:
            self._beats.append(now)
            self._socket.out.append(_HEARTBEAT)
        elif kind == Kind.WORKER_REQUEST_EXTEND_LEASE:
            asked = wire.WorkerRequestExtendLeaseData.FromString(wire.ConnectMessage.FromString(payload).payload)
            self._extended(asked.request_id, now)
            granted = wire.WorkerRequestExtendLeaseAckData(
                request_id=asked.request_id,
                account_id=asked.account_id,
                env_id=asked.env_id,
                app_id=asked.app_id,
                function_slug=asked.function_slug,
                new_lease_id=self._lease(now),
            )
            self._socket.out.append(frames.message(Kind.WORKER_REQUEST_EXTEND_LEASE_ACK, granted.SerializeToString()))

    def _extended(self, request_id: str, now: float) -> None:
        if request_id in self._held:
            self._ages.append(now - self._held[request_id])
            self._held[request_id] = now


_HEARTBEAT: Final = frames.message(Kind.GATEWAY_HEARTBEAT)


class Socket(asyncio.Protocol):
    """One TCP connection: HTTP requests first, then perhaps a WebSocket. What is put into *out* is written by `flush`."""

    def __init__(self, gateway: LoadGateway) -> None:
        self.out: list[bytes] = []
        self._gateway = gateway
        self._rest = b""
        self._is_websocket = False
        self._introduced = wire.WorkerConnectRequestData()
        self._worker: Worker | None = None
        self._transport: asyncio.Transport

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._rest = self._rest + data if self._rest else data
        while not self._is_websocket and self._http():
            pass
        if self._is_websocket:
            payloads = list(self._frames())
            if payloads and self._worker:
                self._worker.heard(payloads)
            elif payloads:
                self._shake(payloads)
        self.flush()

    def flush(self) -> None:
        if self.out:
            self._transport.write(b"".join(self.out))
            self.out.clear()

    # -- HTTP

    def _http(self) -> bool:
        """Answer one request, if it is there as a whole."""
        head, separator, rest = self._rest.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        headers = dict(line.lower().split(b": ", 1) for line in lines[1:])
        size = int(headers.get(b"content-length", 0))
        if not separator or len(rest) < size:
            return False
        self._rest = rest[size:]
        if b"upgrade" in headers:
            key = dict(line.split(b": ", 1) for line in lines[1:] if line.lower().startswith(b"sec-websocket-key"))
            self._upgrade(next(iter(key.values())))
        else:
            self._respond(lines[0].split(b" ")[1], rest[:size])
        return True

    def _respond(self, path: bytes, body: bytes) -> None:
        if path == b"/v0/connect/start":
            answer = wire.StartResponse(
                connection_id=ulid.new(),
                gateway_endpoint=f"ws://{self._gateway.address}/v0/connect",
                gateway_group="load",
                session_token="session",  # noqa: S106 - nobody checks it
            ).SerializeToString()
        else:
            # A worker flushes what was not acknowledged in time: here that means that something went wrong.
            request_id = wire.SDKResponse.FromString(body).request_id
            self._gateway.flushed(request_id)
            answer = wire.FlushResponse(request_id=request_id).SerializeToString()
        self.out.append(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(answer), answer))

    def _upgrade(self, key: bytes) -> None:
        accept = base64.b64encode(hashlib.sha1(key + _ACCEPT, usedforsecurity=False).digest())
        self.out.append(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Protocol: v0.connect.inngest.com\r\nSec-WebSocket-Accept: %s\r\n\r\n" % accept
        )
        self.out.append(frames.message(Kind.GATEWAY_HELLO))
        self._is_websocket = True

    # -- WebSocket

    def _frames(self) -> Iterator[bytes]:
        """The payloads of the binary frames that are there as a whole; the others are answered."""
        data, at = self._rest, 0
        while len(data) - at >= 6:
            size, start = data[at + 1] & 127, at + 6
            if size == 126:
                size, start = int.from_bytes(data[at + 2 : at + 4]), at + 8
            elif size == 127:
                size, start = struct.unpack_from(">Q", data, at + 2)[0], at + 14
            if len(data) < start + size:
                break
            payload = unmasked(data[start : start + size], data[start - 4 : start])
            opcode, at = data[at] & 15, start + size
            if opcode == _BINARY:
                yield payload
            else:
                self._control(opcode, payload)
        self._rest = data[at:]

    def _control(self, opcode: int, payload: bytes) -> None:
        if opcode == _PING:
            self.out.append(bytes((0x8A, len(payload))) + payload)
        elif opcode == _CLOSE:
            self.out.append(bytes((0x88, len(payload))) + payload)
            self.flush()
            self._transport.close()

    def _shake(self, payloads: list[bytes]) -> None:
        """WORKER_CONNECT, and WORKER_READY where it was announced."""
        for payload in payloads:
            said = wire.ConnectMessage.FromString(payload)
            if said.kind == Kind.WORKER_CONNECT:
                self._introduced = wire.WorkerConnectRequestData.FromString(said.payload)
                ready = self._gateway.intervals.SerializeToString()
                self.out.append(frames.message(Kind.GATEWAY_CONNECTION_READY, ready))
            if said.kind == Kind.WORKER_READY or not self._introduced.worker_manual_readiness_ack:
                self._worker = self._gateway.routable(self._introduced.instance_id, self)


def unmasked(payload: bytes, mask: bytes) -> bytes:
    size = len(payload)
    key = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "little") ^ int.from_bytes(key, "little")).to_bytes(size, "little")


def quantile(ordered: list[float], share: float) -> float:
    """Nearest rank; 0 of nothing."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


async def main() -> None:
    gateway = LoadGateway()
    print(json.dumps(await gateway.listen()), flush=True)
    await gateway.obey()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())
