"""`isolation="process"`: user functions run in several processes, behind the worker's one connection.

The pool has a fixed number of slots, each with one process. One that dies is replaced. One that has been given `recycle_after`
executions is recycled: its replacement is started first. A crash, or a function that holds the GIL, affects one process only.
"""

import asyncio
import contextlib
import logging
import os
import random
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from operator import attrgetter

import tenacity

from connect import log_format
from connect.backoff import RestartBackoff
from connect.deadlines import Deadlines
from connect.errors import ConfigurationError
from connect.events import LoopBlocked
from connect.execution import failures, process_setup
from connect.execution.invocation import Invocation
from connect.execution.load import Load
from connect.execution.outcome import Outcome, failure
from connect.execution.process import Process
from connect.execution.process_setup import ProcessSetup
from connect.redaction import logger
from connect.secrets import Secret
from connect.status import ProcessStatus, ThreadStatus

_in_flight = attrgetter("in_flight")

log = logger("connect.processes")


@dataclass(frozen=True)
class PoolSettings:
    """What the worker's options say of the pool.

    `apps` is `MODULE:APPS`; `count` is how many processes. `signals` are those that the processes ignore, since the worker acts
    on them. `traces`: whether they open spans. `stall_warning` is the option.
    """

    apps: str
    count: int
    recycle_after: int | None
    signing_key: Secret | None
    signals: tuple[int, ...]
    traces: bool
    stall_warning: float | None = None


def cores() -> int:
    """How many cores this process may use."""
    if sys.version_info >= (3, 13):
        return os.process_cpu_count() or 1
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class NotStarted(Exception):  # noqa: N818 - what happened is the name
    """A process could not be started, or could not import the apps; the message says why."""


class ProcessPool:
    """The executor of `isolation="process"`. On the connection's loop only; `status` from any thread.

    *sleep* waits before a process is replaced. *traceparent* returns the `connection` of every invocation. *heard* is called
    with each block of a process's loop.
    """

    def __init__(
        self,
        settings: PoolSettings,
        deadlines: Deadlines,
        rng: random.Random,
        sleep: Callable[[float], Awaitable[None]],
        traceparent: Callable[[], str] = str,
        heard: Callable[[LoopBlocked], object] = lambda _: None,
    ) -> None:
        self.settings = settings
        self.deadlines = deadlines
        self.rng = rng
        self.sleep = sleep
        self._traceparent = traceparent
        self._heard = heard
        self._blocks = 0
        self._waited_before = 0
        self.recycling = asyncio.Lock()
        """Held while a process is recycled: all are due at about the same time, and starting one takes a core."""
        self._slots = [_Slot(self, number) for number in range(1, settings.count + 1)]
        self._slot_tasks: list[asyncio.Task[None]] = []
        self._all: list[Process] = []
        self._in_service: list[Process] = []
        self._waiting: asyncio.Future[str | None] | None = None

    async def start(self) -> None:
        """Start all processes and wait until they are ready. Raises: ConfigurationError: one of them cannot run the apps."""
        if process_setup.in_pool_process:
            raise ConfigurationError(
                f"importing {self.settings.apps!r} starts a worker: put that under `if __name__ == '__main__':`"
            )
        try:
            first = await asyncio.gather(*(slot.fill() for slot in self._slots))
        except NotStarted as error:
            raise ConfigurationError(str(error)) from None
        self._slot_tasks = [
            asyncio.create_task(slot.keep_filled(process)) for slot, process in zip(self._slots, first, strict=True)
        ]

    async def execute(self, invocation: Invocation) -> Outcome:
        """As `Executor.execute`, in the process with the fewest executions.

        While there is no process, it waits for one; if starting one has just failed, the outcome is a retriable ERROR.
        """
        while not self._in_service:
            if reason := await self._wait_for_process():
                message = f"the worker has no process to run this: {reason}; it is safe to retry"
                outcome = failure("NoProcess", message)
                failures.log_failure(invocation, outcome, "NoProcess", message, repeats=True)
                return outcome
        return await min(self._in_service, key=_in_flight).run(invocation, self._traceparent())

    async def stop(self) -> None:
        """End all processes, whatever they still run, and wait until they have exited."""
        for task in self._slot_tasks:
            task.cancel()
        ends = [process.ended for process in self._all]
        for process in self._all:
            process.close()
        if ends:
            await asyncio.wait(ends)

    @property
    def status(self) -> tuple[ProcessStatus, ...]:
        """Of every process that has not exited."""
        return tuple(process.status for process in list(self._all))

    @property
    def load(self) -> Load:
        """Of all processes together; those that have exited are part of what is counted."""
        processes = self.status
        threads = [each.threads for each in processes if each.threads]
        total = sum(threads, ThreadStatus(0, waited=self._waited_before)) if threads or self._waited_before else None
        return Load(total, self._blocks, processes)

    # -- for the slots --------------------------------------------------------------------------------------------------------

    def spawn(self, number: int, restarts: int) -> Process:
        """Start a process for slot *number*; it is not ready yet. Raises: OSError."""
        setup = ProcessSetup(
            number=number,
            apps=self.settings.apps,
            signing_key=self.settings.signing_key.reveal() if self.settings.signing_key else None,
            parent=os.getpid(),
            path=[str(entry) or os.getcwd() for entry in sys.path],
            python_path=os.environ.get("PYTHONPATH"),
            levels={"": log.root.level, "connect": logging.getLogger("connect").getEffectiveLevel()},
            json_logs=any(isinstance(handler.formatter, log_format.JsonLines) for handler in log.root.handlers),
            traces=self.settings.traces,
            signals=[int(number) for number in self.settings.signals],
            stall_warning=self.settings.stall_warning,
        )
        process = Process(
            setup,
            restarts,
            self.settings.recycle_after,
            self.deadlines.process_end,
            self._take_out_of_service,
            self._note_block,
        )
        self._all.append(process)
        process.ended.add_done_callback(lambda _: self._forget(process))
        return process

    def _forget(self, process: Process) -> None:
        self._all.remove(process)
        if process.status.threads:
            self._waited_before += process.status.threads.waited

    def _note_block(self, block: LoopBlocked) -> None:
        self._blocks += 1
        self._heard(block)

    def put_in_service(self, process: Process) -> None:
        """*process* is ready: give it executions."""
        self._in_service.append(process)
        self._wake_waiting(None)

    def retire(self, process: Process) -> None:
        """Give *process* no more executions, and end it once those that it has are over."""
        self._take_out_of_service(process)
        process.close_when_idle()

    def note_not_started(self, error: NotStarted) -> None:
        """If there is no process at all, requests that wait for one are answered with *error*."""
        if not self._in_service:
            self._wake_waiting(str(error))

    def _take_out_of_service(self, process: Process) -> None:
        if process in self._in_service:
            self._in_service.remove(process)

    # -- requests that wait for a process -------------------------------------------------------------------------------------

    async def _wait_for_process(self) -> str | None:
        """None: there is one now. A text: why none could be started."""
        if self._waiting is None:
            self._waiting = asyncio.get_running_loop().create_future()
        return await asyncio.shield(self._waiting)

    def _wake_waiting(self, reason: str | None) -> None:
        if self._waiting:
            self._waiting.set_result(reason)
            self._waiting = None


class _Slot:
    """One slot of the pool, and the process in it."""

    def __init__(self, pool: ProcessPool, number: int) -> None:
        self._pool = pool
        self._number = number
        self._backoff = RestartBackoff(pool.rng)
        self._restarts = 0

    async def keep_filled(self, process: Process) -> None:
        """Replace *process* when it is due or dead, then its replacement, and so on. Until cancelled."""
        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(NotStarted),
            wait=self._backoff,
            sleep=self._pool.sleep,
            before_sleep=self._note_failure,
        )
        while True:
            await asyncio.wait([process.recycle_due, process.ended], return_when=asyncio.FIRST_COMPLETED)
            if process.ended.done():
                await self._pool.sleep(self._backoff.after(process.ready_seconds))
            process = await retrying(self.fill, process)

    async def fill(self, before: Process | None = None) -> Process:
        """Start a process, and once it is ready retire the one *before*. Raises: NotStarted."""
        recycles = before is not None and not before.ended.done()
        async with self._pool.recycling if recycles else contextlib.nullcontext():
            process = await self._started()
        self._restarts += 1
        self._pool.put_in_service(process)
        if before:
            self._pool.retire(before)
        return process

    async def _started(self) -> Process:
        try:
            process = self._pool.spawn(self._number, self._restarts)
        except OSError as error:
            raise NotStarted(f"process {self._number} cannot be started: {error}") from error
        await asyncio.wait([process.ready], timeout=self._pool.deadlines.process_start)
        reason = process.ready.result() if process.ready.done() else self._timed_out()
        if reason is None:
            log.info("%s is ready", process)
            return process
        process.close()
        raise NotStarted(f"{process} cannot run {self._pool.settings.apps}: {reason}")

    def _timed_out(self) -> str:
        return f"it has not imported them within {self._pool.deadlines.process_start:g} s"

    def _note_failure(self, retry_state: tenacity.RetryCallState) -> None:
        error = retry_state.outcome.exception() if retry_state.outcome else None
        delay = retry_state.next_action.sleep if retry_state.next_action else 0.0
        log.error("cannot replace process %d, next attempt in %.2f s: %s", self._number, delay, error)
        if isinstance(error, NotStarted):
            self._pool.note_not_started(error)
