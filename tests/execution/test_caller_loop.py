"""Async functions run on the caller's loop, whatever becomes of that loop, and sync functions on threads."""

import asyncio
import gc
import json
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import inngest
import pytest
from sdk_kit import PATIENCE, Room, Status, invocation, loop_on_thread, make_apps

from connect.execution import caller_loop
from connect.execution.caller_loop import CallerLoop

pytestmark = pytest.mark.oldest


async def where(ctx: inngest.Context) -> str:
    return threading.current_thread().name


def where_sync(ctx: inngest.ContextSync) -> str:
    return threading.current_thread().name


async def test_async_functions_run_on_the_callers_loop(caller: Room) -> None:
    outcome = await caller.run(caller.executor(make_apps(where=where)), invocation("app-where"))
    assert json.loads(outcome.body) == threading.current_thread().name


async def test_sync_functions_run_on_a_thread(room: Room) -> None:
    outcome = await room.run(room.executor(make_apps(where=where_sync)), invocation("app-where"))
    assert json.loads(outcome.body).startswith("inngest")


async def test_with_no_pool_sync_functions_run_on_the_loop(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INNGEST_THREAD_POOL_MAX_WORKERS", "0")
    executor = room.executor(make_apps(where=where_sync))
    outcome = await room.run(executor, invocation("app-where"))
    assert json.loads(outcome.body) == threading.current_thread().name
    assert executor.stuck == []


async def test_the_pool_is_as_large_as_the_environment_says(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INNGEST_THREAD_POOL_MAX_WORKERS", "2")
    together = threading.Barrier(2)
    most, now, lock = 0, 0, threading.Lock()

    def meet(ctx: inngest.ContextSync) -> None:
        nonlocal most, now
        with lock:
            now += 1
            most = max(most, now)
        together.wait(PATIENCE)
        with lock:
            now -= 1

    executor = room.executor(make_apps(meet=meet))
    executions = [room.start(executor, invocation("app-meet", request_id=f"r-{n}")) for n in range(6)]
    assert {(await execution.outcome()).status for execution in executions} == {Status.DONE}
    assert most == 2


async def test_a_function_that_blocks_its_loop_does_not_hold_the_connections(caller: Room) -> None:
    ticks: list[float] = []
    blocked = asyncio.Event()

    async def tick() -> None:
        while True:
            ticks.append(time.monotonic())
            await asyncio.sleep(0.005)

    async def block(ctx: inngest.Context) -> list[float]:
        begin = time.monotonic()
        time.sleep(0.3)  # noqa: ASYNC251 - that is the point
        blocked.set()
        return [begin, time.monotonic()]

    executor = caller.executor(make_apps(block=block))
    ticking = asyncio.run_coroutine_threadsafe(tick(), caller.away)
    outcome = await caller.run(executor, invocation("app-block"))
    ticking.cancel()
    begin, end = json.loads(outcome.body)
    assert blocked.is_set()
    # Undisturbed it is about 60; a loaded machine has taken it to 20.
    assert sum(begin < tick < end for tick in ticks) >= 5


class Home:
    """The user's loop on a thread of its own, so that a test can end it."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        running = threading.Event()
        self.loop.call_soon(running.set)
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        assert running.wait(PATIENCE)

    def stop(self) -> None:
        if self.loop.is_running():
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join(PATIENCE)

    def close(self) -> None:
        """End the loop as `asyncio.run` does."""
        self.stop()
        if tasks := asyncio.all_tasks(self.loop):
            for task in tasks:
                task.cancel()
            self.loop.run_until_complete(asyncio.wait(tasks, timeout=PATIENCE))
        self.loop.close()


@pytest.fixture
async def home() -> AsyncIterator[Home]:
    made = Home()
    yield made
    if not made.loop.is_closed():
        await asyncio.to_thread(made.close)


@pytest.mark.parametrize("how", ["stop", "close"])
async def test_a_callers_loop_that_is_gone_is_a_clear_error(home: Home, how: str) -> None:
    executor = CallerLoop(make_apps(where=where), home.loop)
    await asyncio.to_thread(getattr(home, how))
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(RuntimeError, match=r"start\(\) has stopped"):
            await executor.execute(invocation("app-where"))
    assert executor.stuck == []
    await executor.stop()


async def test_a_cancel_after_the_callers_loop_stopped_is_a_clear_error(home: Home) -> None:
    started = threading.Event()

    async def wait(ctx: inngest.Context) -> None:
        started.set()
        await asyncio.Event().wait()

    executor = CallerLoop(make_apps(wait=wait), home.loop)
    execution = asyncio.create_task(executor.execute(invocation("app-wait", request_id="r-9")))
    assert await asyncio.to_thread(started.wait, PATIENCE)
    await asyncio.to_thread(home.stop)
    execution.cancel()
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(RuntimeError, match=r"start\(\) has stopped"):
            await execution
    assert executor.stuck == ["r-9"]
    await executor.stop()


async def test_an_execution_ends_with_the_loop_that_runs_it(home: Home) -> None:
    started = threading.Event()

    async def wait(ctx: inngest.Context) -> None:
        started.set()
        await asyncio.Event().wait()

    executor = CallerLoop(make_apps(wait=wait), home.loop)
    execution = asyncio.create_task(executor.execute(invocation("app-wait")))
    assert await asyncio.to_thread(started.wait, PATIENCE)
    await asyncio.to_thread(home.close)
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(asyncio.CancelledError):
            await execution
    assert executor.stuck == []
    await executor.stop()


async def test_a_callers_loop_that_stops_under_a_function_is_noticed(
    home: Home, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As where a function calls `loop.stop()` and nothing runs the loop again: no task on it ever ends."""
    monkeypatch.setattr(caller_loop, "STOPPED_TICKS", 1)

    async def stop(ctx: inngest.Context) -> None:
        asyncio.get_running_loop().stop()
        await asyncio.Event().wait()

    noticed = asyncio.Event()
    executor = CallerLoop(make_apps(stop=stop), home.loop, noticed.set)
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(RuntimeError, match=r"start\(\) has stopped"):
            await executor.execute(invocation("app-stop"))
        await noticed.wait()
    assert "was stopped while functions ran on it" in caplog.text
    await executor.stop()


async def test_what_the_callers_loop_refuses_to_run_is_an_error(home: Home) -> None:
    def refuse(loop: asyncio.AbstractEventLoop, coroutine: object, **options: object) -> asyncio.Task[object]:
        raise TypeError("no more tasks")

    home.loop.set_task_factory(refuse)  # type: ignore[arg-type]
    executor = CallerLoop(make_apps(where=where), home.loop)
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(TypeError, match="no more tasks"):
            await executor.execute(invocation("app-where"))
    home.loop.set_task_factory(None)
    await executor.stop()


async def test_stop_ends_what_is_waited_for(caller: Room) -> None:
    started = asyncio.Event()

    async def stubborn(ctx: inngest.Context) -> None:
        started.set()
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                continue

    released = asyncio.Event()
    executor = caller.executor(make_apps(stubborn=stubborn))
    execution = caller.start(executor, invocation("app-stubborn", request_id="r-4"))
    async with asyncio.timeout(PATIENCE):
        await started.wait()
    await caller.stop(executor)
    with pytest.raises(asyncio.CancelledError):
        await execution.outcome()
    assert executor.stuck == ["r-4"]
    left = [task for task in asyncio.all_tasks() if task.get_name() == "inngest r-4"]
    released.set()
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*left)
    assert executor.stuck == []


async def test_what_outlives_the_connection_ends_in_silence(caplog: pytest.LogCaptureFixture) -> None:
    started, released = asyncio.Event(), asyncio.Event()

    async def wait(ctx: inngest.Context) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await released.wait()

    with loop_on_thread() as away:
        room = Room("caller", away)
        executor = room.executor(make_apps(wait=wait))
        execution = room.start(executor, invocation("app-wait", request_id="r-8"))
        async with asyncio.timeout(PATIENCE):
            await started.wait()
        await room.stop(executor)
        with pytest.raises(asyncio.CancelledError):
            await execution.outcome()
    left = [task for task in asyncio.all_tasks() if task.get_name() == "inngest r-8"]
    released.set()
    await asyncio.wait(left, timeout=PATIENCE)
    await asyncio.sleep(0)
    gc.collect()
    assert not caplog.records


# -- from one loop to the other ------------------------------------------------------------------------------------------------


class Hop:
    """Functions that are begun together on the connection's loop, and when each was told to have ended."""

    def __init__(self, executor: CallerLoop, away: asyncio.AbstractEventLoop) -> None:
        self._executor = executor
        self._away = away
        self.told: dict[str, float] = {}
        self.over = threading.Event()

    def begin(self, *slugs: str) -> None:
        """Return at once; `over` is set when the last has ended."""

        def ended(request_id: str) -> None:
            self.told[request_id] = time.monotonic()
            if len(self.told) == len(slugs):
                self.over.set()

        def all_of_them() -> None:
            for number, slug in enumerate(slugs):
                request = invocation(f"app-{slug}", request_id=f"r-{number}")
                self._executor.begin(request, lambda _, request_id=request.request_id: ended(request_id))  # type: ignore[misc]

        self._away.call_soon_threadsafe(all_of_them)

    async def wait(self) -> None:
        assert await asyncio.to_thread(self.over.wait, PATIENCE)


async def test_functions_that_begin_in_one_turn_wake_the_callers_loop_once(
    caller: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = asyncio.get_running_loop()
    wake, wakes = home.call_soon_threadsafe, list[str]()

    def counted(call: Any, *given: Any, **named: Any) -> asyncio.Handle:
        wakes.append(getattr(call, "__qualname__", ""))
        return wake(call, *given, **named)

    hop = Hop(caller.executor(make_apps(where=where)), caller.away)
    monkeypatch.setattr(home, "call_soon_threadsafe", counted)
    hop.begin(*["where"] * 50)
    await hop.wait()
    assert wakes.count("Mailbox._deliver") == 1


async def test_a_function_takes_no_task_of_the_connections_loop(caller: Room) -> None:
    made: list[str] = []

    def make(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        made.append(coroutine.__qualname__)
        return asyncio.Task(coroutine, loop=loop, **options)

    hop = Hop(caller.executor(make_apps(where=where)), caller.away)
    caller.away.set_task_factory(make)
    hop.begin("where", "where")
    await hop.wait()
    caller.away.set_task_factory(None)
    assert made == []


async def test_an_outcome_is_passed_on_before_the_next_function_blocks_the_loop(caller: Room) -> None:
    """Also where that runs in the very next turn."""
    freed: list[float] = []
    watched = asyncio.Event()

    async def short(ctx: inngest.Context) -> None:
        await watched.wait()

    async def block(ctx: inngest.Context) -> None:
        [first] = [task for task in asyncio.all_tasks() if task.get_name() == "inngest r-0"]
        watched.set()
        while not first.done():  # noqa: ASYNC110 - each turn counts
            await asyncio.sleep(0)
        time.sleep(0.3)  # noqa: ASYNC251 - that is the point
        freed.append(time.monotonic())

    hop = Hop(caller.executor(make_apps(short=short, block=block)), caller.away)
    hop.begin("short", "block")
    await hop.wait()
    assert hop.told["r-0"] < freed[0]
