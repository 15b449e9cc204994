"""A loop that is blocked is noticed in time; one that is idle, stopped, or part of a process that stands still is not blamed."""

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from connect.loops.watch import LoopWatch

LIMIT = 0.05
Told = list[tuple[float, "asyncio.Task[Any] | None", str, bool]]

BUSY = f"""
import asyncio, select, sys, time
from connect.loops.watch import LoopWatch

async def main():
    told = []
    watch = LoopWatch(asyncio.get_running_loop(), {8 * LIMIT}, lambda seconds, *_: told.append(seconds))
    watch.begin()
    print("busy", flush=True)
    while not select.select([sys.stdin], [], [], 0)[0]:
        time.sleep(0.02)
        await asyncio.sleep(0)
    watch.stop()
    print(told)

asyncio.run(main())
"""
"""Its loop is always about to run something, so that a look of the watch waits for an answer most of the time."""


@pytest.fixture
def told() -> Told:
    return []


@pytest.fixture
async def watch(told: Told) -> Any:
    """A watch of this test's loop, which has work."""

    def blocked(seconds: float, task: "asyncio.Task[Any] | None", frame: Any, is_new: bool) -> None:
        told.append((seconds, task, frame.f_code.co_name, is_new))

    made = LoopWatch(asyncio.get_running_loop(), LIMIT, blocked)
    made.begin()
    yield made
    made.stop()


def watching() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "connect-watch"]


def block(seconds: float = 4 * LIMIT) -> None:
    time.sleep(seconds)


async def test_a_block_is_told_once_with_its_task_and_frame(watch: LoopWatch, told: Told) -> None:
    await asyncio.sleep(LIMIT)
    block()
    await asyncio.sleep(2 * LIMIT)
    [(seconds, task, name, is_new)] = told
    assert LIMIT <= seconds < 4 * LIMIT
    assert (task, name, is_new) == (asyncio.current_task(), "block", True)


async def test_each_block_is_told(watch: LoopWatch, told: Told) -> None:
    for _ in range(3):
        block()
        await asyncio.sleep(LIMIT / 2)
    assert [is_new for *_, is_new in told] == [True] * 3


async def test_a_block_that_goes_on_is_told_again(
    watch: LoopWatch, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connect.loops.watch.AGAIN_SECONDS", LIMIT)
    await asyncio.sleep(LIMIT)
    block(6 * LIMIT)
    assert [is_new for *_, is_new in told][:2] == [True, False]


async def test_a_loop_that_runs_is_not_told_of(watch: LoopWatch, told: Told) -> None:
    """Idle or busy."""
    await asyncio.sleep(3 * LIMIT)
    end = time.monotonic() + 4 * LIMIT
    while time.monotonic() < end:
        block(LIMIT / 10)
        await asyncio.sleep(0)
    assert told == []


async def test_no_block_is_told_of_without_work(watch: LoopWatch, told: Told) -> None:
    watch.end()
    await asyncio.sleep(LIMIT)
    block()
    await asyncio.sleep(LIMIT)
    assert told == []
    watch.begin()
    await asyncio.sleep(LIMIT)
    block()
    assert len(told) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells how often a thread has waited")
async def test_work_in_quick_succession_does_not_wake_the_thread(told: Told) -> None:
    """One request at a time: each would wake a thread, and that takes longer than the rest of its way through the worker."""
    watch = LoopWatch(asyncio.get_running_loop(), 100.0, lambda *_: None)
    watch.begin()
    await asyncio.sleep(0.01)
    [thread] = watching()
    before = waits_of(thread)
    for _ in range(200):
        watch.end()
        await asyncio.sleep(0.0005)
        watch.begin()
    assert waits_of(thread) - before <= 3
    watch.stop()


def waits_of(thread: threading.Thread) -> int:
    """How often *thread* has waited for something so far."""
    lines = Path(f"/proc/self/task/{thread.native_id}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("voluntary_ctxt_switches")).split()[1])


async def test_code_that_holds_the_interpreter_is_noticed(watch: LoopWatch, told: Told) -> None:
    """Not each time: the watch may get the lock too late."""
    for _ in range(12):
        ctypes.PyDLL(None).usleep(int(4e6 * LIMIT))
        if told:
            break
        await asyncio.sleep(LIMIT)
    assert told


async def test_a_loop_that_was_stopped_is_not_blocked(told: Told) -> None:
    loop = asyncio.new_event_loop()
    watches: list[LoopWatch] = []

    def begin() -> None:
        watches.append(LoopWatch(loop, LIMIT, lambda seconds, *_: told.append((seconds, None, "", True))))
        watches[0].begin()
        loop.call_later(LIMIT, loop.stop)

    def run() -> None:
        loop.call_soon(begin)
        loop.run_forever()

    await asyncio.to_thread(run)
    await asyncio.sleep(4 * LIMIT)
    watches[0].stop()
    loop.close()
    assert told == []


async def test_stop_ends_the_thread_whatever_it_does(told: Told) -> None:
    for pause in (0.0, LIMIT / 20, 2 * LIMIT):
        watch = LoopWatch(asyncio.get_running_loop(), LIMIT, lambda *_: None)
        watch.begin()
        await asyncio.sleep(pause)
        watch.end()
        await asyncio.sleep(pause)
        watch.stop()
        watch.stop()
        assert watching() == []
        watch.begin()
        assert watching() == []


async def test_a_system_without_threads_is_worked_on_without_a_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    watch = LoopWatch(asyncio.get_running_loop(), LIMIT, lambda *_: None)
    watch.begin()
    watch.end()
    monkeypatch.undo()
    watch.begin()
    assert len(watching()) == 1
    watch.stop()


@pytest.fixture
def started() -> Iterator[Callable[[], "subprocess.Popen[str]"]]:
    made: list[subprocess.Popen[str]] = []

    def start() -> "subprocess.Popen[str]":
        pipe = subprocess.PIPE
        made.append(subprocess.Popen([sys.executable, "-c", BUSY], stdin=pipe, stdout=pipe, text=True))  # noqa: S603
        return made[-1]

    yield start
    for process in made:
        process.kill()
        process.communicate()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells how often a thread has waited")
def test_a_process_that_stands_still_has_no_blocked_loop(started: Any) -> None:
    """As one that a terminal or a container's host stops, and lets go on."""
    process = started()
    process.stdout.readline()
    for _ in range(3):
        time.sleep(0.05)
        os.kill(process.pid, signal.SIGSTOP)
        time.sleep(10 * LIMIT)
        os.kill(process.pid, signal.SIGCONT)
    assert process.communicate("\n", timeout=30)[0].strip() == "[]"
