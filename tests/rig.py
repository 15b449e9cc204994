"""What tests of a real worker use: short deadlines, apps with functions, a function that waits, and a worker whose events are
noted.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import inngest
import pytest
import tenacity

from connect import ConnectionState, Deadlines, WorkerConnection, events
from connect.gateway import Answer, Ended, Gateway, Kind, Opened, Run

CONNECTING, ACTIVE, DRAINING, RECONNECTING, CLOSED = (
    ConnectionState.CONNECTING,
    ConnectionState.ACTIVE,
    ConnectionState.DRAINING,
    ConnectionState.RECONNECTING,
    ConnectionState.CLOSED,
)
DOWN = Answer(500)
"""As the standing answer to start requests it keeps a worker between two links for as long as a test likes."""

PROPERLY = ("worker", 1000, "WORKER_SHUTDOWN")
"""How the worker closes a link: see `endings`."""

QUICK = Deadlines(start=2.0, socket=2.0, hello=5.0, ready=5.0, ready_max=9.0, reply_ack=0.2, settle=0.3, pause=0.01)
"""The worker's patience, scaled to a gateway whose interval is 50 ms."""


PATIENT = Deadlines(start=5.0, socket=5.0, hello=5.0, ready=5.0, reply_ack=30.0, settle=5.0, pause=0.01)
"""Deadlines that mend nothing within a test: what is mended then is mended by something else."""


async def a_tenth(seconds: float) -> None:
    """Sleep a tenth of *seconds*: a lost link is replaced within 50 ms instead of half a second."""
    await asyncio.sleep(seconds / 10)


def quick_retry() -> tenacity.AsyncRetrying:
    """Tries again after 20 ms, whatever the cause."""
    return tenacity.AsyncRetrying(wait=tenacity.wait_fixed(0.2), sleep=a_tenth)


def patient() -> tenacity.AsyncRetrying:
    """A backoff that is longer than any test."""
    return tenacity.AsyncRetrying(wait=tenacity.wait_fixed(3600), sleep=a_tenth)


def ends(gateway: Gateway) -> list[Ended]:
    """The ends of sockets so far, as the gateway saw them."""
    return [record for record in gateway.log if isinstance(record, Ended)]


class Apps:
    """A client of a gateway, and the functions that a test defines."""

    def __init__(self, gateway: Gateway, app_id: str = "app") -> None:
        self.client = inngest.Inngest(app_id=app_id, api_base_url=gateway.url, is_production=False)
        self.functions: list[inngest.Function[Any]] = []

    def function(self, fn_id: str, **options: Any) -> Callable[[Any], inngest.Function[Any]]:
        """A decorator that makes an Inngest function; the event `<fn_id>` triggers it."""

        def decorate(handler: Any) -> inngest.Function[Any]:
            made = self.client.create_function(
                fn_id=fn_id, trigger=inngest.TriggerEvent(event=fn_id), **{"retries": 0, **options}
            )(handler)
            self.functions.append(made)
            return made

        return decorate


class Held:
    """Function `app-hold`: it says that it runs, and waits until the test lets it go."""

    def __init__(self, apps: Apps) -> None:
        self.started = asyncio.Event()
        self.release = asyncio.Event()
        self.calls = 0

        @apps.function("hold")
        async def hold(ctx: inngest.Context) -> str:
            self.calls += 1
            self.started.set()
            await self.release.wait()
            return "held"

    async def running(self) -> None:
        """Wait until it runs."""
        async with asyncio.timeout(5):
            await self.started.wait()


class Running:
    """A worker that a test started, with all its events."""

    def __init__(self, connection: WorkerConnection) -> None:
        self.connection = connection
        self.told: list[Any] = []
        self.states: list[ConnectionState] = []
        self._news = asyncio.Event()
        connection.on(events.Event, self._hear)
        self.task = asyncio.create_task(connection.start())

    def __getattr__(self, name: str) -> Any:
        return getattr(self.connection, name)

    def _hear(self, event: events.Event) -> None:
        self.told.append(event)
        if isinstance(event, events.StateChanged):
            self.states.append(event.to_state)
        self._news.set()

    def heard(self, kind: type[Any]) -> list[Any]:
        """The events of *kind* so far."""
        return [event for event in self.told if isinstance(event, kind)]

    async def hears(self, kind: type[Any], count: int = 1) -> Any:
        """Wait until the *count*-th event of *kind*; returns it."""
        async with asyncio.timeout(5):
            while len(self.heard(kind)) < count:
                self._news.clear()
                await self._news.wait()
        return self.heard(kind)[count - 1]


def reported(caplog: pytest.LogCaptureFixture) -> None:
    """Check that the bug was logged with its traceback, and clear the log."""
    bugs = [record for record in caplog.records if "bug in the worker" in record.getMessage()]
    assert bugs
    assert any(record.exc_info and record.exc_info[0] is ZeroDivisionError for record in bugs)
    caplog.clear()


async def at_work(gw: Gateway, held: Held) -> Run:
    """Start a run, and wait until its function runs."""
    run = gw.start_run("app-hold")
    await held.running()
    return run


async def finish(held: Held, run: Run) -> None:
    """Let the function go, and wait until its run is completed."""
    held.release.set()
    async with asyncio.timeout(5):
        await run.done()
    assert (run.status, run.output) == ("completed", "held")


async def reaches(worker: Running, state: ConnectionState, *, times: int = 1) -> None:
    """Wait until the worker has entered *state* so many *times*."""
    while worker.states.count(state) < times:
        await worker.hears(events.StateChanged, len(worker.heard(events.StateChanged)) + 1)


async def closed(worker: Running) -> None:
    """Wait until the worker has ended, and start() has returned or raised."""
    async with asyncio.timeout(5):
        await worker.connection.closed()
        await asyncio.wait([worker.task])


def said(gw: Gateway, number: int) -> list[str]:
    """The kinds of the frames that came over a connection."""
    return [
        Kind.Name(Kind.ValueType(frame.kind))
        for frame in gw.frames()
        if frame.connection == number and frame.direction == "in"
    ]


def endings(gw: Gateway) -> dict[int, tuple[str, int, str]]:
    """How each connection ended: who ended it, code, reason."""
    return {each.connection: (each.by, each.code, each.reason) for each in gw.log if isinstance(each, Ended)}


def opened(gw: Gateway) -> int:
    """How many sockets were opened so far."""
    return sum(isinstance(record, Opened) for record in gw.log)


def most_links(gw: Gateway) -> int:
    """How many sockets were open at once, at most."""
    now = most = 0
    for record in gw.log:
        now += isinstance(record, Opened)
        now -= isinstance(record, Ended)
        most = max(most, now)
    return most
