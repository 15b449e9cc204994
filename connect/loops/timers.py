"""Timers on the running loop's monotonic clock. The code that starts one must cancel it."""

import asyncio
from collections.abc import Callable


class Ticker:
    """Calls *tick* every *interval* seconds until `cancel()`; the first time after *first* seconds (None: after one interval).

    The times are multiples of the interval, however late a call was. Calls that a blocked loop missed are skipped.
    """

    def __init__(self, interval: float, tick: Callable[[], None], first: float | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._interval = interval
        self._tick = tick
        self._due = self._loop.time() + (interval if first is None else first)
        self._handle = self._loop.call_at(self._due, self._run)

    def cancel(self) -> None:
        """Call *tick* no more. A second call does nothing."""
        self._handle.cancel()

    def _run(self) -> None:
        missed = max(0.0, self._loop.time() - self._due) // self._interval
        self._due += (1 + missed) * self._interval
        self._handle = self._loop.call_at(self._due, self._run)
        self._tick()


class Timer:
    """Calls *expire* once, when the deadline that `arm` sets has come. It can be armed again at any time."""

    def __init__(self, expire: Callable[[], None]) -> None:
        self._expire = expire
        self._handle: asyncio.TimerHandle | None = None

    @property
    def armed(self) -> bool:
        """Whether it has been armed and not disarmed; still true once it has expired."""
        return self._handle is not None

    def arm(self, seconds: float | None) -> None:
        """Expire *seconds* from now. Replaces an earlier deadline. None: never."""
        self.disarm()
        if seconds is not None:
            self._handle = asyncio.get_running_loop().call_later(seconds, self._expire)

    def hasten(self) -> None:
        """If armed, expire on the loop's next turn."""
        if self._handle:
            self.arm(0)

    def disarm(self) -> None:
        """Do not expire. A second call does nothing."""
        if self._handle:
            self._handle.cancel()
            self._handle = None
