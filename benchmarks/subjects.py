"""The subjects of the benchmarks: the workers of worker.py, each in a process of its own, and the CPU and memory that they use."""

import asyncio
import contextlib
import importlib.util
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Final

import psutil

from benchmarks.app import ORIGIN
from benchmarks.load_client import Load

TITLES: Final = {
    "official": "official client",
    "official-uvloop": "official client, on uvloop",
    "drop-in": "ours, isolation thread, no uvloop",
    "none": "ours, isolation none",
    "thread": "ours, isolation thread",
    "process": "ours, isolation process, 2 processes",
    "floor": "floor",
    "none-noop": "ours, isolation none, executing nothing",
    "floor-noop": "floor, executing nothing",
}
BASE: Final = "official"
"""The subject that the others are compared with."""
JOIN: Final = 60.0
"""Seconds that a worker has to connect."""
ANSWER: Final = 60.0
"""Seconds that a worker has to answer outstanding requests."""
PATIENCE: Final = 30.0
"""Seconds that a process has to end."""


def missing(subject: str) -> str | None:
    """Why *subject* cannot be measured here; None: it can."""
    if subject == "official-uvloop" and not importlib.util.find_spec("uvloop"):
        return "uvloop is not installed"
    return None


def available(subjects: Iterable[str]) -> list[str]:
    """The subjects that can be measured here. Prints which cannot, and why."""
    reasons = {each: missing(each) for each in subjects}
    print(*(f"left out: {TITLES[each]}: {why}\n" for each, why in reasons.items() if why), sep="", end="", flush=True)
    return [each for each, why in reasons.items() if not why]


@dataclass(frozen=True)
class Usage:
    """CPU seconds so far and memory now, in bytes: of the process that has the connection, and of all processes of a worker."""

    connection_cpu: float
    whole_cpu: float
    connection_rss: int
    whole_rss: int


@dataclass(frozen=True)
class Subject:
    """A running worker. *name* is its instance id."""

    name: str
    process: asyncio.subprocess.Process

    def usage(self) -> Usage:
        parent = psutil.Process(self.process.pid)
        cpu, rss = _used(parent)
        children = [_used(child) for child in parent.children(recursive=True)]
        return Usage(cpu, cpu + sum(each for each, _ in children), rss, rss + sum(each for _, each in children))


def _used(process: psutil.Process) -> tuple[float, int]:
    with contextlib.suppress(psutil.NoSuchProcess, OSError):
        return cpu_seconds(process.pid), process.memory_info().rss
    return 0.0, 0


def cpu_seconds(pid: int) -> float:
    """CPU seconds that a process and its threads have used, by the kernel's clock for it: psutil counts in hundredths."""
    if sys.platform == "linux":
        return time.clock_gettime(~pid << 3 | 2)
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def environment(origin: str) -> dict[str, str]:
    """The environment of a worker process, without PYTHONDONTWRITEBYTECODE: with it Python would compile our code at each start,
    but not the official client's, which was installed with its bytecode."""
    kept = {name: text for name, text in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, ORIGIN: origin}


async def spawn(subject: str, origin: str, name: str) -> asyncio.subprocess.Process:
    """Start the worker process of *subject*, in a process group of its own. BENCH_DEBUG shows what it writes to stderr."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.worker", subject, name),
        env=environment(origin),
        stdout=asyncio.subprocess.PIPE,
        stderr=None if "BENCH_DEBUG" in os.environ else asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )


@contextlib.asynccontextmanager
async def running(subject: str, origin: str, name: str) -> AsyncIterator[Subject]:
    """Run the worker process of *subject* while the block runs; at the end, ask it to stop as a production worker."""
    process = await spawn(subject, origin, name)
    try:
        yield Subject(name, process)
    finally:
        await _end(process)


async def joined(stack: contextlib.AsyncExitStack, load: Load, subject: str, name: str) -> Subject:
    """Start a worker, and wait until it is connected to *load*; it runs until *stack* closes."""
    worker = await stack.enter_async_context(running(subject, load.origin, name))
    if await load.call("joins", name, JOIN) is None:
        raise RuntimeError(f"{subject} did not connect within {JOIN:g} s: set BENCH_DEBUG=1 to see what it writes")
    return worker


async def faults(load: Load, worker: Subject, where: str) -> list[str]:
    """What went wrong at the worker: every request must be acknowledged once, and answered once, with DONE and the right result."""
    tally = await load.call("stop", worker.name, ANSWER)
    sent = tally.pop("sent")
    right = {**dict.fromkeys(tally, 0), "acked": sent, "replied": sent}
    wrong = ", ".join(f"{count} {what}" for what, count in tally.items() if count != right[what])
    return [f"{where}: of {sent} requests, {wrong}"] if wrong else []


async def _end(process: asyncio.subprocess.Process) -> None:
    """Ask *process* to stop, then kill what is left of its process group."""
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(process.wait(), PATIENCE)
    await end_group(process)


async def end_group(process: asyncio.subprocess.Process) -> None:
    """Kill *process*, which leads a process group of its own, and what is left of the group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # the group is empty: macOS raises the second
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
