"""Extends the leases of all requests, in one sweep per interval (PROTOCOL.md §7).

The sweep runs while at least one link is UP. It extends over the *current* link only, so that two links in a hand-over never send
the same lease id, and a lease outlives the link that brought it. Many leases are extended in several batches, spread over half an
interval, so that ten thousand of them delay no heartbeat.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, Generic, Protocol, TypeVar

from connect.loops.timers import Ticker, Timer
from connect.wire import ulid
from connect.wire.intervals import Intervals

AT_ONCE: Final = 64
"""Leases that are extended in one batch; more, where a sweep would need more than `BATCHES`."""
BATCHES: Final = 32
"""Into how many batches a sweep is divided at most."""


class LinkUp(Protocol):
    """What the sweep needs of a link: the intervals that its gateway asks for."""

    @property
    def intervals(self) -> Intervals: ...


L = TypeVar("L", bound=LinkUp)
_L_contra = TypeVar("_L_contra", bound=LinkUp, contravariant=True)


class Leased(Protocol[_L_contra]):
    """A request that has a lease, or has lost it."""

    def extend(self, link: _L_contra) -> None:
        """Send WORKER_REQUEST_EXTEND_LEASE over *link*, unless the lease is lost or the request has ended."""


def seconds_left(lease_id: str) -> float | None:
    """Seconds until this lease ends, by this machine's wall clock; negative: it has ended. None: its id is no ULID."""
    end = ulid.timestamp(lease_id)
    return None if end is None else end - time.time()


class Leases(Generic[L]):
    """Extends the leases of *holders()* over the link *current()*, once per interval. On the connection's loop only."""

    def __init__(self, holders: Callable[[], Iterable[Leased[L]]], current: Callable[[], L | None]) -> None:
        self._holders = holders
        self._current = current
        self._links_up: list[L] = []
        self._ticker: Ticker | None = None
        self._swept_at: float | None = None
        self._waiting: deque[Leased[L]] = deque()
        self._batch_size = AT_ONCE
        self._next_batch = Timer(self._extend_batch)

    @property
    def interval(self) -> float | None:
        """Seconds between two extensions of a lease: what the link that came UP last asks for; None while no link is UP."""
        return self._links_up[-1].intervals.extend_lease if self._links_up else None

    def carry(self, link: L) -> None:
        """*link* is UP: run the sweep, at its interval."""
        self._links_up.append(link)
        self._restart()

    def leave(self, link: L) -> None:
        """*link* is no longer UP."""
        self._links_up.remove(link)
        self._restart()

    def _restart(self) -> None:
        """Run the sweep at the newest link's interval, or stop it. Links that come and go must not postpone the next sweep."""
        if self._ticker:
            self._ticker.cancel()
            self._ticker = None
        if self.interval is None:
            self._next_batch.disarm()
        else:
            self._ticker = Ticker(self.interval, self._sweep, first=self._first(self.interval))
            if self._waiting:
                self._next_batch.arm(0)

    def _first(self, interval: float) -> float:
        if self._swept_at is None:
            return interval
        return max(0.0, self._swept_at + interval - asyncio.get_running_loop().time())

    def _sweep(self) -> None:
        self._swept_at = asyncio.get_running_loop().time()
        # A late loop may not have finished the last sweep: its rest goes first, or the newest leases would never be extended.
        left = set(map(id, self._waiting))
        self._waiting.extend(holder for holder in self._holders() if id(holder) not in left)
        self._batch_size = max(AT_ONCE, -(-len(self._waiting) // BATCHES))
        self._extend_batch()

    def _extend_batch(self) -> None:
        link, interval = self._current(), self.interval
        for _ in range(min(self._batch_size, len(self._waiting))):
            holder = self._waiting.popleft()
            if link:
                holder.extend(link)
        if self._waiting and interval is not None:
            self._next_batch.arm(interval / 2 / BATCHES)
