"""Sync functions that wait for a thread: counted, and warned of if one waits for long."""

import asyncio
from typing import TYPE_CHECKING, Final

from connect.redaction import logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from connect.status import ThreadStatus

WARNING_SECONDS: Final = 60.0
"""The least time between two warnings."""

log = logger("connect.functions")


class ThreadWaits:
    """The calls that wait for one of *threads* threads. On the loop that runs functions; `status` from any thread."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._since: dict[object, float] = {}
        self._total = 0
        self._timer: asyncio.TimerHandle | None = None
        self._warned = -WARNING_SECONDS
        self.limit: float | None = None
        """Seconds that a call may wait before it is warned of; None or 0: no warning."""
        self.changed: Callable[[], object] = lambda: None
        """Called when a wait begins or ends."""

    @property
    def status(self) -> "ThreadStatus":
        """How many threads there are, and how many calls wait for one and have waited."""
        from connect.status import ThreadStatus  # not imported at the start: it takes 5 ms

        return ThreadStatus(threads=self._threads, waiting=len(self._since), waited=self._total)

    async def acquire(self, free: asyncio.Semaphore) -> None:
        """Acquire *free*, which has a count for each free thread."""
        if not free.locked():
            await free.acquire()
            return
        wait = object()
        loop = asyncio.get_running_loop()
        self._since[wait] = loop.time()
        self._total += 1
        if self._timer is None and self.limit:
            self._timer = loop.call_later(self.limit, self._look)
        self.changed()
        try:
            await free.acquire()
        finally:
            del self._since[wait]
            self._stop_looking_if_none_waits()
            self.changed()

    def _stop_looking_if_none_waits(self) -> None:
        if self._timer and not self._since:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        """Warn if a call has waited for *limit*, and look again when the next warning may be due."""
        loop, limit = asyncio.get_running_loop(), self.limit or 0.0
        now, oldest = loop.time(), min(self._since.values())
        due = max(oldest + limit, self._warned + WARNING_SECONDS)
        if now >= due:
            self._warned = now
            log.warning(
                "%d sync functions wait for a thread, the longest for %.1f s: all %d threads are busy; set a higher "
                "INNGEST_THREAD_POOL_MAX_WORKERS, or a lower max_worker_concurrency",
                len(self._since),
                now - oldest,
                self._threads,
            )
            due = now + WARNING_SECONDS
        self._timer = loop.call_at(due, self._look)
