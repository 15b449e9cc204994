"""A worker as a guest in a program that handles signals itself: web servers above all. One signal ends both, in the right order."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Iterator
from typing import Any

import inngest
import pytest
import uvicorn
from fastapi import FastAPI
from rig import Apps, Held, at_work, finish

from connect import ConnectionState, connect, events
from connect.gateway import Gateway, Kind, in_thread

PATIENCE = 20.0
TERM, INT = signal.SIGTERM, signal.SIGINT


@pytest.fixture
def host() -> Iterator[list[str]]:
    """A program that installs handlers of its own, which note what they hear; they must be there at the end."""
    heard: list[str] = []
    handlers = {number: lambda number, _: heard.append(signal.Signals(number).name) for number in (TERM, INT)}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    yield heard
    after = {number: signal.signal(number, handler) for number, handler in before.items()}
    assert after == handlers


@pytest.fixture
async def served(apps: Apps, held: Held, host: list[str]) -> AsyncIterator[Any]:
    """A web app whose lifespan runs a worker for `apps`, served by uvicorn on the loop of the test. What happens is noted."""
    told = host

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with connect([(apps.client, apps.functions)], flush_timeout=5.0) as worker:
            worker.on(events.Draining, lambda _: told.append("the worker drains"))
            worker.on(events.Closed, lambda _: told.append("the worker has ended"))
            yield
            told.append("the app stops")
        told.append("the app has ended")

    server = uvicorn.Server(uvicorn.Config(FastAPI(lifespan=lifespan), port=0, log_config=None))
    serving = asyncio.create_task(server.serve())
    yield serving
    await asyncio.wait_for(serving, PATIENCE)


async def test_one_signal_ends_the_app_and_its_worker_in_order(
    gw: Gateway, held: Held, served: asyncio.Task[None], host: list[str]
) -> None:
    await gw.wait_for_worker(timeout=PATIENCE)
    run = await at_work(gw, held)
    signal.raise_signal(TERM)
    await gw.until(lambda: "the app stops" in host)
    assert not served.done()
    await finish(held, run)
    await asyncio.wait_for(served, PATIENCE)
    assert host == ["the worker drains", "the app stops", "the worker has ended", "the app has ended", "SIGTERM"]


async def test_a_second_signal_cancels_work_and_ends_the_app(
    gw: Gateway, held: Held, served: asyncio.Task[None], host: list[str]
) -> None:
    await gw.wait_for_worker(timeout=PATIENCE)
    run = await at_work(gw, held)
    signal.raise_signal(TERM)
    signal.raise_signal(TERM)
    await asyncio.wait_for(served, PATIENCE)
    assert (run.status, host[-2:]) == ("failed", ["SIGTERM", "SIGTERM"])


async def test_a_signal_that_the_parent_passes_on_cancels_nothing(
    gw: Gateway, held: Held, start: Any, host: list[str]
) -> None:
    """At Ctrl-C a process of `uvicorn --workers` gets SIGINT from the terminal, and SIGTERM from its parent."""
    worker = await start(shutdown_signals=None)
    run = await at_work(gw, held)
    signal.raise_signal(INT)
    signal.raise_signal(TERM)
    await gw.wait_for(Kind.WORKER_PAUSE)
    await finish(held, run)
    await worker.closed()
    assert host == ["SIGINT", "SIGTERM"]


async def test_workers_come_and_go_in_one_program(gw: Gateway, start: Any, host: list[str]) -> None:
    one, two = await start(shutdown_signals=None), await start(shutdown_signals=None, instance_id="two")
    await one.close(wait=True)
    await one.task
    three = await start(shutdown_signals=None, instance_id="three")
    signal.raise_signal(TERM)
    await asyncio.wait_for(asyncio.gather(two.task, three.task), PATIENCE)
    assert host == ["SIGTERM"]


async def test_a_handler_that_the_host_installs_meanwhile_stays(gw: Gateway, start: Any, host: list[str]) -> None:
    before = signal.getsignal(TERM)
    worker = await start(shutdown_signals=[TERM])
    signal.signal(TERM, lambda *_: host.append("later"))
    await worker.close(wait=True)
    await worker.task
    signal.raise_signal(TERM)
    signal.signal(TERM, before)
    assert host == ["later"]


async def test_a_host_that_handles_signals_on_its_loop_hears_them(gw: Gateway, start: Any, host: list[str]) -> None:
    """As hypercorn, aiohttp and gunicorn do."""
    before, heard = signal.getsignal(TERM), asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(TERM, heard.set)
    try:
        worker = await start(shutdown_signals=[TERM])
        signal.raise_signal(TERM)
        await asyncio.wait_for(asyncio.gather(heard.wait(), worker.task), PATIENCE)
    finally:
        loop.remove_signal_handler(TERM)
        signal.signal(TERM, before)


def test_ctrl_c_is_graceful_in_a_program_that_only_runs_a_worker() -> None:
    before = signal.signal(INT, signal.default_int_handler)
    try:
        with in_thread(Gateway()) as gateway:
            asyncio.run(interrupted(gateway.url))
    except KeyboardInterrupt:
        pytest.fail("Ctrl-C has cancelled the main task")
    finally:
        signal.signal(INT, before)


async def interrupted(url: str) -> None:
    client = inngest.Inngest(app_id="app", is_production=False)

    @client.create_function(fn_id="nothing", trigger=inngest.TriggerEvent(event="nothing"))
    async def nothing(ctx: inngest.Context) -> None: ...

    worker = connect([(client, [nothing])], api_base_url=url)
    running = asyncio.create_task(worker.start())
    await worker.wait_for_state(ConnectionState.ACTIVE)
    signal.raise_signal(INT)
    await asyncio.wait_for(running, PATIENCE)
