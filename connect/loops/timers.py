"""Timers on the loop's monotonic clock, owned by whoever arms them."""

import asyncio
from collections.abc import Callable


class Ticker:
    """Calls *tick* every *interval* seconds until `cancel()`; at first after *first* seconds, or one interval.

    The cadence is kept against the clock, not against the last call; ticks that a blocked loop missed are not made up for.
    """

    def __init__(self, interval: float, tick: Callable[[], None], first: float | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._interval = interval
        self._tick = tick
        self._due = self._loop.time() + (interval if first is None else first)
        self._handle = self._loop.call_at(self._due, self._run)

    def cancel(self) -> None:
        """No tick from here on; again is harmless."""
        self._handle.cancel()

    def _run(self) -> None:
        missed = max(0.0, self._loop.time() - self._due) // self._interval
        self._due += (1 + missed) * self._interval
        self._handle = self._loop.call_at(self._due, self._run)
        self._tick()


class Timer:
    """One deadline that can be armed, armed anew and disarmed."""

    def __init__(self, expire: Callable[[], None]) -> None:
        self._expire = expire
        self._handle: asyncio.TimerHandle | None = None

    @property
    def armed(self) -> bool:
        """Whether it has been armed and not disarmed; it stays so once it has expired."""
        return self._handle is not None

    def arm(self, seconds: float | None) -> None:
        """Expire *seconds* from now instead of whenever it was to be; None: never."""
        self.disarm()
        if seconds is not None:
            self._handle = asyncio.get_running_loop().call_later(seconds, self._expire)

    def hasten(self) -> None:
        """Expire now, on the loop's next turn, if armed at all."""
        if self._handle:
            self.arm(0)

    def disarm(self) -> None:
        """Do not expire; again is harmless."""
        if self._handle:
            self._handle.cancel()
            self._handle = None
