"""One sweep for every lease of the worker (PROTOCOL.md §7).

Links that are UP carry it: the first one starts the sweep, the last one ends it. It extends over the *current* link only, so two
links in a hand-over never extend with the same id, and a lease outlives the link that brought it. Where there are many, a sweep
takes its time, up to half an interval, so that ten thousand leases hold up no heartbeat.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, Generic, Protocol, TypeVar

from connect.events import LeaseLost
from connect.listeners import Listeners
from connect.logs import about_request
from connect.loops.timers import Ticker, Timer
from connect.wire import GatewayExecutorRequestData, ulid
from connect.wire.intervals import Intervals

AT_ONCE: Final = 64
"""Leases that are extended in one go."""
SHARES: Final = 32
"""Into how many goes, at most, a sweep is divided."""

log = logging.getLogger("connect.requests")


class Carrier(Protocol):
    """A link, as far as the sweep needs it: its gateway says how often it wants leases extended."""

    @property
    def intervals(self) -> Intervals: ...


C = TypeVar("C", bound=Carrier)
_C_contra = TypeVar("_C_contra", bound=Carrier, contravariant=True)


class Leased(Protocol[_C_contra]):
    """A request that has a lease, or has lost it."""

    def extend(self, link: _C_contra) -> None:
        """Ask over *link* for more time, unless there is nothing to ask for (any more)."""


def tell_lost(data: GatewayExecutorRequestData, listeners: Listeners, *, cancelled: bool) -> None:
    """Log, and tell listeners, that the server has taken this execution away; *cancelled*: its function is."""
    log.warning(
        "lost the lease of request %s (run %s, %s): %s",
        data.request_id,
        data.run_id,
        data.function_slug,
        "its function is cancelled" if cancelled else "its function goes on",
        extra=about_request(data.request_id, data.run_id, data.function_slug),
    )
    listeners.emit(
        LeaseLost(request_id=data.request_id, run_id=data.run_id, function_slug=data.function_slug, cancelled=cancelled)
    )


def seconds_left(lease_id: str) -> float | None:
    """Seconds until this lease ends, by this machine's wall clock."""
    end = ulid.timestamp(lease_id)
    return None if end is None else end - time.time()


class Leases(Generic[C]):
    """Extends *holders()* over *current()* as often as that link's gateway asks for. On the connection's loop only."""

    def __init__(self, holders: Callable[[], Iterable[Leased[C]]], current: Callable[[], C | None]) -> None:
        self._holders = holders
        self._current = current
        self._carriers: list[C] = []
        self._ticker: Ticker | None = None
        self._swept_at: float | None = None
        self._waiting: deque[Leased[C]] = deque()
        self._share = AT_ONCE
        self._next = Timer(self._extend_some)

    @property
    def interval(self) -> float | None:
        """Seconds between two extensions; None while no link carries them."""
        return self._carriers[-1].intervals.extend_lease if self._carriers else None

    def carry(self, link: C) -> None:
        """*link* is UP: the sweep runs, at its pace."""
        self._carriers.append(link)
        self._restart()

    def leave(self, link: C) -> None:
        """*link* is UP no longer."""
        self._carriers.remove(link)
        self._restart()

    def _restart(self) -> None:
        """A change of carriers must not push the next sweep off: links that come and go would starve the leases."""
        if self._ticker:
            self._ticker.cancel()
            self._ticker = None
        if self.interval is None:
            self._next.disarm()
        else:
            self._ticker = Ticker(self.interval, self._sweep, first=self._first(self.interval))
            if self._waiting:
                self._next.arm(0)

    def _first(self, interval: float) -> float:
        if self._swept_at is None:
            return interval
        return max(0.0, self._swept_at + interval - asyncio.get_running_loop().time())

    def _sweep(self) -> None:
        self._swept_at = asyncio.get_running_loop().time()
        # Where the loop is so late that the last sweep has not come to its end, its rest goes first: else the youngest never would.
        late = set(map(id, self._waiting))
        self._waiting.extend(holder for holder in self._holders() if id(holder) not in late)
        self._share = max(AT_ONCE, -(-len(self._waiting) // SHARES))
        self._extend_some()

    def _extend_some(self) -> None:
        link, interval = self._current(), self.interval
        for _ in range(min(self._share, len(self._waiting))):
            holder = self._waiting.popleft()
            if link:
                holder.extend(link)
        if self._waiting and interval is not None:
            self._next.arm(interval / 2 / SHARES)
