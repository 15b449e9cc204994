"""One of the worker's processes, as the worker sees it: started, given work, let go, seen off."""

import asyncio
import contextlib
import logging
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

from connect.execution import pipe
from connect.execution.invocation import Invocation
from connect.execution.outcome import Outcome, failure
from connect.execution.pipe import Message, Pipe
from connect.execution.setup import Setup
from connect.status import ProcessStatus

LAST_WORDS: Final = 1.0
"""Seconds, once a process has ended, for what it wrote before to arrive."""

_invocation_fields: Final = attrgetter(*(field.name for field in fields(Invocation)))

log = logging.getLogger("connect.processes")


class Process:
    """A process, from its start to its end. On the connection's loop only; `status` from any thread.

    *gone* is called once, at the first sign that it will do no more work. *patience* is how long, in seconds, it may take to end
    when its pipe is closed, and again when it has got SIGTERM.

    Raises: OSError: it cannot be started.
    """

    def __init__(
        self, setup: Setup, restarts: int, due_after: int | None, patience: float, gone: Callable[["Process"], None]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._setup = setup
        self._restarts = restarts
        self._due_after = due_after
        self._patience = patience
        self._gone = gone
        self._calls: dict[int, _Call] = {}
        self._given = 0
        self._served = 0
        self._pipe = Pipe(self._received, self._loop)
        self._leaving = False
        self._closed = False
        self._ready_at: float | None = None
        self.ready: asyncio.Future[str | None] = self._loop.create_future()
        """None: it runs the apps; or else why it does not."""
        self.due: asyncio.Future[None] = self._loop.create_future()
        """It has been given as much as it is meant to serve."""
        self._exited: asyncio.Future[int] = self._loop.create_future()
        self._child, end = _spawn(setup)
        self._watch(end)
        self.life = self._loop.create_task(self._live(end), name=setup.name)
        """Ends when nothing of it is left."""

    @property
    def in_flight(self) -> int:
        """Executions that it has in hand."""
        return len(self._calls)

    @property
    def lived(self) -> float:
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
        )

    def __str__(self) -> str:
        return f"process {self._setup.number} (pid {self._child.pid})"

    # -- work -----------------------------------------------------------------------------------------------------------------

    async def run(self, invocation: Invocation) -> Outcome:
        """As `Executor.execute`. If the process ends meanwhile, that is the outcome. The process is ready."""
        self._given += 1
        number = self._given
        call = self._calls[number] = _Call(self._loop.create_future())
        if number == self._due_after:
            self.due.set_result(None)
        self._pipe.send((pipe.RUN, number, *_invocation_fields(invocation)))
        while not call.ended:
            try:
                await call.waiter
            except asyncio.CancelledError:
                if not call.ended:
                    call.waiter = self._loop.create_future()
                    self._pipe.send((pipe.CANCEL, number))
        if call.outcome is None:
            raise asyncio.CancelledError
        return call.outcome

    def _received(self, message: Message) -> None:
        match message:
            case (pipe.DONE, number, *outcome):
                self._served += 1
                self._ended(number, Outcome(*outcome))
            case (pipe.CANCELLED, number):
                self._ended(number, None)
            case (pipe.READY,):
                self._ready_at = self._loop.time()
                self._settle(None)
            case (pipe.UNFIT, reason):
                self._settle(reason)

    def _ended(self, number: int, outcome: Outcome | None) -> None:
        self._calls.pop(number).end(outcome)
        if self._leaving and not self._calls:
            self.close()

    def _settle(self, reason: str | None) -> None:
        if not self.ready.done():
            self.ready.set_result(reason)

    # -- its end --------------------------------------------------------------------------------------------------------------

    def leave(self) -> None:
        """End it when it has finished what it has in hand. It must be given nothing more."""
        self._leaving = True
        if not self._calls:
            self.close()

    def close(self) -> None:
        """End it now. Again is harmless."""
        self._closed = True
        self._pipe.close()

    def _watch(self, end: socket.socket) -> None:
        """Wait for its exit, on a thread; where there can be no more threads there must be no process that nobody waits for."""
        try:
            threading.Thread(target=self._wait, name=f"{self._setup.name}-end", daemon=True).start()
        except RuntimeError as error:
            end.close()
            self._child.kill()
            self._child.wait()
            raise OSError(error) from error

    def _wait(self) -> None:
        """On a thread of its own: until the process has exited."""
        code = self._child.wait()
        with contextlib.suppress(RuntimeError):  # the worker has ended without waiting for it
            self._loop.call_soon_threadsafe(self._exited.set_result, code)

    async def _live(self, end: socket.socket) -> None:
        await self._pipe.open(end)
        signs: list[asyncio.Future[Any]] = [self._exited, self._pipe.lost]
        await asyncio.wait(signs, return_when=asyncio.FIRST_COMPLETED)
        self._gone(self)
        if self._exited.done():
            await asyncio.wait([self._pipe.lost], timeout=LAST_WORDS)
        self._pipe.close()
        self._bury(await self._end())

    async def _end(self) -> int:
        """Its exit code, once it has exited; its pipe is closed."""
        # While it imports it would not notice, and has nothing to finish.
        patience = 0.0 if self._closed and not self.ready.done() else self._patience
        for number in (signal.SIGTERM, signal.SIGKILL):
            await asyncio.wait([self._exited], timeout=patience)
            if self._exited.done():
                break
            log.info("%s has not ended within %g s: it gets %s", self, patience, number.name)
            self._child.send_signal(number)
            patience = self._patience
        return await self._exited

    def _bury(self, code: int) -> None:
        cause = _told(code)
        self._settle(f"it {cause} before it had imported {self._setup.apps}")
        if self._ready_at is not None and not self._closed:
            log.error(
                "%s %s, with %d executions in hand: each is answered with an error", self, cause, len(self._calls)
            )
        for call in self._calls.values():
            call.end(failure("ProcessDied", f"{self} of the worker {cause} while it ran this; it is safe to retry"))
        self._calls.clear()


class _Call:
    """One execution: waited for, and perhaps asked to stop."""

    __slots__ = ("ended", "outcome", "waiter")

    def __init__(self, waiter: asyncio.Future[None]) -> None:
        self.waiter = waiter
        self.outcome: Outcome | None = None
        self.ended = False

    def end(self, outcome: Outcome | None) -> None:
        """None: it was stopped."""
        self.outcome, self.ended = outcome, True
        if not self.waiter.done():
            self.waiter.set_result(None)


def _told(code: int) -> str:
    if code >= 0:
        return f"exited with code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:  # a real-time signal
        return f"was ended by signal {-code}"


def _spawn(setup: Setup) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """The process, and the worker's end of the pipe. The thread that calls this is the one that it ends with (see `child`)."""
    ours, theirs = socket.socketpair()
    # The last two arguments are for whoever looks at the list of processes.
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
    """A process that is started meanwhile gets none of these signals until it can handle them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
