"""Where functions run: `room` is each of the two executors of this process in turn, `start` starts a worker with processes."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from sdk_kit import Room, loop_on_thread
from visits import Door

from connect import Deadlines, WorkerConnection, connect
from connect.gateway import Gateway

HERE = Path(__file__).parent
PATH = os.pathsep.join(map(str, (HERE, HERE.parent)))
QUICK = Deadlines(settle=0.3, pause=0.01)
"""No wait that a test would have to sit out."""


@pytest.fixture(params=["same", "caller"])
async def room(request: pytest.FixtureRequest) -> AsyncIterator[Room]:
    """The executor on the same loop, then the one on the caller's loop. Both are stopped at the end."""
    if request.param == "same":
        made = Room("same", asyncio.get_running_loop())
        yield made
        await made.close()
        return
    with loop_on_thread() as away:
        made = Room("caller", away)
        yield made
        await made.close()


@pytest.fixture
async def caller() -> AsyncIterator[Room]:
    """The executor on the caller's loop."""
    with loop_on_thread() as away:
        made = Room("caller", away)
        yield made
        await made.close()


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> Any:
    """No variable of the machine decides a test."""
    for name in ("INNGEST_DEV", "INNGEST_THREAD_POOL_MAX_WORKERS", "INNGEST_CONNECT_MAX_WORKER_CONCURRENCY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
async def gw() -> AsyncIterator[Gateway]:
    """A gateway that is patient enough for slow machines; leases are extended every 200 ms."""
    async with Gateway(
        heartbeat_interval="1s", extend_lease_interval="200ms", heartbeat_timeout=30.0, close_timeout=0.5
    ) as gateway:
        yield gateway


@pytest.fixture
async def start(gw: Gateway) -> AsyncIterator[Callable[..., Any]]:
    """Start a worker for `pool_functions`, with processes unless the options say otherwise; at the end none of them is left."""
    before = set(psutil.Process().children(recursive=True))
    started: list[tuple[WorkerConnection, asyncio.Task[None]]] = []

    async def begin(apps: str = "pool_functions:apps", **options: Any) -> WorkerConnection:
        defaults = {"isolation": "process", "shutdown_signals": [], "api_base_url": gw.url, "deadlines": QUICK}
        worker = connect(apps, **{**defaults, "flush_timeout": 5.0, **options})
        task = asyncio.create_task(worker.start())
        started.append((worker, task))
        ready = asyncio.create_task(gw.wait_for_worker(timeout=30))
        await asyncio.wait([task, ready], return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if task.done():
            await task
        return worker

    yield begin
    for worker, task in started:
        await worker.close()
        await asyncio.wait([task], timeout=30)
        assert task.done(), worker.status()
        task.exception()
        assert worker.status().unexpected_events == 0
        assert worker.status().processes == ()
    assert set(psutil.Process().children(recursive=True)) <= before


@pytest.fixture
def run(gw: Gateway, start_process: Any) -> Callable[..., Any]:
    """Run the command, with two processes unless the arguments say otherwise."""

    def begin(*arguments: str, apps: str = "pool_functions:apps", **env: str) -> Any:
        arguments = arguments or ("--isolation", "process", "--processes", "2")
        return start_process(
            "-m", "connect", "run", apps, "--api-base-url", gw.url, *arguments, **{"PYTHONPATH": PATH, **env}
        )

    return begin


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    """Where functions of the processes call: see `visits`."""
    async with Door.opened() as opened:
        yield opened
