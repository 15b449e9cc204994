"""One process of `isolation="process"`, as the worker sees it: started, given executions, ended. `child` is its other side."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields, replace
from operator import attrgetter
from typing import IO, Any, Final, cast

from connect.events import LoopBlocked
from connect.execution import failures, pipe
from connect.execution.invocation import Invocation
from connect.execution.outcome import Outcome, failure
from connect.execution.pipe import Message, Pipe
from connect.execution.process_setup import ProcessSetup
from connect.loops import forks
from connect.redaction import logger
from connect.status import ProcessStatus, ThreadStatus

IMPORT_END_SECONDS: Final = 0.3
"""A process that still imports the apps, and is not needed any more: seconds to end at SIGTERM, before SIGKILL."""
READ_REST_SECONDS: Final = 1.0
"""Once a process has exited: seconds to wait for the last bytes that it wrote to its pipe."""

_invocation_fields: Final = attrgetter(*(field.name for field in fields(Invocation) if field.name != "connection"))
"""All but the last, `connection`, which is given apart: to copy the invocation for it would take longer."""
_block_fields: Final = tuple(field.name for field in fields(LoopBlocked))

log = logger("connect.processes")


class Process:
    """A process, from its start until it has exited. On the connection's loop only; `status` from any thread.

    *restarts*: how many processes had its slot before. *recycle_after*: executions after which `recycle_due` is done; None: never.
    *end_timeout*: seconds that it has to exit once its pipe is closed, and as long again after SIGTERM. *on_end* is called once,
    at the first sign that it has ended: it must be given no more executions then. *on_block* is called with each block of its loop.

    Raises: OSError: it cannot be started.
    """

    def __init__(
        self,
        setup: ProcessSetup,
        restarts: int,
        recycle_after: int | None,
        end_timeout: float,
        on_end: Callable[["Process"], None],
        on_block: Callable[[LoopBlocked], object],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._setup = setup
        self._restarts = restarts
        self._recycle_after = recycle_after
        self._end_timeout = end_timeout
        self._on_end = on_end
        self._on_block = on_block
        self._threads: ThreadStatus | None = None
        self._blocks = 0
        self._calls: dict[int, _Call] = {}
        self._given = 0
        self._served = 0
        self._pipe = Pipe(self._received, self._loop)
        self._close_when_idle = False
        self._closed = False
        self._ready_at: float | None = None
        self.ready: asyncio.Future[str | None] = self._loop.create_future()
        """None: it has imported the apps and takes executions. A text: why it cannot."""
        self.recycle_due: asyncio.Future[None] = self._loop.create_future()
        """Done once it has been given *recycle_after* executions."""
        self._exited: asyncio.Future[int] = self._loop.create_future()
        self._child, end = _spawn(setup)
        self._wait_on_thread(end)
        self.ended: asyncio.Task[None] = self._loop.create_task(self._serve_until_exit(end), name=setup.name)
        """Done once it has exited and each of its executions has an outcome."""

    @property
    def in_flight(self) -> int:
        """How many executions it runs."""
        return len(self._calls)

    @property
    def ready_seconds(self) -> float:
        """Seconds since it was ready; 0 if it never was."""
        return 0.0 if self._ready_at is None else self._loop.time() - self._ready_at

    @property
    def status(self) -> ProcessStatus:
        return ProcessStatus(
            number=self._setup.number,
            pid=self._child.pid,
            in_flight=len(self._calls),
            served=self._served,
            restarts=self._restarts,
            threads=self._threads,
            loop_blocks=self._blocks,
        )

    def __str__(self) -> str:
        return f"process {self._setup.number} (pid {self._child.pid})"

    # -- executions -----------------------------------------------------------------------------------------------------------

    async def run(self, invocation: Invocation, connection: str = "") -> Outcome:
        """As `Executor.execute`; the process must be ready. If it ends meanwhile, the outcome is a retriable ERROR.

        *connection* is that of the invocation.
        """
        self._given += 1
        number = self._given
        call = _Call(self._loop.create_future(), invocation)
        send = self._pipe.send if self._calls else self._pipe.send_now
        self._calls[number] = call
        if number == self._recycle_after:
            self.recycle_due.set_result(None)
        sent = send((pipe.RUN, number, *_invocation_fields(invocation), connection), len(invocation.payload))
        try:
            await call.waiter
        except asyncio.CancelledError:
            await self._cancel(number, call, sent)
        if call.outcome is None:
            raise asyncio.CancelledError
        return call.outcome

    async def _cancel(self, number: int, call: "_Call", sent: int) -> None:
        """The task of `run` was cancelled: cancel the execution, and wait for its end. More cancels do the same again."""
        while not call.ended:
            if self._pipe.withdraw(sent):
                self._end_call(number, None)
            else:
                call.waiter = self._loop.create_future()
                self._pipe.send((pipe.CANCEL, number))
                with contextlib.suppress(asyncio.CancelledError):
                    await call.waiter

    def _received(self, message: Message) -> None:
        if message[0] == pipe.DONE:
            self._served += 1
            self._end_call(message[1], Outcome(*message[2:]))
            return
        match message:
            case (pipe.CANCELLED, number):
                self._end_call(number, None)
            case (pipe.THREADS, *threads):
                self._threads = ThreadStatus(*threads)
            case (pipe.BLOCKED, *block):
                self._blocks += 1
                self._on_block(LoopBlocked(**dict(zip(_block_fields, block, strict=True))))
            case (pipe.READY,):
                self._ready_at = self._loop.time()
                self._set_ready(None)
            case (pipe.NOT_READY, reason):
                self._set_ready(reason)

    def _end_call(self, number: int, outcome: Outcome | None) -> None:
        self._calls.pop(number).end(outcome)
        if self._close_when_idle and not self._calls:
            self.close()

    def _set_ready(self, reason: str | None) -> None:
        if not self.ready.done():
            self.ready.set_result(reason)

    # -- its end --------------------------------------------------------------------------------------------------------------

    def close_when_idle(self) -> None:
        """End it once its executions have ended. It must be given no more."""
        self._close_when_idle = True
        if not self._calls:
            self.close()

    def close(self) -> None:
        """End it now: close its pipe. A second call does nothing."""
        self._closed = True
        self._pipe.close()

    def _wait_on_thread(self, end: socket.socket) -> None:
        """Wait for its exit on a thread. If the system gives no thread, kill it: nothing else would notice its exit."""
        try:
            threading.Thread(target=self._wait, name=f"{self._setup.name}-end", daemon=True).start()
        except RuntimeError as error:
            end.close()
            self._child.kill()
            self._child.wait()
            raise OSError(error) from error

    def _wait(self) -> None:
        """On a thread of its own, until the process has exited."""
        code = self._child.wait()
        with contextlib.suppress(RuntimeError):  # the loop is closed: the worker has ended already
            self._loop.call_soon_threadsafe(self._exited.set_result, code)

    async def _serve_until_exit(self, end: socket.socket) -> None:
        await self._pipe.open(end)
        signs: list[asyncio.Future[Any]] = [self._exited, self._pipe.lost]
        await asyncio.wait(signs, return_when=asyncio.FIRST_COMPLETED)
        self._on_end(self)
        if self._exited.done():
            await asyncio.wait([self._pipe.lost], timeout=READ_REST_SECONDS)
        self._pipe.close()
        self._fail_calls(await self._exit_code())

    async def _exit_code(self) -> int:
        """Wait until it has exited; its pipe is closed. If it takes too long, send SIGTERM, then SIGKILL."""
        # While it still imports it does not see the closed pipe, and it has nothing to finish: hardly any time for it.
        imports = self._closed and not self.ready.done()
        timeout = 0.0 if imports else self._end_timeout
        for number in (signal.SIGTERM, signal.SIGKILL):
            await asyncio.wait([self._exited], timeout=timeout)
            if self._exited.done():
                break
            log.info("%s has not exited within %g s: sending it %s", self, timeout, number.name)
            self._child.send_signal(number)
            timeout = min(IMPORT_END_SECONDS, self._end_timeout) if imports else self._end_timeout
        return await self._exited

    def _fail_calls(self, code: int) -> None:
        """It has exited: each of its executions ends with an error that says how."""
        cause = _exit_text(code)
        self._set_ready(f"it {cause} before it had imported {self._setup.apps}")
        if self._ready_at is not None and not self._closed:
            log.error("%s %s while it ran %d executions: each is answered with an error", self, cause, len(self._calls))
        message = f"{self} of the worker {cause} while it ran this; it is safe to retry"
        died = failure("ProcessDied", message)
        for call in self._calls.values():
            failures.log_failure(call.invocation, died, "ProcessDied", message)
            call.end(died)
        self._calls.clear()


class _Call:
    """One execution. Cancelling replaces `waiter`; the outcome comes once."""

    __slots__ = ("ended", "invocation", "outcome", "waiter")

    def __init__(self, waiter: asyncio.Future[None], invocation: Invocation) -> None:
        self.waiter = waiter
        self.invocation = invocation
        self.outcome: Outcome | None = None
        self.ended = False

    def end(self, outcome: Outcome | None) -> None:
        """*outcome* is None if the execution was cancelled."""
        self.outcome, self.ended = outcome, True
        if not self.waiter.done():
            self.waiter.set_result(None)


def _exit_text(code: int) -> str:
    """What *code*, the `returncode` of a process, says: "exited with code 3", "was ended by SIGKILL"."""
    if code >= 0:
        return f"exited with code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:  # a real-time signal
        return f"was ended by signal {-code}"


def _spawn(setup: ProcessSetup) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Start a process; return it and the worker's end of its pipe. On Linux it is killed when the thread that called this ends."""
    ours, theirs = map(forks.private, socket.socketpair())
    # The last two arguments are read by people only, in the list of processes.
    command = [sys.executable, "-P", "-m", "connect.execution.child", setup.name, setup.apps]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(setup.path)}
    try:
        with theirs, _blocked(setup.signals):
            pipe_end = theirs.fileno()
            child = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[pipe_end], env=environment)  # noqa: S603
    except OSError:
        ours.close()
        raise
    with contextlib.suppress(BrokenPipeError), cast(IO[bytes], child.stdin) as stdin:
        replace(setup, pipe=pipe_end).write(stdin)
    return child, ours


@contextlib.contextmanager
def _blocked(numbers: Iterable[int]) -> Iterator[None]:
    """A process that is started inside inherits these signals blocked: they wait until it has installed its handlers."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
