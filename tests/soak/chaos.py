"""Makes every kind of fault happen to a gateway and its worker, at random, from a seed."""

import asyncio
import contextlib
import random
from collections import Counter
from typing import TYPE_CHECKING, Any

from runs import Load

from connect.gateway import HANG, Answer, Call, Connection, Frame, Gateway, Kind, Record, Request
from connect.wire import WorkerRequestExtendLeaseAckData

if TYPE_CHECKING:
    from collections.abc import Callable

LOST: dict[int, str] = {
    Kind.WORKER_REQUEST_ACK: "lost request ACK",
    Kind.WORKER_REPLY: "lost reply",
    Kind.WORKER_REPLY_ACK: "lost reply ACK",
    Kind.WORKER_REQUEST_EXTEND_LEASE_ACK: "lost lease ACK",
}
LYING_IN_WAIT = ("refused flush", *LOST.values())
"""Faults that wait for a frame or a call: they count once the gateway's log shows that one was hit."""

PATIENCE = 300.0
"""Seconds that a worker may take for the work between two faults: as long as the whole test."""


class Chaos:
    """Makes each kind of fault equally often, and counts those that took effect."""

    def __init__(self, gateway: Gateway, load: Load, chance: random.Random) -> None:
        self._gateway = gateway
        self._load = load
        self._chance = chance
        self._mark = gateway.mark
        self._deck: list[str] = []
        self._kinds: dict[str, Callable[[], Any]] = {
            "drop": lambda: self._connection().drop(),
            "close": lambda: self._connection().close_after(0, 1011, "connect_internal_error"),
            "drain": self._drain,
            "stall": self._stall,
            "silence": lambda: self._connection().mute(),
            "redelivery": self._redeliver,
            "nack": self._nack,
            "refused flush": lambda: gateway.flushes.push(chance.choice((500, 401))),
            "hanging flush": lambda: gateway.flushes.push(HANG),
            "late flush": lambda: gateway.flushes.push(Answer(delay=0.2)),
            **{name: lambda kind=kind: gateway.faults.lose(kind) for kind, name in LOST.items()},
        }
        self._nacked: list[Request] = []
        self._hits = Counter(dict.fromkeys(self._kinds, 0))

    @property
    def counts(self) -> dict[str, int]:
        """How often each kind of fault took effect."""
        given_up = sum(request.status == "lapsed" and request.reply is None for request in self._nacked)
        return {**self._hits, "nack": given_up}

    async def wreak(self, pause: float, work: float) -> None:
        """Make one fault after the other, until cancelled, with at least *pause* seconds and *work* new requests between two.

        By the clock alone, faults would come ever thicker the slower a machine is, until a worker gets nothing done between them.
        """
        while True:
            due = self._load.requests + work
            await asyncio.sleep(pause)
            await self._gateway.until(lambda due=due: self._load.requests >= due, timeout=PATIENCE)
            self._deck = self._deck or self._chance.sample(sorted(self._kinds), len(self._kinds))
            kind = self._deck.pop()
            try:
                await self._do(kind)
            except LookupError:  # no worker is connected, or nothing is in flight
                self._deck.insert(0, kind)
            self._read_log()

    async def _do(self, kind: str) -> None:
        result = self._kinds[kind]()
        if asyncio.iscoroutine(result):
            await result
        self._hits[kind] += kind not in LYING_IN_WAIT

    def _read_log(self) -> None:
        self._hits.update(filter(None, map(self._hit, self._gateway.log.since(self._mark))))
        self._mark = self._gateway.mark

    def _hit(self, record: Record) -> str | None:
        """The name of the fault that *record* shows."""
        match record:
            case Frame(fault="lose"):
                return LOST[record.kind]
            case Call(path="/v0/connect/flush", status=401 | 500):
                return "refused flush"
        return None

    # -- faults that take more than a line

    def _connection(self) -> Connection:
        return self._chance.choice(self._gateway.connections)

    async def _drain(self) -> None:
        self._connection()
        await self._gateway.drain(window=0.5)

    def _stall(self) -> None:
        connection = self._connection()
        connection.stall()
        asyncio.get_running_loop().call_later(0.3, connection.resume)

    async def _nack(self) -> None:
        """Refuse the lease of a request that has most of its work before it: a nack of one that is done would change nothing."""
        slow = [each for each in self._open() if each.message.function_slug == "soak-slow"]
        if not slow:
            raise LookupError
        request = max(slow, key=lambda each: each.acked[0])
        refusal = WorkerRequestExtendLeaseAckData(request_id=request.id, function_slug="soak-slow")
        link = self._chance.choice([each for each in self._gateway.connections if each.routable])
        self._nacked.append(request)
        await link.send(Kind.WORKER_REQUEST_EXTEND_LEASE_ACK, refusal)

    async def _redeliver(self) -> None:
        """Send a request again, but none that was nacked: its execution was cancelled, so a second start would be right."""
        request = self._chance.choice(self._open())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._gateway.redeliver(request.id), 0.5)

    def _open(self) -> list[Request]:
        """Requests that a worker took and that have no reply; of each run that is under way only the newest can be one."""
        newest = [self._gateway.ledger[run.requests[-1]] for run in self._load.running if run.requests]
        return [each for each in newest if each.acked and each.status == "waiting" and each not in self._nacked]
