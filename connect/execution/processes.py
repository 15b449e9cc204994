"""Processes: user functions run in several of them, on as many cores, behind the worker's one connection.

Each place in the pool always has a process in it, or one on its way: one that dies is replaced, one that has served its share is
relieved, its successor first. What user code does to its process, it does to that one alone.
"""

import asyncio
import contextlib
import logging
import os
import random
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from operator import attrgetter

import tenacity

from connect import logs
from connect.backoff import Revival
from connect.deadlines import Deadlines
from connect.errors import ConfigurationError
from connect.execution.invocation import Invocation
from connect.execution.outcome import Outcome, failure
from connect.execution.process import Process
from connect.execution.setup import Setup
from connect.secrets import Secret
from connect.status import ProcessStatus

inside = False
"""Whether this process is one of a pool: importing the apps there must not start another."""

_in_flight = attrgetter("in_flight")

log = logging.getLogger("connect.processes")


@dataclass(frozen=True)
class Plan:
    """What the processes are to be. `signals` are left to the worker; after `recycle_after` requests one is relieved."""

    apps: str
    count: int
    recycle_after: int | None
    signing_key: Secret | None
    signals: tuple[int, ...]
    traces: bool


def cores() -> int:
    """How many cores this process may use."""
    if sys.version_info >= (3, 13):
        return os.process_cpu_count() or 1
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Lost(Exception):  # noqa: N818 - the happening's name is the error's name
    """A process could not be started; the message says why."""


class Processes:
    """The executor of `isolation="process"`. `status` from any thread."""

    def __init__(
        self,
        plan: Plan,
        deadlines: Deadlines,
        rng: random.Random,
        sleep: Callable[[float], Awaitable[None]],
        traceparent: Callable[[], str] = str,
    ) -> None:
        self.plan = plan
        self.deadlines = deadlines
        self.rng = rng
        self.sleep = sleep
        self._traceparent = traceparent
        self.relieving = asyncio.Lock()
        """One process at a time is relieved: they reach their share together, and to start one takes a core."""
        self._places = [_Place(self, number) for number in range(1, plan.count + 1)]
        self._keepers: list[asyncio.Task[None]] = []
        self._all: list[Process] = []
        self._in_service: list[Process] = []
        self._waiting: asyncio.Future[str | None] | None = None

    async def start(self) -> None:
        """Raises: ConfigurationError: one of the processes cannot run the apps."""
        if inside:
            raise ConfigurationError(
                f"importing {self.plan.apps!r} starts a worker: put that under `if __name__ == '__main__':`"
            )
        try:
            first = await asyncio.gather(*(place.fill() for place in self._places))
        except Lost as error:
            raise ConfigurationError(str(error)) from None
        self._keepers = [
            asyncio.create_task(place.keep(process)) for place, process in zip(self._places, first, strict=True)
        ]

    async def execute(self, invocation: Invocation) -> Outcome:
        """As `Executor.execute`. While no process is there, one is waited for, unless there is no starting it."""
        while not self._in_service:
            if reason := await self._none():
                return failure("NoProcess", f"the worker has no process to run this: {reason}; it is safe to retry")
        told = replace(invocation, connection=self._traceparent())
        return await min(self._in_service, key=_in_flight).run(told)

    async def stop(self) -> None:
        """End all processes, whatever they still do."""
        for keeper in self._keepers:
            keeper.cancel()
        lives = [process.life for process in self._all]
        for process in self._all:
            process.close()
        if lives:
            await asyncio.wait(lives)

    @property
    def status(self) -> tuple[ProcessStatus, ...]:
        """Of every process that there is."""
        return tuple(process.status for process in list(self._all))

    # -- from the places ------------------------------------------------------------------------------------------------------

    def spawn(self, number: int, restarts: int) -> Process:
        """A process that starts. Raises: OSError."""
        setup = Setup(
            number=number,
            apps=self.plan.apps,
            signing_key=self.plan.signing_key.reveal() if self.plan.signing_key else None,
            parent=os.getpid(),
            path=[str(entry) or os.getcwd() for entry in sys.path],
            python_path=os.environ.get("PYTHONPATH"),
            levels={"": log.root.level, "connect": logging.getLogger("connect").getEffectiveLevel()},
            json_logs=any(isinstance(handler.formatter, logs.JsonLines) for handler in log.root.handlers),
            traces=self.plan.traces,
            signals=[int(number) for number in self.plan.signals],
        )
        process = Process(setup, restarts, self.plan.recycle_after, self.deadlines.process_end, self._gone)
        self._all.append(process)
        process.life.add_done_callback(lambda _: self._all.remove(process))
        return process

    def admit(self, process: Process) -> None:
        """*process* is ready: give it work."""
        self._in_service.append(process)
        self._tell_waiting(None)

    def dismiss(self, process: Process) -> None:
        """Give *process* nothing more, and end it when it has finished what it has."""
        self._gone(process)
        process.leave()

    def despair(self, error: Lost) -> None:
        """There is no starting a process, for now: requests that have none need not wait."""
        if not self._in_service:
            self._tell_waiting(str(error))

    def _gone(self, process: Process) -> None:
        if process in self._in_service:
            self._in_service.remove(process)

    # -- requests that have no process ----------------------------------------------------------------------------------------

    async def _none(self) -> str | None:
        """Wait for a process. None: there is one; or else why there is not."""
        if self._waiting is None:
            self._waiting = asyncio.get_running_loop().create_future()
        return await asyncio.shield(self._waiting)

    def _tell_waiting(self, reason: str | None) -> None:
        if self._waiting:
            self._waiting.set_result(reason)
            self._waiting = None


class _Place:
    """One place in the pool, and the process in it."""

    def __init__(self, pool: Processes, number: int) -> None:
        self._pool = pool
        self._number = number
        self._revival = Revival(pool.rng)
        self._restarts = 0

    async def keep(self, process: Process) -> None:
        """See to it that after *process*, the first, there is always another. Until cancelled."""
        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(Lost),
            wait=self._revival,
            sleep=self._pool.sleep,
            before_sleep=self._note_failure,
        )
        while True:
            await asyncio.wait([process.due, process.life], return_when=asyncio.FIRST_COMPLETED)
            if process.life.done():
                await self._pool.sleep(self._revival.after(process.lived))
            process = await retrying(self.fill, process)

    async def fill(self, before: Process | None = None) -> Process:
        """Start a process, and let the one *before* leave. Raises: Lost: it cannot run the apps."""
        relief = before is not None and not before.life.done()
        async with self._pool.relieving if relief else contextlib.nullcontext():
            process = await self._started()
        self._restarts += 1
        self._pool.admit(process)
        if before:
            self._pool.dismiss(before)
        return process

    async def _started(self) -> Process:
        try:
            process = self._pool.spawn(self._number, self._restarts)
        except OSError as error:
            raise Lost(f"process {self._number} cannot be started: {error}") from error
        await asyncio.wait([process.ready], timeout=self._pool.deadlines.process_start)
        reason = process.ready.result() if process.ready.done() else self._timed_out()
        if reason is None:
            log.info("%s is ready", process)
            return process
        process.close()
        raise Lost(f"{process} cannot run {self._pool.plan.apps}: {reason}")

    def _timed_out(self) -> str:
        return f"it has not imported them within {self._pool.deadlines.process_start:g} s"

    def _note_failure(self, retry_state: tenacity.RetryCallState) -> None:
        error = retry_state.outcome.exception() if retry_state.outcome else None
        delay = retry_state.next_action.sleep if retry_state.next_action else 0.0
        log.error("process %d is not replaced, the next attempt comes in %.2f s: %s", self._number, delay, error)
        if isinstance(error, Lost):
            self._pool.despair(error)
