"""The ledger: what became of every dispatched request."""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from connect.wire import GatewayExecutorRequestData, SDKResponse

Status: TypeAlias = Literal["waiting", "replied", "lapsed", "undelivered", "cancelled"]
Via: TypeAlias = Literal["socket", "flush"]


@dataclass(eq=False, slots=True)
class Request:
    """One dispatched execution, from the executor's side.

    `status` is what the executor made of it: "waiting" for the reply, "replied", "lapsed" (its lease ran out), "undelivered"
    (nobody acknowledged it), "cancelled" (its run was). `reply` is the reply that was stored first, `via` the way it came; it
    may come after the executor gave up. Times are monotonic seconds.
    """

    message: GatewayExecutorRequestData
    answer: asyncio.Future[SDKResponse] = field(repr=False)
    verdict: asyncio.Future[bool] | None = field(default=None, repr=False)
    status: Status = "waiting"
    dispatched: list[tuple[float, int]] = field(default_factory=list)
    """When, and over which connection (its number)."""
    acked: list[float] = field(default_factory=list)
    reply: SDKResponse | None = field(default=None, repr=False)
    via: Via | None = None
    duplicates: int = 0
    """Replies after the first."""
    extended: int = 0
    nacked: int = 0

    @property
    def id(self) -> str:
        """The request id."""
        return self.message.request_id

    def decide(self, accepted: bool) -> None:
        """End the forward that is under way: the worker took the request, or it is free for another connection."""
        if self.verdict is not None and not self.verdict.done():
            self.verdict.set_result(accepted)


class Ledger:
    """Requests by id, the newest `capacity` of them."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._requests: OrderedDict[str, Request] = OrderedDict()
        self.strangers: list[str] = []
        """Request ids of replies that answer no request in the ledger."""

    def __getitem__(self, request_id: str) -> Request:
        return self._requests[request_id]

    def __iter__(self) -> Iterator[Request]:
        return iter(list(self._requests.values()))

    def __len__(self) -> int:
        return len(self._requests)

    def get(self, request_id: str) -> Request | None:
        """The request, if the ledger knows it."""
        return self._requests.get(request_id)

    def add(self, request: Request) -> None:
        """Enter *request*; the oldest leaves if the ledger is full."""
        self._requests[request.id] = request
        if len(self._requests) > self._capacity:
            self._requests.popitem(last=False)

    @property
    def accepted(self) -> list[Request]:
        """The requests that a worker acknowledged."""
        return [request for request in self if request.acked]

    @property
    def lost(self) -> list[Request]:
        """Acknowledged, and no reply was ever stored. Only once all work has ended is this a verdict."""
        return [request for request in self.accepted if request.reply is None]

    def summary(self) -> dict[str, int]:
        """Counts for a report: requests, accepted, lost, first replies by way, duplicates, nacked, strangers, and by status."""
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
            "strangers": len(self.strangers),
            **Counter(request.status for request in requests),
        }
