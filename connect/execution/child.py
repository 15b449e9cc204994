"""One of the worker's processes, from the inside: `python -m connect.execution.child`, which only the worker starts.

It imports the apps, runs what comes over the pipe, each execution a task of its own, and ends when the pipe is closed.
"""

import asyncio
import contextlib
import ctypes
import logging
import multiprocessing
import os
import select
import signal
import socket
import sys
from dataclasses import fields
from operator import attrgetter
from types import FrameType
from typing import Final

from connect import logs
from connect.errors import ConfigurationError
from connect.execution import pipe, processes, sdk
from connect.execution.invocation import Invocation
from connect.execution.outcome import Outcome
from connect.execution.pipe import Message, Pipe
from connect.execution.setup import Setup
from connect.loops.loop import new_loop, spare_the_collector

FORMAT: Final = "%(asctime)s %(levelname)-7s %(processName)s %(name)s: %(message)s"

_PR_SET_PDEATHSIG: Final = 1
_outcome_fields: Final = attrgetter(*(field.name for field in fields(Outcome)))


def main() -> None:
    """The process's whole life."""
    setup = Setup.read(sys.stdin.buffer)
    _die_with(setup.parent)
    end = socket.socket(fileno=setup.pipe)
    end.set_inheritable(False)
    os.register_at_fork(after_in_child=lambda: _detach(setup.pipe))
    _leave_to_the_worker(setup)
    _resemble(setup)
    apps = _imported(setup, end)
    _leave_to_the_worker(setup)  # whatever the import made of them
    _log_to_stderr(setup)
    _trace(setup, apps)
    spare_the_collector()
    with asyncio.Runner(loop_factory=new_loop) as runner:
        child = Child(apps, runner.get_loop())
        try:
            runner.run(child.serve(end))
        finally:  # after a sys.exit() in a function too: what the others come to now is not their own doing
            child.close()
    if apps.busy or os.getppid() != setup.parent:
        _end_now()


class Child:
    """Runs what the worker sends."""

    def __init__(self, apps: sdk.Apps, loop: asyncio.AbstractEventLoop) -> None:
        self._apps = apps
        self._loop = loop
        self._tasks: dict[int, asyncio.Task[Outcome]] = {}
        self._pipe = Pipe(self._received, loop)

    async def serve(self, end: socket.socket) -> None:
        """Until the worker closes the pipe."""
        await self._pipe.open(end)
        self._pipe.send((pipe.READY,))
        await self._pipe.lost

    def close(self) -> None:
        """Say nothing more, and leave sync functions to themselves."""
        self._pipe.close()
        self._apps.shutdown()

    def _received(self, message: Message) -> None:
        match message:
            case (pipe.RUN, number, *invocation):
                self._run(number, Invocation(*invocation))
            case (pipe.CANCEL, number):
                if task := self._tasks.get(number):
                    task.cancel()

    def _run(self, number: int, invocation: Invocation) -> None:
        task = self._loop.create_task(self._apps.run(invocation), name=f"inngest {invocation.request_id}")
        self._tasks[number] = task
        task.add_done_callback(lambda task: self._ended(number, task))

    def _ended(self, number: int, task: asyncio.Task[Outcome]) -> None:
        del self._tasks[number]
        if task.cancelled():
            self._pipe.send((pipe.CANCELLED, number))
        elif not task.exception():  # a KeyboardInterrupt: it ends the process
            self._pipe.send((pipe.DONE, number, *_outcome_fields(task.result())))


def _die_with(parent: int) -> None:
    """End when the worker does, whatever user code is at: at once on Linux, elsewhere when the loop sees the pipe closed.

    The kernel watches the thread that started this process: the connection's own, which outlives its processes.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        _end_now()


def _detach(descriptor: int) -> None:
    """In a fork that user code makes: it must neither write to the pipe nor keep it open."""
    os.dup2(os.open(os.devnull, os.O_RDWR), descriptor)


def _leave_to_the_worker(setup: Setup) -> None:
    """Signals that a terminal or a supervisor sends to all processes of a worker: the worker decides what comes of them.

    They are handled, not ignored, since what user code starts would inherit that. Once the pipe is closed they end the process.
    """

    def handle(number: int, _frame: FrameType | None) -> None:
        if _hung_up(setup.pipe):
            raise SystemExit(128 + number)

    for number in setup.signals:
        signal.signal(number, handle)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, setup.signals)


def _hung_up(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, 0)
    return bool(poll.poll(0))


def _resemble(setup: Setup) -> None:
    """Import as the worker does, and be known by a name."""
    sys.path[:] = setup.path
    if setup.python_path is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = setup.python_path
    multiprocessing.current_process().name = setup.name
    processes.inside = True


def _imported(setup: Setup, end: socket.socket) -> sdk.Apps:
    try:
        return sdk.load(setup.apps, setup.signing_key)
    except ConfigurationError as error:
        end.sendall(pipe.frame((pipe.UNFIT, " ".join(str(error).split()))))
        sys.exit(2)


def _log_to_stderr(setup: Setup) -> None:
    """At the worker's levels and in its form, unless the user's module has set up logging itself."""
    logs.to_stderr(setup.levels[""], "json" if setup.json_logs else "text", FORMAT)
    for name, level in setup.levels.items():
        logging.getLogger(name).setLevel(level)


def _trace(setup: Setup, apps: sdk.Apps) -> None:
    """Open spans here, where the functions run; the provider is the module's own, or sends to where the environment says."""
    if setup.traces:
        from connect.watching import tracing  # needs what not everybody has installed

        if any(name.startswith("OTEL_EXPORTER_OTLP") for name in os.environ):
            tracing.export()
        apps.spans = tracing.Executions()


def _end_now() -> None:
    """Do not wait for threads, as the interpreter would."""
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # nobody reads it any more, or user code has closed it
            stream.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
