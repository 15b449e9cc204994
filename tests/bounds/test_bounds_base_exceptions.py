"""Every accepted request is answered, whatever user code raises or returns, in each isolation and in each place of user code."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from hostile_functions import DONE, ENDING, HOOKS, HUGE, RAISED

from connect.gateway import Gateway

HERE = Path(__file__).parent
PATIENCE = 30.0
ISOLATIONS = {"none": [], "thread": [], "process": ["--processes", "2"]}

SHAPES = ("sync", "async", "awaited", "step", "step-sync")
"""Functions, and where in them the event's kind is raised or returned."""

TABLE = {
    **{f"{kind} in {shape}": (shape, kind, "") for kind in (*RAISED, *DONE) for shape in SHAPES},
    **{f"{kind}": ("async", kind, "") for kind in HUGE},
    **{
        f"{kind} in {hook} of {shape}": (shape, kind, hook)
        for kind in ENDING
        for hook in HOOKS
        for shape in ("hook", "hook-sync")
    },
}


@pytest.fixture
async def gw() -> AsyncIterator[Gateway]:
    """A gateway that takes large events, and is patient enough for slow machines; leases are extended every 200 ms."""
    async with Gateway(
        heartbeat_interval="200ms",
        extend_lease_interval="200ms",
        heartbeat_timeout=30.0,
        close_timeout=0.5,
        payload_limit=16 * 2**20,
    ) as gateway:
        yield gateway


@pytest.fixture
def run(gw: Gateway, start_process: Any) -> Callable[..., Any]:
    """Run the command for `hostile_functions`."""

    def begin(*arguments: str) -> Any:
        named = {"PYTHONPATH": os.pathsep.join((str(HERE), str(HERE.parents[1]))), "INNGEST_DEV": gw.url}
        return start_process("-m", "connect", "run", "hostile_functions:apps", *arguments, **named)

    return begin


@pytest.mark.parametrize("isolation", ISOLATIONS)
async def test_whatever_user_code_raises_or_returns_is_its_own_failure(gw: Gateway, run: Any, isolation: str) -> None:
    """Each request is answered, a bystander goes on, and the worker and its link stay."""
    theirs = {each.__name__ for each in BaseException.__subclasses__() if each.__module__ in ("builtins", "asyncio")}
    assert theirs - {"Exception"} <= set(RAISED), "the table has every class that `except Exception` does not catch"
    worker = run("--isolation", isolation, *ISOLATIONS[isolation])
    await gw.wait_for_worker(timeout=PATIENCE)
    bystander = gw.start_run("app-wait", {"seconds": 1})
    runs = {
        name: gw.start_run(f"app-{shape}", {"kind": kind, "hook": hook}) for name, (shape, kind, hook) in TABLE.items()
    }
    await asyncio.wait([run.task for run in [*runs.values(), bystander] if run.task], timeout=PATIENCE)
    assert {name: run.status for name, run in runs.items() if run.status != "failed"} == {}
    assert (bystander.status, len(bystander.requests)) == ("completed", 1)
    assert len(gw.connections) == 1
    worker.signal()
    assert await asyncio.to_thread(worker.ends) == 0
