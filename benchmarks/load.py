"""The load gateway: `python -m benchmarks.load`. It only answers and counts, so that it is never the bottleneck.

It serves the start request, the WebSocket, and the frames of PROTOCOL.md §3, as bytes that were built before; frames that are ready
at the same time are written at once. Any number of workers may connect, each with an instance id of its own.

Commands come on stdin, a JSON line `["method", arguments…]` for each, where *method* is one of `LoadGateway`; the answer to each is
a line on stdout. The first line on stdout is the gateway's address.
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
from benchmarks.load_socket import Socket
from connect import wire
from connect.gateway.granted_leases import lease_answer
from connect.loops.loop import new_loop
from connect.wire import ulid

LEASE: Final = 4
"""How long a lease lasts, in intervals of its extension (PROTOCOL.md §7)."""
_ACK, _REPLY = int(Kind.WORKER_REQUEST_ACK), int(Kind.WORKER_REPLY)
_DONE: Final = wire.SDKResponseStatus.DONE


class LoadGateway:
    """The gateway: its workers, by instance id, and the commands. Times are monotonic seconds."""

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
        """Take connections until `close()`. Returns the address."""
        self._server = await asyncio.get_running_loop().create_server(lambda: Socket(self), "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        self.address = f"{host}:{port}"
        return f"http://{self.address}"

    def close(self) -> None:
        """Take no more connections."""
        self._server.close()

    async def run_commands(self) -> None:
        """Carry out the commands on stdin, until it ends."""
        loop = asyncio.get_running_loop()
        lines = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
        while line := await lines.readline():
            method, *arguments = json.loads(line)
            answer = getattr(self, method)(*arguments)
            print(json.dumps(await answer if asyncio.iscoroutine(answer) else answer), flush=True)

    def routable(self, name: str, socket: Socket) -> "Worker":
        """Note that the worker *name* takes requests over *socket*: a new worker, or one that reconnected."""
        worker = self._workers.get(name)
        if worker:
            worker.reconnected(socket)
            return worker
        worker = self._workers[name] = Worker(self, name, socket)
        self._arrivals.add(asyncio.create_task(self._notify()))
        return worker

    def flushed(self, request_id: str) -> None:
        """Note a reply that came over HTTP."""
        for worker in self._workers.values():
            worker.flushed(request_id)

    async def _notify(self) -> None:
        async with self._arrived:
            self._arrived.notify_all()

    # -- commands -------------------------------------------------------------------------------------------------------------

    def pace(self, heartbeat: int, extend_lease: int) -> None:
        """Set the intervals, whole seconds, for workers that connect from now on."""
        self.intervals.heartbeat_interval, self.intervals.extend_lease_interval = f"{heartbeat}s", f"{extend_lease}s"
        self.lease_seconds = float(LEASE * extend_lease)

    async def joins(self, name: str, timeout: float) -> float | None:  # noqa: ASYNC109 - of a remote call
        """Wait for the worker *name*. Returns when it became routable; None: not within *timeout* seconds."""
        try:
            async with asyncio.timeout(timeout), self._arrived:
                await self._arrived.wait_for(lambda: name in self._workers)
        except TimeoutError:
            return None
        return self._workers[name].since

    def drive(self, name: str, window: int) -> None:
        """Keep *window* requests outstanding at the worker from now on."""
        self._workers[name].drive(window)

    async def hold(self, name: str, count: int, seconds: float, over: float) -> None:
        """Send *count* requests whose function sleeps *seconds*, spread evenly over *over* seconds."""
        sent, steps = 0, 100
        for step in range(1, steps + 1):
            self._workers[name].hold(count * step // steps - sent, {"hold": seconds})
            sent = count * step // steps
            await asyncio.sleep(over / steps)

    def block(self, name: str, how: str, seconds: float) -> None:
        """Send one request whose function blocks its loop for *seconds*, in the way *how* of `app.BLOCKS`."""
        self._workers[name].hold(1, {"hold": seconds, "block": how})

    def mark(self, name: str) -> dict[str, float]:
        """The figures since the last mark: replies, latencies, ages of leases at their extension, gaps between heartbeats."""
        return self._workers[name].mark()

    async def stop(self, name: str, timeout: float) -> dict[str, int]:  # noqa: ASYNC109
        """Send no more requests, and wait up to *timeout* seconds for outstanding replies. Returns the worker's counts."""
        return await self._workers[name].stop(timeout)


class Worker:
    """One worker: the requests that it was sent, and what came back."""

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
        """When the lease of each held request was made or last extended."""
        self._latencies = array("d")
        self._ages = array("d")
        self._beats: list[float] = []
        self._marked = self.since
        self._empty = asyncio.Event()
        self._tally = dict.fromkeys(("sent", "acked", "replied", "not_done", "not_asked", "flushed", "reconnected"), 0)
        self._good: set[bytes] = set()
        self._lease_made, self._lease_id = 0.0, ""

    def reconnected(self, socket: Socket) -> None:
        """Note that the worker has a new connection. Requests stay outstanding."""
        self._socket = socket
        self._tally["reconnected"] += 1

    # -- sending

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
        """Send requests until as many as the window are outstanding."""
        for _ in range(self._window - len(self._sent_at)):
            request_id = next(self._ids)
            self._sent_at[request_id] = now
            self._tally["sent"] += 1
            self._socket.out.append(self._work(request_id, self._lease(now)))

    def _lease(self, now: float) -> str:
        """A lease id as of *now*; requests within a quarter of a second share one, since making it takes time."""
        if now > self._lease_made + 0.25:
            self._lease_made, self._lease_id = now, ulid.new(time.time() + self._gateway.lease_seconds)
        return self._lease_id

    # -- receiving

    def received(self, payloads: list[bytes]) -> None:
        """Handle frames that came at the same time."""
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
        """Count the reply as flushed, if it is this worker's. It does not count as replied."""
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
    """The nearest-rank quantile; 0 if there are no values."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


async def main() -> None:
    gateway = LoadGateway()
    print(json.dumps(await gateway.listen()), flush=True)
    await gateway.run_commands()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())
