"""What tests of the real worker share: a gateway, a worker at its pace, and the certainty that nothing is left behind."""

import asyncio
import functools
import os
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import aiohttp
import inngest
import pytest
from official import Server, within
from rig import ACTIVE, QUICK, Apps, Held, Running, quick_retry

from connect import ConnectionState, connect, wire
from connect.gateway import Gateway


@pytest.fixture
async def gw() -> AsyncIterator[Gateway]:
    """A gateway whose intervals are 50 ms."""
    async with Gateway(heartbeat_interval="50ms", extend_lease_interval="50ms", close_timeout=0.5) as gateway:
        yield gateway


@pytest.fixture
def quiet(gw: Gateway) -> None:
    """No beat and no lease extension comes while a test runs: for those that judge the exact sequence of things."""
    gw.heartbeat_interval = gw.extend_lease_interval = "60s"


@pytest.fixture
def apps(gw: Gateway) -> Apps:
    """An app with one function, `app-echo`, which returns its event's data."""
    made = Apps(gw)

    @made.function("echo")
    async def echo(ctx: inngest.Context) -> Any:
        return ctx.event.data.get("value")

    return made


@pytest.fixture
def held(apps: Apps) -> Held:
    """`app-hold` in `apps`: ask for it before `start`."""
    return Held(apps)


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
                waiting.cancel()
                await asyncio.gather(waiting, return_exceptions=True)
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


@pytest.fixture(params=["embedded", pytest.param("real", marks=pytest.mark.real_server)])
async def server(request: pytest.FixtureRequest, gw: Gateway) -> AsyncIterator[Server]:
    if request.param == "embedded":
        gw.heartbeat_interval = "1s"  # no test of these asks whether three of them come in time
        made = Server(gw.url, long_step=0.6, gateway=gw)
    else:
        named = os.environ.get("INNGEST_DEV", "")
        if named in ("", "0", "false"):
            pytest.skip(
                "INNGEST_DEV names no server: set it to http://127.0.0.1:8288, or to 1, with a dev server running"
            )
        made = Server(named if named.startswith("http") else "http://127.0.0.1:8288", long_step=70.0)
    yield made
    await made.client._http_client._http_client.aclose()  # it has no public way to let go of what it sent events over


@pytest.fixture
async def embedded(gw: Gateway) -> AsyncIterator[Server]:
    gw.heartbeat_interval = "1s"
    made = Server(gw.url, long_step=0.6, gateway=gw)
    yield made
    await made.client._http_client._http_client.aclose()


@pytest.fixture
async def run() -> AsyncIterator[Callable[..., Any]]:
    """Start a worker that `connect` made, by default wait until it is ACTIVE; at the end close it and see it end."""
    started: list[Running] = []

    async def begin(connection: Any, *, ready: bool = True) -> Running:
        worker = Running(connection)
        started.append(worker)
        if ready:
            await within(connection.wait_for_state(ACTIVE))
        return worker

    yield begin
    for worker in started:
        await worker.connection.close()
        await asyncio.wait([worker.task], timeout=10)
        assert worker.task.done()
        worker.task.exception()


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


@pytest.fixture
def breaks(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`breaks(owner, name, nth)`: the *nth* call of that action raises. What the worker says of it: `rig.reported`."""

    def arm(owner: type[Any], name: str, nth: int = 1) -> None:
        action, calls = getattr(owner, name), Counter[str]()

        @functools.wraps(action)
        def broken(*args: Any, **data: Any) -> Any:
            calls[name] += 1
            if calls[name] == nth:
                raise ZeroDivisionError("a bug")
            return action(*args, **data)

        monkeypatch.setattr(owner, name, broken)

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
