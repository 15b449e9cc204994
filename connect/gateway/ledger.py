"""The test gateway's ledger: the outcome of every request that it dispatched."""

import asyncio
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from connect.gateway.newest import Newest
from connect.wire import GatewayExecutorRequestData, SDKResponse

Status: TypeAlias = Literal["waiting", "replied", "lapsed", "undelivered", "cancelled"]
Via: TypeAlias = Literal["socket", "flush"]

STRANGERS: Final = 1000
"""Request ids of replies to unknown requests that are kept: the newest."""
ACKS: Final = 100
"""Acknowledgements of one request of which the time is kept: the first ones."""
_OVERHEAD: Final = 2000
"""Bytes that a request holds besides its messages."""


@dataclass(eq=False, slots=True)
class Request:
    """One dispatched execution, as the server sees it.

    `status`: "waiting" for the reply, "replied", "lapsed" (its lease ran out), "undelivered" (no worker acknowledged it), or
    "cancelled" (its run was cancelled). `reply` is the first reply that came, also if it came after the request had lapsed; `via`
    is the way it came. Times are monotonic seconds.
    """

    message: GatewayExecutorRequestData
    answer: asyncio.Future[SDKResponse] = field(repr=False)
    verdict: asyncio.Future[bool] | None = field(default=None, repr=False)
    status: Status = "waiting"
    dispatched: list[tuple[float, int]] = field(default_factory=list)
    """Each time that it was sent: when, and over which connection (its number)."""
    acked: list[float] = field(default_factory=list)
    """When it was acknowledged, at most `ACKS` times."""
    reply: SDKResponse | None = field(default=None, repr=False)
    via: Via | None = None
    duplicates: int = 0
    """Replies after the first."""
    extended: int = 0
    nacked: int = 0
    unrouted: int = 0
    """How often it was to be sent and no connection was routable. It waits then for `routing_timeout`; the server fails the attempt
    at once, unless connections drain (PROTOCOL.md §6.4)."""

    @property
    def id(self) -> str:
        """The request id."""
        return self.message.request_id

    def decide(self, accepted: bool) -> None:
        """End the wait for an acknowledgement: a worker took the request, or it may go to another connection."""
        if self.verdict is not None and not self.verdict.done():
            self.verdict.set_result(accepted)


class Ledger:
    """The newest requests, by id: at most *capacity* of them, and at most *size* bytes."""

    def __init__(self, capacity: int, size: int) -> None:
        self._requests: Newest[str, Request] = Newest(capacity, size)
        self._strangers: deque[str] = deque(maxlen=STRANGERS)

    @property
    def strangers(self) -> list[str]:
        """The request ids of replies to requests that are not in the ledger: the newest `STRANGERS`."""
        return list(self._strangers)

    def __getitem__(self, request_id: str) -> Request:
        return self._requests[request_id]

    def __iter__(self) -> Iterator[Request]:
        return iter(self._requests)

    def __len__(self) -> int:
        return len(self._requests)

    def get(self, request_id: str) -> Request | None:
        """The request with this id, None if it is not in the ledger."""
        return self._requests.get(request_id)

    def add(self, request: Request) -> None:
        """Add *request*; drop the oldest ones if the ledger is full."""
        self._requests.add(request.id, request, _OVERHEAD + request.message.ByteSize())

    def note_reply(self, request: Request, reply: SDKResponse, via: Via) -> None:
        """*reply* is the first one to *request*. For the gateway itself."""
        request.reply, request.via = reply, via
        self._requests.grow(request.id, reply.ByteSize())

    def note_stranger(self, request_id: str) -> None:
        """A reply came to a request that is not in the ledger. For the gateway itself."""
        self._strangers.append(request_id)

    @property
    def accepted(self) -> list[Request]:
        """The requests that a worker acknowledged."""
        return [request for request in self if request.acked]

    @property
    def lost(self) -> list[Request]:
        """The requests that a worker acknowledged and that have no reply. While work is under way they are not lost yet."""
        return [request for request in self.accepted if request.reply is None]

    def summary(self) -> dict[str, int]:
        """Counts: requests, accepted, lost, first replies by socket, flush, duplicates, nacked, unrouted, strangers, by status."""
        requests = list(self)
        vias = Counter(request.via for request in requests)
        return {
            "requests": len(requests),
            "accepted": len(self.accepted),
            "lost": len(self.lost),
            "socket": vias["socket"],
            "flush": vias["flush"],
            "duplicates": sum(request.duplicates for request in requests),
            "nacked": sum(request.nacked for request in requests),
            "unrouted": sum(request.unrouted for request in requests),
            "strangers": len(self._strangers),
            **Counter(request.status for request in requests),
        }
