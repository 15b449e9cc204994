"""What people wait for while a worker ends: said every few seconds, so that nobody wonders."""

import asyncio
import logging
from typing import Final

from connect.events import Draining
from connect.status import Status
from connect.timers import Ticker
from connect.worker import WorkerConnection

EVERY: Final = 5.0

log = logging.getLogger("connect")


class Waits:
    """From the worker's shutdown on, until `end()`. On the loop that starts the worker."""

    def __init__(self, worker: WorkerConnection, every: float = EVERY) -> None:
        self._worker = worker
        self._every = every
        self._ticker: Ticker | None = None
        self._remove = worker.on(Draining, self._begin)

    def end(self) -> None:
        """There is nothing to wait for any more."""
        self._remove()
        if self._ticker:
            self._ticker.cancel()

    def _begin(self, told: Draining) -> None:
        if told.by == "worker" and self._ticker is None and asyncio.get_running_loop().is_running():
            self._ticker = Ticker(self._every, self._tell)

    def _tell(self) -> None:
        words = waiting_for(self._worker.status())
        if words:
            log.info("still draining: %s", words)


def waiting_for(status: Status) -> str:
    """`3 requests left, the oldest 12 s (shop-order)`; "" for nothing."""
    if not status.in_flight:
        return ""
    oldest = max(status.in_flight, key=lambda request: request.age)
    count = len(status.in_flight)
    noun = "request" if count == 1 else "requests"
    return f"{count} {noun} left, the oldest {oldest.age:.0f} s ({oldest.function_slug}, {oldest.state})"
