"""The fixtures of every test that runs a real worker: a gateway, a worker at its pace, and checks that it leaves nothing behind.

A folder's conftest.py imports those that its tests use, and always `no_bug_is_reported` and `no_thread_is_left`.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from typing import Any

import inngest
import pytest
from rig import QUICK, Apps, Held, Running, quick_retry
from spoilt_network import Spoilt

from connect import ConnectionState, connect
from connect.gateway import Gateway


@pytest.fixture
async def gw() -> AsyncIterator[Gateway]:
    """A gateway whose intervals are 50 ms."""
    async with Gateway(heartbeat_interval="50ms", extend_lease_interval="50ms", close_timeout=0.5) as gateway:
        yield gateway


@pytest.fixture
def quiet(gw: Gateway) -> None:
    """No heartbeat and no lease extension comes during the test, so that it can check the exact sequence of frames."""
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
    """`app-hold` in `apps`. Use it before `start`."""
    return Held(apps)


@pytest.fixture
def spoilt() -> Spoilt:
    """What becomes of the frames that the workers of `start` write."""
    return Spoilt()


@pytest.fixture
async def start(gw: Gateway, apps: Apps, request: pytest.FixtureRequest) -> AsyncIterator[Callable[..., Any]]:
    """Start a worker, for `apps` unless others are given, and wait until it takes work (`ready=False`: do not wait).

    With the fixture `spoilt` it is given that network.

    At the end each is closed, and must have ended without an unexpected event.
    """
    running: list[Running] = []

    async def begin(given: Any = None, *, ready: bool = True, **options: Any) -> Running:
        options = {"retry": quick_retry(), "deadlines": QUICK, "shutdown_signals": [], "flush_timeout": 5.0, **options}
        connection = connect(given or [(apps.client, apps.functions)], **options)
        if "spoilt" in request.fixturenames:
            known = connection._known
            connection._known = replace(known, network=request.getfixturevalue("spoilt").over(known.network))
        worker = Running(connection)
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


@pytest.fixture(autouse=True)
def no_bug_is_reported(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """The worker logs its own bugs as such; there must be none."""
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
