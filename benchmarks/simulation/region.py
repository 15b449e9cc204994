"""The far end: an API and gateways in groups, modelled by what they can take, with the frames of PROTOCOL.md.

The API takes so many start requests a second, one after the other, and so many flushes, which another part of it handles. If more
wait than it can answer in `Strength.patience` seconds, it answers 503. A gateway group accepts so many connections a second;
further ones wait.
"""

import asyncio
import contextlib
import itertools
import random
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from typing import Final

import aiohttp

from benchmarks.simulation.record import Record
from connect import wire
from connect.errors import ApiError, ConnectionLimitReached, HandshakeTimeout, LinkLost, ServerUnreachable
from connect.secrets import Secret
from connect.transport.api import Grant
from connect.wire import codec
from connect.wire.codec import Kind

DEADLINE: Final = 10.0
"""Seconds that a worker waits for an answer of the API: `Deadlines.start`."""
DRAIN_WINDOW: Final = 25.0
"""Seconds from GATEWAY_CLOSING until a gateway closes what is left (PROTOCOL.md §9.1)."""
GRANTED: Final = 0.5
"""Seconds for which a grant counts towards the limit, beside the connection that is made of it."""
RETRANSMITS: Final = (1.0, 2.0, 4.0)
"""Seconds after which a kernel sends a SYN again."""

_HELLO: Final = codec.encode(Kind.GATEWAY_HELLO)
_HEARTBEAT: Final = codec.encode(Kind.GATEWAY_HEARTBEAT)
_CLOSING: Final = codec.encode(Kind.GATEWAY_CLOSING)
_READY: Final = codec.encode(
    Kind.GATEWAY_CONNECTION_READY,
    wire.GatewayConnectionReadyData(heartbeat_interval="10s", status_interval="5m", extend_lease_interval="5s"),
)
_DRAINED: Final = aiohttp.WSMessage(aiohttp.WSMsgType.CLOSE, 1001, "connect_gateway_closing")
_BROKEN: Final = aiohttp.WSMessage(aiohttp.WSMsgType.CLOSED, None, None)


@dataclass(frozen=True)
class Strength:
    """What the server can take: start requests, flushes, and connections of each group, a second; seconds of waiting requests.

    *answer*: seconds that the API needs for an answer, besides waiting.
    """

    starts: float
    flushes: float
    accepts: float
    patience: float = 5.0
    answer: float = 0.01


class Queue:
    """Work that is done one after the other, *rate* a second."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._loop = asyncio.get_running_loop()
        self._free_at = 0.0

    @property
    def wait(self) -> float:
        """Seconds until work that comes now is begun."""
        return max(0.0, self._free_at - self._loop.time())

    def change(self, rate: float) -> None:
        """From now on *rate*, also for the work that waits."""
        now = self._loop.time()
        self._free_at = now + self.wait * self.rate / rate
        self.rate = rate

    def take(self, parts: float = 1.0) -> float:
        """Take one more, or *parts* of one. Returns: seconds until it is done."""
        self._free_at = max(self._free_at, self._loop.time()) + parts / self.rate
        return self.wait


class Region:
    """An API and its *groups* gateway groups. `is_there`: packets find it; `is_silent`: while it is away nothing refuses them."""

    def __init__(self, strength: Strength, groups: int, record: Record, rng: random.Random) -> None:
        self.record = record
        self.strength = strength
        self.rng = rng
        self.queues = {"start requests": Queue(strength.starts), "flushes": Queue(strength.flushes)}
        self.groups = [Group(f"group-{number}", self) for number in range(groups)]
        self.is_there = True
        self.is_silent = False
        self.is_failing = False
        """The API answers 503, whatever it is asked."""
        self.limit: int | None = None
        """Connections that the account may have."""
        self._ids = itertools.count()
        self._unopened = 0
        self._token = Secret("token")  # one for all: every log line is searched for each secret that the process has
        self._loop = asyncio.get_running_loop()

    def slow_down(self, factor: float) -> None:
        """The API takes only this part of what it can."""
        self.queues["start requests"].change(self.strength.starts * factor)
        self.queues["flushes"].change(self.strength.flushes * factor)

    def go_away(self, *, silent: bool) -> None:
        """From now on nothing answers. Connections break at once, or, if *silent*, stand and carry nothing."""
        self.is_there, self.is_silent = False, silent
        for group in self.groups:
            group.crash(silent=silent)

    def come_back(self) -> None:
        self.is_there = True
        for group in self.groups:
            group.is_there, group.is_draining = True, False
            group.drop_all()  # it knows nothing of connections of before

    async def reach(self, rtt: float, group: "Group | None" = None) -> None:
        """A TCP connection, to the API or to *group*, or what comes of the attempt."""
        self.record.note("connections tried")
        await asyncio.sleep(rtt)
        for again in (*RETRANSMITS, None):
            if group.is_there if group else self.is_there:
                return
            if not self.is_silent:
                raise ServerUnreachable("it refuses the connection")
            if again is None:
                await asyncio.sleep(DEADLINE - sum(RETRANSMITS))
                raise HandshakeTimeout(f"no connection within {DEADLINE:g} s", "start", reached=False)
            await asyncio.sleep(again)

    async def ask(self, what: str, rtt: float) -> None:
        """A request to the API, until it is answered with 200. Raises: ConnectError."""
        began = self._loop.time()
        await self.reach(rtt)
        self.record.note(what)
        queue = self.queues[what]
        if self.is_failing or queue.wait > self.strength.patience:
            queue.take(0.1)  # a refusal costs the API a tenth of an answer
            await asyncio.sleep(2 * rtt)
            self.record.note("503")
            raise ApiError("the API is overloaded", 503)
        seconds = queue.take() + self.strength.answer + 2 * rtt  # TLS, then the request
        left = began + DEADLINE - self._loop.time()
        await asyncio.sleep(min(seconds, left))
        if not self.is_there and not self.is_silent:
            raise LinkLost("the connection broke")
        if seconds > left or not self.is_there:
            await asyncio.sleep(left - min(seconds, left))
            raise HandshakeTimeout(f"no answer within {DEADLINE:g} s", "start")

    def grant(self, exclude: Collection[str]) -> Grant:
        """A group that is there: one that is not excluded, if any is left (PROTOCOL.md §9.2)."""
        if self.limit is not None and self._unopened + sum(len(each.sockets) for each in self.groups) >= self.limit:
            self.record.note("limit reached")
            raise ConnectionLimitReached("too many connections for this account")
        known = [each for each in self.groups if each.is_listed] or self.groups
        chosen = self.rng.choice([each for each in known if each.name not in exclude] or known)
        self._unopened += 1
        self._loop.call_later(GRANTED, self._forget)
        return Grant(f"01K{next(self._ids):023}", f"ws://{chosen.name}", chosen.name, self._token, self._token)

    def _forget(self) -> None:
        self._unopened -= 1


class Group:
    """A gateway group. `is_listed`: the API offers it; a crashed one stays listed until its heartbeats are missed."""

    def __init__(self, name: str, region: Region) -> None:
        self.name = name
        self.region = region
        self.queue = Queue(region.strength.accepts)
        self.sockets: dict[Socket, None] = {}
        self.is_there = True
        self.is_draining = False
        self.is_listed = True

    def crash(self, *, silent: bool = False) -> None:
        self.is_there = False
        if silent:
            for socket in self.sockets:
                socket.stall()
        else:
            self.drop_all()

    def drop_all(self) -> None:
        for socket in list(self.sockets):
            socket.end(_BROKEN)

    async def drain(self) -> None:
        """As PROTOCOL.md §9.1: announce it, take nothing new, and close what is left once the window has passed."""
        self.is_draining, self.is_listed = True, False
        for socket in list(self.sockets):
            socket.announce_closing()
        await asyncio.sleep(DRAIN_WINDOW)
        for socket in list(self.sockets):
            socket.end(_DRAINED)

    def renew(self) -> None:
        """New gateways stand where the old ones were."""
        self.is_there, self.is_draining, self.is_listed = True, False, True


class Network:
    """The way of one worker to the region: what `connect.transport.network.Network` asks for. *rtt*: seconds there and back."""

    def __init__(self, region: Region, worker: int, rtt: float) -> None:
        self.region = region
        self.worker = worker
        self.rtt = rtt

    @contextlib.asynccontextmanager
    async def reached(self) -> AsyncIterator["Network"]:
        yield self

    async def start(self, exclude: Collection[str]) -> Grant:
        await self.region.ask("start requests", self.rtt)
        return self.region.grant(exclude)

    async def flush(self, reply: bytes) -> None:
        await self.region.ask("flushes", self.rtt)
        self.region.record.delivered(wire.SDKResponse.FromString(reply).request_id)

    async def open(self, url: str) -> "Socket":
        group = next(each for each in self.region.groups if url.startswith(f"ws://{each.name}"))
        await self.region.reach(self.rtt, group)
        await asyncio.sleep(2 * self.rtt + group.queue.take())  # TLS, then the upgrade
        if not group.is_there:
            if self.region.is_silent:
                await asyncio.sleep(DEADLINE)  # the link's own deadline is sooner
            raise LinkLost("the connection broke")
        return Socket(group, self)


class Socket:
    """An open WebSocket, both ends of it: what `connect.transport.channel.Socket` asks for, and what the gateway does."""

    joins_frames = True

    def __init__(self, group: Group, network: Network) -> None:
        self._group = group
        self._network = network
        self._record = group.region.record
        self._loop = asyncio.get_running_loop()
        self._incoming: asyncio.Queue[aiohttp.WSMessage] = asyncio.Queue()
        self._is_routable = False
        self._is_stalled = False
        self._is_open = True
        group.sockets[self] = None
        self._send(_HELLO)
        if group.is_draining:
            self.end(_DRAINED)

    # -- the gateway's end

    def announce_closing(self) -> None:
        """GATEWAY_CLOSING: requests wait from now on until the worker has moved (PROTOCOL.md §9.1)."""
        self._unroute()
        self._send(_CLOSING)

    def stall(self) -> None:
        """From now on nothing arrives at either end."""
        self._is_stalled = True
        self._unroute()

    def end(self, how: aiohttp.WSMessage) -> None:
        """The worker will read *how* this ended."""
        self._leave()
        self._incoming.put_nowait(how)

    def request(self, request_id: str, seconds: float) -> None:
        """Send an execution that takes *seconds*."""
        data = wire.GatewayExecutorRequestData(
            request_id=request_id,
            app_name="fleet",
            function_slug="fleet-work",
            request_payload=str(seconds).encode(),
            run_id=request_id,
            lease_id="01",
        )
        self._send(codec.encode(Kind.GATEWAY_EXECUTOR_REQUEST, data))

    def _send(self, frame: bytes) -> None:
        message = aiohttp.WSMessage(aiohttp.WSMsgType.BINARY, frame, "")
        self._loop.call_later(self._network.rtt / 2, self._arrive, message)

    def _arrive(self, message: aiohttp.WSMessage) -> None:
        if self._is_open and not self._is_stalled:
            self._incoming.put_nowait(message)

    def _unroute(self) -> None:
        if self._is_routable:
            self._is_routable = False
            self._record.routable(self._network.worker, -1)

    def _leave(self) -> None:
        self._is_open = False
        self._unroute()
        self._group.sockets.pop(self, None)

    def _take(self, kind: int) -> None:
        match kind:
            case Kind.WORKER_CONNECT:
                self._send(_READY)
            case Kind.WORKER_READY if not self._group.is_draining:
                self._is_routable = True
                self._record.routable(self._network.worker, 1)
            case Kind.WORKER_PAUSE:
                self._unroute()
            case Kind.WORKER_HEARTBEAT:
                self._send(_HEARTBEAT)

    def _answer(self, frame: bytes) -> None:
        if not self._is_open or self._is_stalled:
            return
        message = wire.ConnectMessage.FromString(frame)
        if message.kind == Kind.WORKER_REPLY:
            request_id = wire.SDKResponse.FromString(message.payload).request_id
            self._record.delivered(request_id)
            self._send(codec.encode(Kind.WORKER_REPLY_ACK, wire.WorkerReplyAckData(request_id=request_id)))
        elif message.kind == Kind.WORKER_REQUEST_EXTEND_LEASE:
            asked = wire.WorkerRequestExtendLeaseData.FromString(message.payload)
            renewed = wire.WorkerRequestExtendLeaseAckData(
                request_id=asked.request_id, new_lease_id=asked.lease_id + "0"
            )
            self._send(codec.encode(Kind.WORKER_REQUEST_EXTEND_LEASE_ACK, renewed))
        else:
            self._take(message.kind)

    # -- the worker's end

    def send_at_once(self, frames: Sequence[bytes]) -> bool:
        for frame in frames:
            self._loop.call_later(self._network.rtt / 2, self._answer, frame)
        return True

    async def send_together(self, frames: Sequence[bytes]) -> None:
        self.send_at_once(frames)

    async def receive(self) -> aiohttp.WSMessage:
        return await self._incoming.get()

    async def pong(self, message: bytes) -> None:
        """Answer a ping; none is sent here."""

    async def close(self, *, code: int, message: bytes) -> bool:  # noqa: ARG002
        self._leave()
        self._incoming.put_nowait(_BROKEN)
        return True

    def abort(self) -> None:
        self._leave()
