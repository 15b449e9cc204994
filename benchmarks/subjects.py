"""The subjects of the benchmarks: the workers of worker.py and those of our command, each in a process of its own."""

import asyncio
import contextlib
import importlib.util
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.app import ORIGIN
from benchmarks.load_client import Load
from benchmarks.usage import Usage, used

UVLOOP: Final = "-uvloop"
"""The end of a subject's name: all its loops are uvloop's. Without it uvloop cannot be imported, as where it is not installed."""
WORKERS: Final = {
    "official": "official client",
    "thread": "ours, isolation thread",
    "none": "ours, isolation none",
    "process": "ours, isolation process, 2 processes",
    "floor": "floor",
    "command-thread": "ours, the command, isolation thread",
    "command-process": "ours, the command, isolation process, 2 processes",
    "none-noop": "ours, isolation none, executing nothing",
    "floor-noop": "floor, executing nothing",
}
TITLES: Final = WORKERS | {f"{name}{UVLOOP}": f"{title}, on uvloop" for name, title in WORKERS.items()}
"""What is measured. Those that are compared stand near each other: they are measured soon after each other."""
_COMMANDS: Final = {
    "command-thread": ("--isolation", "thread"),
    "command-process": ("--isolation", "process", "--processes", "2"),
}
_WITHOUT_UVLOOP: Final = Path(__file__).parent / "without_uvloop"
JOIN: Final = 60.0
"""Seconds that a worker has to connect."""
ANSWER: Final = 60.0
"""Seconds that a worker has to answer outstanding requests."""
PATIENCE: Final = 30.0
"""Seconds that a process has to end."""


def missing(subject: str) -> str | None:
    """Why *subject* cannot be measured here; None: it can."""
    if subject.endswith(UVLOOP) and not importlib.util.find_spec("uvloop"):
        return "uvloop is not installed"
    return None


def available(subjects: Iterable[str]) -> list[str]:
    """The subjects that can be measured here. Prints which cannot, and why."""
    reasons = {each: missing(each) for each in subjects}
    print(*(f"left out: {TITLES[each]}: {why}\n" for each, why in reasons.items() if why), sep="", end="", flush=True)
    return [each for each, why in reasons.items() if not why]


def official(subject: str) -> str:
    """The official client on the loop of *subject*: what it is compared with."""
    return f"official{UVLOOP}" if subject.endswith(UVLOOP) else "official"


def floor(subject: str) -> str:
    """The floor on the loop of *subject*, which executes nothing if *subject* executes nothing."""
    name = subject.removesuffix(UVLOOP)
    return f"{'floor-noop' if name.endswith('-noop') else 'floor'}{subject.removeprefix(name)}"


@dataclass(frozen=True)
class Subject:
    """A running worker. *name* is its instance id."""

    name: str
    process: asyncio.subprocess.Process

    def usage(self) -> Usage:
        return used(self.process.pid)


def environment(origin: str, *, uvloop: bool = True) -> dict[str, str]:
    """The environment of a worker process; without *uvloop*, none of its processes can import that.

    PYTHONDONTWRITEBYTECODE is left out: with it Python would compile our code at each start, but not the official client's, which
    was installed with its bytecode.
    """
    kept = {name: text for name, text in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    folders = [*([] if uvloop else [str(_WITHOUT_UVLOOP)]), *filter(None, [kept.get("PYTHONPATH")])]
    return {**kept, ORIGIN: origin, "PYTHONPATH": os.pathsep.join(folders)}


async def spawn(subject: str, origin: str, name: str, *asked: str) -> asyncio.subprocess.Process:
    """Start the worker process of *subject*, in a process group of its own; *asked* is what else worker.py is told.

    BENCH_DEBUG shows what it writes to stderr.
    """
    worker, uvloop = subject.removesuffix(UVLOOP), subject.endswith(UVLOOP)
    if worker in _COMMANDS:
        program = ["connect", "run", "benchmarks.app:APPS", "--instance-id", name, *_COMMANDS[worker]]
    else:
        program = ["benchmarks.worker", worker, name, *(["uvloop"] if uvloop else []), *asked]
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", *program),
        env=environment(origin, uvloop=uvloop),
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
