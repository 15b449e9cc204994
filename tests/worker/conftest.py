"""What tests of the real worker share: a gateway, a worker at its pace, and the certainty that nothing is left behind."""

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import aiohttp
import inngest
import pytest
import tenacity

from connect import ConnectionState, Deadlines, WorkerConnection, connect, events, wire
from connect.gateway import Gateway

QUICK = Deadlines(start=2.0, socket=2.0, hello=0.5, ready=0.5, ready_max=2.0, reply_ack=0.2, settle=0.3, pause=0.01)
"""The worker's patience, scaled to a gateway whose interval is 50 ms."""


def quick_retry() -> tenacity.AsyncRetrying:
    """Tries again after 20 ms, whatever the cause."""
    return tenacity.AsyncRetrying(wait=tenacity.wait_fixed(0.02))


@pytest.fixture
async def gw() -> AsyncIterator[Gateway]:
    """A gateway whose intervals are 50 ms."""
    async with Gateway(heartbeat_interval="50ms", extend_lease_interval="50ms", close_timeout=0.5) as gateway:
        yield gateway


@pytest.fixture
def quiet(gw: Gateway) -> None:
    """No beat and no lease extension comes while a test runs: for those that judge the exact sequence of things."""
    gw.heartbeat_interval = gw.extend_lease_interval = "60s"


class Apps:
    """One client on a gateway, and the functions that a test gives it."""

    def __init__(self, gateway: Gateway, app_id: str = "app") -> None:
        self.client = inngest.Inngest(app_id=app_id, api_base_url=gateway.url, is_production=False)
        self.functions: list[inngest.Function[Any]] = []

    def function(self, fn_id: str, **options: Any) -> Callable[[Any], inngest.Function[Any]]:
        """Decorator: an Inngest function that event `<fn_id>` triggers."""

        def decorate(handler: Any) -> inngest.Function[Any]:
            made = self.client.create_function(
                fn_id=fn_id, trigger=inngest.TriggerEvent(event=fn_id), **{"retries": 0, **options}
            )(handler)
            self.functions.append(made)
            return made

        return decorate


@pytest.fixture
def apps(gw: Gateway) -> Apps:
    """An app with one function, `app-echo`, which returns its event's data."""
    made = Apps(gw)

    @made.function("echo")
    async def echo(ctx: inngest.Context) -> Any:
        return ctx.event.data.get("value")

    return made


class Held:
    """Function `app-hold`: it tells that it runs, and waits to be let go."""

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
        """Until it runs."""
        async with asyncio.timeout(5):
            await self.started.wait()


@pytest.fixture
def held(apps: Apps) -> Held:
    """`app-hold` in `apps`: ask for it before `start`."""
    return Held(apps)


class Running:
    """A worker that a test started, with everything it told."""

    def __init__(self, connection: WorkerConnection) -> None:
        self.connection = connection
        self.told: list[Any] = []
        self.states: list[ConnectionState] = []
        connection.on(events.Event, self.told.append)
        connection.on(events.StateChanged, lambda event: self.states.append(event.to_state))
        self.task = asyncio.create_task(connection.start())

    def __getattr__(self, name: str) -> Any:
        return getattr(self.connection, name)

    def heard(self, kind: type[Any]) -> list[Any]:
        """The events of *kind* so far."""
        return [event for event in self.told if isinstance(event, kind)]

    async def hears(self, kind: type[Any], count: int = 1) -> Any:
        """Wait until the *count*-th event of *kind*; returns it."""
        arrived = asyncio.Event()
        remove = self.connection.on(kind, lambda _: arrived.set())
        try:
            async with asyncio.timeout(5):
                while len(self.heard(kind)) < count:
                    arrived.clear()
                    await arrived.wait()
        finally:
            remove()
        return self.heard(kind)[count - 1]


@pytest.fixture
async def start(gw: Gateway, apps: Apps) -> AsyncIterator[Callable[..., Any]]:
    """Start a worker, by default for `apps`, and wait until it takes work (`ready=False`: do not wait).

    At the end each is closed, and must have ended without an unexpected event.
    """
    running: list[Running] = []

    async def begin(given: Any = None, *, ready: bool = True, **options: Any) -> Running:
        options = {"retry": quick_retry(), "deadlines": QUICK, "shutdown_signals": [], "flush_timeout": 5.0, **options}
        worker = Running(connect(given or [(apps.client, apps.functions)], **options))
        running.append(worker)
        if ready:
            waiting = asyncio.create_task(worker.connection.wait_for_state(ConnectionState.ACTIVE))
            await asyncio.wait([waiting, worker.task], return_when=asyncio.FIRST_COMPLETED, timeout=10)
            if worker.task.done():
                await worker.task
            await waiting
            await gw.wait_for_worker()
        return worker

    yield begin
    for worker in running:
        await worker.connection.close()
        await asyncio.wait([worker.task], timeout=10)
        assert worker.task.done(), f"{worker.connection!r} did not end: {worker.connection.status()}"
        if not worker.task.cancelled():
            worker.task.exception()
        assert worker.connection.status().unexpected_events == 0


@pytest.fixture
def break_write(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`break_write(kind)`: writing the next frame of *kind* (or *count* of them) raises in the worker; its socket stays open."""
    send_bytes = aiohttp.ClientWebSocketResponse.send_bytes
    left: Counter[int] = Counter()

    async def send(socket: aiohttp.ClientWebSocketResponse, data: bytes, compress: int | None = None) -> None:
        kind = wire.ConnectMessage.FromString(data).kind
        if left[kind]:
            left[kind] -= 1
            raise ConnectionResetError("Cannot write to closing transport")
        await send_bytes(socket, data, compress)

    monkeypatch.setattr(aiohttp.ClientWebSocketResponse, "send_bytes", send)

    def arm(kind: int, count: int = 1) -> None:
        left[kind] += count

    return arm


@pytest.fixture(autouse=True)
def no_bug_is_reported(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """The worker calls its own bugs by name in its log: none may."""
    yield
    for when in ("setup", "call"):
        for record in caplog.get_records(when):
            assert "bug in the worker" not in record.getMessage(), record.getMessage()


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    """The connection's thread ends with its worker."""
    yield
    for thread in threading.enumerate():
        if thread.name == "connect":
            # start() returns a few instructions before its thread does.
            thread.join(5)
            assert not thread.is_alive(), thread
