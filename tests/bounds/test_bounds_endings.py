"""The command ends within its bounds and with its exit code, whatever user code has left running and whatever takes its output."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from lingering_functions import CLOSING_SECONDS

from connect import Deadlines
from connect.execution import ending
from connect.gateway import Gateway

HERE: Final = Path(__file__).parent
PATIENCE: Final = 30.0
FLUSH_SECONDS: Final = 0.5
"""The option --flush-timeout."""
SLACK: Final = 2 * ending.FLUSH_SECONDS + 2.0
"""Seconds for outputs that cannot be written, and because a loaded machine is slow."""
BYSTANDER_SECONDS: Final = 1.5
TERM, HUP = signal.SIGTERM, signal.SIGHUP


@dataclass
class Case:
    """A worker whose function is called with an event, then signalled; how it must end. *output* takes stdout and stderr."""

    function: str
    data: dict[str, Any] = field(default_factory=dict)
    signals: tuple[signal.Signals, ...] = (TERM,)
    output: str = "a file"
    isolation: str = "thread"
    code: int = 0
    says: str = ""
    lacks: str = "never said"
    others: bool = True
    """Whether another function, which runs meanwhile, is answered."""
    nohup: bool = False

    @property
    def bound(self) -> float:
        """Seconds for the end, from the last signal on, as docs/runbook.md ("Exit codes") has them."""
        if self.signals.count(TERM) < 2:
            return BYSTANDER_SECONDS + ending.SECONDS + SLACK
        processes = 2 * Deadlines().process_end if self.isolation == "process" else 0.0
        return FLUSH_SECONDS + processes + CLOSING_SECONDS + SLACK


TABLE = {
    "a full disk": Case("wait", output="/dev/full"),
    "a full disk, and a function that prints for ever": Case("stuck-print", signals=(TERM, TERM), output="/dev/full"),
    "closed outputs, and a stuck sync function": Case("stuck-sync", signals=(TERM, TERM), output="closed", code=1),
    "closed outputs, and processes": Case("wait", output="closed", isolation="process"),
    "a reader that is gone, and a stuck async function": Case(
        "stuck-async", signals=(TERM, TERM), output="gone", code=1, others=False
    ),
    "a stuck async function on the connection's own loop": Case(
        "stuck-async", signals=(TERM, TERM), isolation="none", code=1, others=False
    ),
    "a reader that does not read": Case("wait", isolation="none", output="unread"),
    "a terminal that does not read": Case("wait", isolation="none", output="terminal"),
    "a reader that does not read, and a function that prints for ever": Case(
        "stuck-print", signals=(TERM, TERM), output="unread", code=1
    ),
    "a reader that does not read, and processes": Case(
        "stuck-print", signals=(TERM, TERM), output="unread", isolation="process", code=1
    ),
    "threads, a process, tasks and an exit handler that last": Case(
        "leave-all", says="still runs: thread 'mine', thread 'mine-pool_0'"
    ),
    "a loop that user code stops": Case(
        "stop-loop", {"how": "stop()"}, (), code=1, says="user code stopped the event loop"
    ),
    "sys.exit() in a task of user code": Case(
        "stop-loop", {"how": "SystemExit in a task"}, (), isolation="none", code=1, says="SystemExit: 3"
    ),
    "a terminal that is closed": Case("wait", signals=(HUP, HUP, HUP), says="stopped gracefully"),
    "a terminal that is closed, and nohup": Case(
        "wait", signals=(HUP, signal.SIGKILL), nohup=True, code=-9, lacks="shutting down", others=False
    ),
}


async def test_the_command_ends_in_time_and_with_its_exit_code(tmp_path: Path) -> None:
    names = list(TABLE)
    ends = await asyncio.gather(*(_end(TABLE[name], tmp_path / f"{number}.log") for number, name in enumerate(names)))
    assert {name: end for name, end in zip(names, ends, strict=True) if end} == {}


async def _end(case: Case, log: Path) -> str:
    """Run *case*. Returns what was wrong with its end."""
    async with Gateway(heartbeat_timeout=60.0, close_timeout=0.5) as gw:
        with _output(case.output, log) as output:
            worker = await _start(case, gw, output)
            try:
                return await _judged(case, gw, worker, log)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(worker.pid, signal.SIGKILL)
                await worker.wait()


async def _judged(case: Case, gw: Gateway, worker: asyncio.subprocess.Process, log: Path) -> str:
    await gw.wait_for_worker(timeout=PATIENCE)
    gw.start_run(f"app-{case.function}", case.data)
    bystander = gw.start_run("app-wait", {"seconds": BYSTANDER_SECONDS})
    await asyncio.sleep(0.5)
    for number in case.signals:
        with contextlib.suppress(ProcessLookupError):
            worker.send_signal(number)
        await asyncio.sleep(0.3)
    try:
        async with asyncio.timeout(case.bound):
            code = await worker.wait()
    except TimeoutError:
        return f"it has not ended within {case.bound:g} s: {_text(log)}"
    if code != case.code:
        return f"exit code {code}"
    answered, said = bool(gw.ledger[bystander.requests[0]].reply), _text(log)
    if case.others and not answered:
        return "another function was not answered"
    return "" if case.says in said and case.lacks not in said else said


def _text(log: Path) -> str:
    return log.read_text()


async def _start(case: Case, gw: Gateway, output: int) -> asyncio.subprocess.Process:
    command = [sys.executable, "-m", "connect", "run", "lingering_functions:apps", "--isolation", case.isolation]
    command += [
        "--api-base-url",
        gw.url,
        "--flush-timeout",
        str(FLUSH_SECONDS),
        *(["--processes", "1"] * (case.isolation == "process")),
    ]
    before = ["sh", "-c", 'exec "$@" >&- 2>&-', "sh"] if case.output == "closed" else []
    return await asyncio.create_subprocess_exec(
        *(["nohup"] if case.nohup else []),
        *before,
        *command,
        cwd=HERE,
        env={**os.environ, "PYTHONPATH": str(HERE.parents[1]), "PYTHONUNBUFFERED": "", "INNGEST_DEV": gw.url},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
    )


@contextlib.contextmanager
def _output(kind: str, log: Path) -> Iterator[int]:
    """A file descriptor to write to."""
    log.touch()
    if kind not in ("gone", "unread", "terminal"):
        with open(kind if kind.startswith("/") else log, "a") as file:
            yield file.fileno()
        return
    reading, writing = os.openpty() if kind == "terminal" else os.pipe()
    with os.fdopen(writing, "wb", 0), os.fdopen(reading, "rb", 0) as reader:
        if kind == "gone":
            reader.close()
        else:
            _fill(writing)
        yield writing


def _fill(pipe: int) -> None:
    os.set_blocking(pipe, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(pipe, b"x" * 4096)
    os.set_blocking(pipe, True)
