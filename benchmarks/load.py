"""The load gateway: `python -m benchmarks.load`. It answers and counts, nothing else, so that it is never what is measured.

A hand-made server for this one purpose: the start request, the WebSocket, and the frames of PROTOCOL.md §3, written as bytes that
were built before. What is ready together is written together. Any number of workers connect; they are told apart by instance id.

It is driven by lines of JSON on stdin, `["method", arguments…]` of `LoadGateway`, and answers each with a line on stdout; the first
line there is its address.
"""

import asyncio
import contextlib
import json
import sys
import time
from array import array
from itertools import pairwise
from typing import Any, Final

from benchmarks import frames
from benchmarks.app import RESULT
from benchmarks.frames import Kind
from benchmarks.server import Socket
from connect import wire
from connect.gateway.leases import lease_answer
from connect.loops.loop import new_loop
from connect.wire import ulid

LEASE: Final = 4
"""How long a lease lasts, in intervals of its extension (PROTOCOL.md §7)."""
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

    def routable(self, name: str, socket: Socket) -> "Worker":
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
            self._workers[name].hold(count * step // steps - sent, {"hold": seconds})
            sent = count * step // steps
            await asyncio.sleep(over / steps)

    def block(self, name: str, how: str, seconds: float) -> None:
        """Send one request whose function is busy for *seconds* without a pause."""
        self._workers[name].hold(1, {"hold": seconds, "block": how})

    def mark(self, name: str) -> dict[str, float]:
        """What was answered since the last mark; how old leases were when they were extended, and the gaps between heartbeats."""
        return self._workers[name].mark()

    async def stop(self, name: str, timeout: float) -> dict[str, int]:  # noqa: ASYNC109
        """Send nothing more, wait up to *timeout* seconds for what is outstanding, and say how the whole of it went."""
        return await self._workers[name].stop(timeout)


class Worker:
    """One connected worker: what it was sent, and what it said."""

    def __init__(self, gateway: LoadGateway, name: str, socket: Socket) -> None:
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

    def reconnected(self, socket: Socket) -> None:
        """It is here again. What it still owes stays owed."""
        self._socket = socket
        self._tally["reconnected"] += 1

    # -- asking

    def drive(self, window: int) -> None:
        self._window = window
        self._top_up(time.monotonic())
        self._socket.flush()

    def hold(self, count: int, data: dict[str, Any]) -> None:
        held, now = frames.requests(data), time.monotonic()
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
            granted = lease_answer(asked, self._lease(now))
            self._socket.out.append(frames.message(Kind.WORKER_REQUEST_EXTEND_LEASE_ACK, granted.SerializeToString()))

    def _extended(self, request_id: str, now: float) -> None:
        if request_id in self._held:
            self._ages.append(now - self._held[request_id])
            self._held[request_id] = now


_HEARTBEAT: Final = frames.message(Kind.GATEWAY_HEARTBEAT)


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
