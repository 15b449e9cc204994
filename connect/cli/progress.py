"""Log lines, every five seconds, that say what a worker waits for while it connects or shuts down."""

from typing import TYPE_CHECKING, Final

from connect.events import Connected, Draining
from connect.log_format import REPEATS
from connect.loops.timers import Ticker
from connect.redaction import logger
from connect.state import ConnectionState
from connect.worker import WorkerConnection

if TYPE_CHECKING:
    from connect.status import Status

EVERY: Final = 5.0
"""Seconds between two lines."""

log = logger("connect")


class Progress:
    """Logs until the first link, and again from the shutdown until `end()`. Make it on the loop that starts the worker."""

    def __init__(self, worker: WorkerConnection, every: float = EVERY) -> None:
        self._worker = worker
        self._every = every
        self._ticker = Ticker(every, self._log)
        self._removers = [worker.on(Connected, lambda _: self._ticker.cancel()), worker.on(Draining, self._drain)]

    def end(self) -> None:
        """Log no more."""
        for remove in self._removers:
            remove()
        self._ticker.cancel()

    def _drain(self, event: Draining) -> None:
        if event.by == "worker":
            self._ticker.cancel()
            self._ticker = Ticker(self._every, self._log)

    def _log(self) -> None:
        status = self._worker.status()
        if status.state is ConnectionState.CONNECTING:
            log.info("still connecting: %s", connecting(status), extra=REPEATS)
        elif status.in_flight:
            log.info("still draining: %s", draining(status))


def connecting(status: "Status") -> str:
    """`attempt 1, REGISTERING`, or `attempt 2 comes in 0.4 s`."""
    if status.next_retry_in is not None:
        digits = 0 if status.next_retry_in >= 10 else 1
        return f"attempt {status.attempts + 1} comes in {status.next_retry_in:.{digits}f} s"
    stage = [name for link in status.links[-1:] for name in link.states[-1:]]
    return ", ".join([f"attempt {status.attempts}", *stage])


def draining(status: "Status") -> str:
    """`3 requests left, the oldest 12 s (shop-order, EXECUTING)`; there must be one in flight."""
    oldest = max(status.in_flight, key=lambda request: request.age)
    count = len(status.in_flight)
    noun = "request" if count == 1 else "requests"
    return f"{count} {noun} left, the oldest {oldest.age:.0f} s ({oldest.function_slug}, {oldest.state})"
