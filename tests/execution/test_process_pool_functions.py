"""A function in a process does what it does anywhere else, whatever it does to that process."""

import asyncio
import contextlib
import json
import os
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio
from sdk_kit import Status, invocation
from visits import PATIENCE, Door

from connect import Deadlines, Outcome
from connect.execution.process_pool import PoolSettings, ProcessPool
from connect.loops.loop import new_loop

pytestmark = pytest.mark.asyncio(loop_scope="module")

MIB = 2**20


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool() -> AsyncIterator[ProcessPool]:
    """One process for all tests of this file. It must survive each of them."""
    plan = PoolSettings("pool_functions:apps", count=1, recycle_after=None, signing_key=None, signals=(), traces=False)
    made = ProcessPool(plan, Deadlines(process_end=2.0), random.Random(1), asyncio.sleep)
    await made.start()
    [first] = made.status
    yield made
    assert [each.pid for each in made.status] == [first.pid]
    await made.stop()


async def run(pool: ProcessPool, function: str, **data: Any) -> Outcome:
    async with asyncio.timeout(PATIENCE):
        return await pool.execute(invocation(f"app-{function}", data))


async def value(pool: ProcessPool, function: str, **data: Any) -> Any:
    """What the function returns."""
    outcome = await run(pool, function, **data)
    assert outcome.status == Status.DONE, outcome
    return json.loads(outcome.body)


async def test_it_runs_in_another_process(pool: ProcessPool) -> None:
    pid = await value(pool, "pid")
    assert pid != os.getpid()
    assert psutil.Process(pid).ppid() == os.getpid()


@pytest.mark.parametrize("text", ["", "naïve 語 \U0001f600 \x00"], ids=["empty", "unicode"])
async def test_text_goes_both_ways(pool: ProcessPool, text: str) -> None:
    assert await value(pool, "echo", value=text) == text


@pytest.mark.parametrize("size", [65_000, MIB, 4 * MIB])
async def test_large_payloads_go_both_ways(pool: ProcessPool, size: int) -> None:
    assert await value(pool, "echo", value="x" * size) == "x" * size


async def test_many_large_payloads_at_once(pool: ProcessPool) -> None:
    texts = [str(n) * MIB for n in range(10)]
    assert await asyncio.gather(*(value(pool, "echo", value=text) for text in texts)) == texts


async def test_what_cannot_be_serialised_is_its_own_failure(pool: ProcessPool) -> None:
    outcome = await run(pool, "unserialisable")
    assert outcome.status == Status.ERROR
    assert b"OutputUnserializable" in outcome.body


async def test_an_exception_that_cannot_be_pickled_is_told_as_any_other(pool: ProcessPool) -> None:
    outcome = await run(pool, "unpicklable")
    assert outcome.status == Status.ERROR
    assert json.loads(outcome.body)["message"] == "not to be pickled"


async def test_it_may_write_to_stdout_and_stderr(pool: ProcessPool) -> None:
    assert (await run(pool, "speak")).status == Status.DONE
    assert await value(pool, "echo", value=1) == 1


async def test_a_change_of_directory_is_its_own(pool: ProcessPool) -> None:
    before = Path.cwd()
    assert await value(pool, "change_directory") == "/"
    assert Path.cwd() == before


async def test_it_may_fork(pool: ProcessPool) -> None:
    async with Door.opened() as door:
        forked = await value(pool, "fork", door=door.port)
        visit = await door.visit()
        assert visit.pid == forked
        assert await value(pool, "echo", value=2) == 2
        visit.let_go()
        await visit.last_words()


async def test_nothing_of_the_workers_setting_up_is_left(pool: ProcessPool) -> None:
    seen = await value(pool, "surroundings")
    assert seen["arguments"][-2:] == ["connect-1", "pool_functions:apps"]
    ours = dict(os.environ)
    for environment in (seen["environment"], ours):
        environment.pop("PYTEST_CURRENT_TEST")
    assert seen["environment"] == ours
    assert seen["input"] == ""


async def test_its_loop_is_the_quickest_that_there_is(pool: ProcessPool) -> None:
    with contextlib.closing(new_loop()) as loop:
        assert (await value(pool, "surroundings"))["loop"] == type(loop).__module__


async def test_cancelling_stops_it_and_waits_for_it(pool: ProcessPool) -> None:
    async with Door.opened() as door:
        execution = asyncio.create_task(run(pool, "wait", door=door.port))
        visit = await door.visit()
        execution.cancel()
        with pytest.raises(asyncio.CancelledError):
            await execution
        assert await visit.last_words() == "cancelled"
    assert [each.in_flight for each in pool.status] == [0]


async def test_an_outcome_that_comes_with_the_cancel_is_kept(pool: ProcessPool) -> None:
    """The cancel comes before the frame has left. The process cancels the function or has its outcome; nothing hangs."""
    for turns in range(8):
        execution = asyncio.create_task(run(pool, "echo", value=3))
        for _ in range(turns):
            await asyncio.sleep(0)
        execution.cancel()
        ended = await asyncio.gather(execution, return_exceptions=True)
        assert isinstance(ended[0], asyncio.CancelledError) or ended[0].body == b"3"
    assert [each.in_flight for each in pool.status] == [0]


async def test_it_may_close_stdout(pool: ProcessPool) -> None:
    assert (await run(pool, "close_stdout")).status == Status.DONE
    assert await value(pool, "echo", value=4) == 4
    assert (await run(pool, "speak")).status == Status.ERROR
