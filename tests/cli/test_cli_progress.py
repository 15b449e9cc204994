"""The command says in its log what a worker waits for while it connects, and while it shuts down."""

import asyncio
import contextlib
import logging
from typing import Any

import pytest

from connect.cli.progress import Progress, draining
from connect.events import Connected, Draining, Event
from connect.status import ConnectionState, InFlight, LinkStatus, Status


def test_what_is_waited_for_is_said_in_words() -> None:
    """The line says how many executions run, and for how long the oldest has."""
    work = [InFlight(str(age), "run", "app", "app-fn", "EXECUTING", float(age)) for age in (3, 12, 5)]
    assert draining(Status(ConnectionState.DRAINING, in_flight=tuple(work))) == (
        "3 requests left, the oldest 12 s (app-fn, EXECUTING)"
    )


class Watched:
    """Stands in for a worker: `status()` returns *status* and sets `asked`."""

    def __init__(self, status: Status) -> None:
        self._listeners: dict[Any, Any] = {}
        self._status = status
        self.asked = asyncio.Event()

    def on(self, kind: Any, callback: Any) -> Any:
        self._listeners[kind] = callback
        return lambda: self._listeners.pop(kind, None)

    def tell(self, event: Event) -> None:
        self._listeners[type(event)](event)

    def status(self) -> Status:
        self.asked.set()
        return self._status

    async def is_asked(self) -> bool:
        """Whether `status()` is called within some ticks."""
        self.asked.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.asked.wait(), 0.2)
        return self.asked.is_set()


async def test_a_shutdown_tells_what_it_waits_for_until_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    """The line comes again and again, but not while the gateway drains."""
    caplog.set_level(logging.INFO, "connect")
    work = (InFlight("r", "u", "a", "f", "EXECUTING", 1.0),)
    worker = Watched(Status(ConnectionState.DRAINING, in_flight=work))
    waits = Progress(worker, every=0.02)  # type: ignore[arg-type]
    worker.tell(Connected(connection_id="c", gateway_group="g"))
    worker.tell(Draining(by="gateway", connection_id=None))
    assert not await worker.is_asked()
    worker.tell(Draining(by="worker", connection_id=None))
    assert await worker.is_asked()
    assert await worker.is_asked()
    waits.end()
    assert not await worker.is_asked()
    assert "still draining: 1 request left, the oldest 1 s (f, EXECUTING)" in caplog.messages


HANDSHAKE = LinkStatus("", "", ("HANDSHAKE", "STARTING"), is_current=False)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (Status(ConnectionState.CONNECTING, attempts=1, links=(HANDSHAKE,)), "attempt 1, STARTING"),
        (Status(ConnectionState.CONNECTING, attempts=3, next_retry_in=12.4), "attempt 4 comes in 12 s"),
        (Status(ConnectionState.CONNECTING, attempts=1, next_retry_in=0.27), "attempt 2 comes in 0.3 s"),
    ],
)
async def test_a_start_tells_what_it_waits_for_until_the_first_link(
    caplog: pytest.LogCaptureFixture, status: Status, words: str
) -> None:
    """A start that neither fails nor goes on would be silent otherwise."""
    caplog.set_level(logging.INFO, "connect")
    worker = Watched(status)
    waits = Progress(worker, every=0.02)  # type: ignore[arg-type]
    assert await worker.is_asked()
    assert await worker.is_asked()
    assert f"still connecting: {words}" in caplog.messages
    worker.tell(Connected(connection_id="c", gateway_group="g"))
    assert not await worker.is_asked()
    waits.end()
