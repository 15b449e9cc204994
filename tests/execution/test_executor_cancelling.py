"""Cancelling `execute` stops what can be stopped; it returns once that has ended, and not before."""

import asyncio
import json
import threading
from collections.abc import Iterator
from typing import Any

import inngest
import pytest
from sdk_kit import PATIENCE, Room, Status, invocation, make_apps

from connect.execution import Outcome

pytestmark = pytest.mark.oldest


class Gate:
    """A sync function that says that it has started, and runs until the test lets it go."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.calls = 0
        self._loop = asyncio.get_running_loop()
        self._go = threading.Event()

    def work(self, ctx: inngest.ContextSync) -> str:
        self.calls += 1
        self._loop.call_soon_threadsafe(self.started.set)
        self._go.wait(PATIENCE)
        return "finished"

    def open(self) -> None:
        self._go.set()


@pytest.fixture
async def gate() -> Any:
    made = Gate()
    yield made
    made.open()


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    """The pool's threads end with what they run."""
    yield
    for thread in threading.enumerate():
        if thread.name.startswith("inngest"):
            thread.join(PATIENCE)
            assert not thread.is_alive()


def body(outcome: Outcome) -> Any:
    return json.loads(outcome.body)


async def within(event: asyncio.Event) -> None:
    async with asyncio.timeout(PATIENCE):
        await event.wait()


async def test_an_async_function_is_stopped(room: Room) -> None:
    started, stopped = asyncio.Event(), asyncio.Event()

    async def wait(ctx: inngest.Context) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    executor = room.executor(make_apps(wait=wait))
    execution = room.start(executor, invocation("app-wait"))
    await within(started)
    execution.cancel()
    with pytest.raises(asyncio.CancelledError):
        await execution.outcome()
    assert stopped.is_set()
    assert executor.stuck == []


async def test_cancelling_returns_only_when_the_function_has_cleaned_up(room: Room) -> None:
    started, cleaning, may_end = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def wait(ctx: inngest.Context) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cleaning.set()
            await may_end.wait()

    execution = room.start(room.executor(make_apps(wait=wait)), invocation("app-wait"))
    await within(started)
    execution.cancel()
    await within(cleaning)
    await asyncio.sleep(0.05)
    assert not execution.done
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await execution.outcome()


async def test_a_function_that_swallows_the_cancel_keeps_its_outcome(room: Room) -> None:
    started = asyncio.Event()

    async def stubborn(ctx: inngest.Context) -> str:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0.01)
        return "anyway"

    execution = room.start(room.executor(make_apps(stubborn=stubborn)), invocation("app-stubborn"))
    await within(started)
    execution.cancel()
    outcome = await execution.outcome()
    assert (outcome.status, body(outcome)) == (Status.DONE, "anyway")


async def test_a_cancel_before_the_function_began_keeps_it_from_beginning(room: Room) -> None:
    calls = 0

    async def count(ctx: inngest.Context) -> None:
        nonlocal calls
        calls += 1

    execution = room.start(room.executor(make_apps(count=count)), invocation("app-count"))
    execution.cancel()
    if room.kind == "caller":  # this loop gets to run only when the other one has done all it can
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0.02), room.away).result(PATIENCE)
    with pytest.raises(asyncio.CancelledError):
        await execution.outcome()
    assert calls == 0


async def test_a_sync_function_cannot_be_stopped_however_often_one_asks(room: Room, gate: Gate) -> None:
    executor = room.executor(make_apps(work=gate.work))
    execution = room.start(executor, invocation("app-work", request_id="r-3"))
    await within(gate.started)
    for _ in range(3):
        execution.cancel()
        await asyncio.sleep(0.01)
    assert not execution.done
    assert executor.stuck == ["r-3"]
    gate.open()
    outcome = await execution.outcome()
    assert (outcome.status, body(outcome)) == (Status.DONE, "finished")
    assert executor.stuck == []


async def test_a_sync_function_that_waits_for_a_thread_is_never_started(
    room: Room, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INNGEST_THREAD_POOL_MAX_WORKERS", "1")
    executor = room.executor(make_apps(work=gate.work))
    first = room.start(executor, invocation("app-work", request_id="r-1"))
    await within(gate.started)
    second = room.start(executor, invocation("app-work", request_id="r-2"))
    await asyncio.sleep(0.02)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second.outcome()
    gate.open()
    assert body(await first.outcome()) == "finished"
    assert gate.calls == 1


async def test_stopping_leaves_a_stuck_sync_function_to_itself(room: Room, gate: Gate) -> None:
    executor = room.executor(make_apps(work=gate.work))
    execution = room.start(executor, invocation("app-work", request_id="r-5"))
    await within(gate.started)
    execution.cancel()
    await room.stop(executor)
    with pytest.raises(asyncio.CancelledError):
        await execution.outcome()
    assert executor.stuck == ["r-5"]
    gate.open()


async def test_stopping_leaves_no_idle_thread(room: Room) -> None:
    def quick(ctx: inngest.ContextSync) -> None:
        return None

    executor = room.executor(make_apps(quick=quick))
    await room.run(executor, invocation("app-quick"))
    await room.stop(executor)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("inngest")]


async def test_after_stop_a_sync_function_is_refused(room: Room) -> None:
    def quick(ctx: inngest.ContextSync) -> None:
        return None

    executor = room.executor(make_apps(quick=quick))
    await room.run(executor, invocation("app-quick"))
    await room.stop(executor)
    outcome = await room.run(executor, invocation("app-quick"))
    assert (outcome.status, outcome.no_retry) == (Status.ERROR, False)


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_a_function_that_cancels_itself_has_failed(room: Room, kind: str) -> None:
    async def fall(ctx: inngest.Context) -> None:
        raise asyncio.CancelledError

    def fall_sync(ctx: inngest.ContextSync) -> None:
        raise asyncio.CancelledError

    outcome = await room.run(
        room.executor(make_apps(fall=fall if kind == "async" else fall_sync)), invocation("app-fall")
    )
    assert (outcome.status, outcome.no_retry, body(outcome)["name"]) == (Status.ERROR, False, "CancelledError")
