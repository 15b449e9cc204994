"""Threads for sync functions: what they return, raise and see, what cancelling can stop, and what a shutdown leaves."""

import asyncio
import contextvars
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sdk_kit import PATIENCE

from connect.execution.thread_pool import ThreadPool

where: contextvars.ContextVar[str] = contextvars.ContextVar("where", default="nowhere")


class Work:
    """Work that waits on its thread until it is let go."""

    def __init__(self, result: Any = "done") -> None:
        self.began = threading.Event()
        self.go = threading.Event()
        self.ended = threading.Event()
        self._result = result

    def __call__(self) -> Any:
        self.began.set()
        self.go.wait(PATIENCE)
        self.ended.set()
        if isinstance(self._result, BaseException):
            raise self._result
        return self._result

    async def runs(self) -> None:
        """Until a thread is at it."""
        assert await asyncio.to_thread(self.began.wait, PATIENCE)


@pytest.fixture
async def works() -> AsyncIterator[list[Work]]:
    """Work that is let go at the end, whatever happened."""
    made = [Work(), Work()]
    yield made
    for work in made:
        work.go.set()


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("inngest")]


async def test_what_work_returns_or_raises_comes_back() -> None:
    pool = ThreadPool(2)
    assert await pool.run("one", lambda: 1) == 1
    with pytest.raises(ZeroDivisionError):
        await pool.run("two", lambda: 1 / 0)
    pool.shutdown()


async def test_work_is_done_on_another_thread_with_the_callers_context() -> None:
    """A copy of it: what work sets there is not seen here."""

    def work() -> tuple[str, int]:
        seen = where.get()
        where.set("changed")
        return seen, threading.get_ident()

    where.set("here")
    pool = ThreadPool(1)
    seen, thread = await pool.run("work", work)
    assert (seen, where.get()) == ("here", "here")
    assert thread != threading.get_ident()
    pool.shutdown()


async def test_no_thread_is_started_before_the_first_call() -> None:
    before = len(threads())
    pool = ThreadPool(1)
    assert len(threads()) == before
    await pool.run("work", lambda: None)
    assert len(threads()) == before + 1
    pool.shutdown()
    assert len(threads()) == before


async def test_at_most_so_many_run_at_once_and_all_that_have_not_ended_are_busy(works: list[Work]) -> None:
    pool = ThreadPool(1)
    first = asyncio.create_task(pool.run("first", works[0]))
    await works[0].runs()
    second = asyncio.create_task(pool.run("second", works[1]))
    await asyncio.sleep(0.05)
    assert not works[1].began.is_set()
    assert pool.busy == ["first", "second"]
    works[0].go.set()
    await works[1].runs()
    assert await first == "done"
    assert pool.busy == ["second"]
    works[1].go.set()
    await second
    assert pool.busy == []
    pool.shutdown()


async def test_cancelling_keeps_work_from_starting(works: list[Work]) -> None:
    pool = ThreadPool(1)
    first = asyncio.create_task(pool.run("first", works[0]))
    await works[0].runs()
    second = asyncio.create_task(pool.run("second", works[1]))
    await asyncio.sleep(0)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    works[0].go.set()
    await first
    assert not works[1].began.is_set()
    pool.shutdown()


async def test_cancelling_waits_for_work_that_has_started_and_returns_its_result(works: list[Work]) -> None:
    """However often."""
    pool = ThreadPool(1)
    running = asyncio.create_task(pool.run("first", works[0]))
    await works[0].runs()
    for _ in range(3):
        running.cancel()
        await asyncio.sleep(0.02)
    assert not running.done()
    works[0].go.set()
    assert await running == "done"
    pool.shutdown()


async def test_a_shutdown_leaves_work_that_runs_to_itself_and_cancels_all_that_wait(works: list[Work]) -> None:
    pool = ThreadPool(1)
    calls = [asyncio.create_task(pool.run(str(number), work)) for number, work in enumerate(works)]
    await works[0].runs()
    await asyncio.sleep(0)
    pool.shutdown()
    assert pool.closed
    for call in calls:
        with pytest.raises(asyncio.CancelledError):
            await call
    assert pool.busy == ["0"]
    works[0].go.set()
    assert await asyncio.to_thread(works[0].ended.wait, PATIENCE)
    assert not works[1].began.is_set()


async def test_after_a_shutdown_work_is_refused() -> None:
    pool = ThreadPool(1)
    await pool.run("work", lambda: None)
    for _ in range(2):
        pool.shutdown()
    with pytest.raises(RuntimeError):
        await pool.run("late", lambda: None)
    assert pool.busy == []


async def test_a_pool_that_is_shut_down_before_its_first_work_refuses_that_too() -> None:
    pool = ThreadPool(1)
    pool.shutdown()
    with pytest.raises(RuntimeError):
        await pool.run("late", lambda: None)
