"""What runs in each process of `isolation="process"`: `python -m connect.execution.child`. Only the worker starts it.

It imports the apps, runs each execution that comes over the pipe in a task of its own, and ends when the worker closes the pipe.
"""

import asyncio
import ctypes
import logging
import multiprocessing
import os
import select
import signal
import socket
import sys
from dataclasses import astuple, fields
from operator import attrgetter
from types import FrameType
from typing import Final

from connect import log_format
from connect.errors import ConfigurationError
from connect.events import LoopBlocked
from connect.execution import pipe, process_setup, sdk
from connect.execution.ending import Ending
from connect.execution.function_guard import is_run_by_a_task
from connect.execution.function_watch import FunctionWatch
from connect.execution.invocation import Invocation
from connect.execution.outcome import Outcome, failure, too_large
from connect.execution.pipe import Message, Pipe
from connect.execution.process_setup import ProcessSetup
from connect.execution.thread_waits import ThreadWaits
from connect.loops import forks, signals
from connect.loops.loop import freeze_imported_objects, new_loop
from connect.redaction import logger
from connect.wire.codec import MESSAGE_LIMIT

FORMAT: Final = "%(asctime)s %(levelname)-7s %(processName)s %(name)s: %(message)s"

REPORT_SECONDS: Final = 0.1
"""The least time between two reports of calls that wait for a thread."""

_PR_SET_PDEATHSIG: Final = 1
_outcome_fields: Final = attrgetter(*(field.name for field in fields(Outcome)))

log = logger("connect.processes")


def main() -> None:
    """Run until the worker closes the pipe."""
    with Ending() as ending:
        _run(ending)


def _run(ending: Ending) -> None:
    setup = ProcessSetup.read(sys.stdin.buffer)
    _end_with_worker(setup.parent, ending)
    end = socket.socket(fileno=setup.pipe)
    end.set_inheritable(False)
    forks.private(end)
    _handle_signals(setup)
    _apply(setup)
    apps = _imported(setup, end)
    _handle_signals(setup)  # the import may have installed other handlers
    _log_to_stderr(setup)
    _trace(setup, apps)
    freeze_imported_objects()
    with asyncio.Runner(loop_factory=new_loop) as runner:
        child = Child(apps, runner.get_loop(), setup.stall_warning, apps.thread_waits)
        with ending:  # closing the loop waits for what user code has left
            try:
                with forks.Boundary():
                    runner.run(child.serve(end))
            finally:
                # A sys.exit() in a task of user code cancels all executions: close the pipe first, or this is their outcome.
                child.close()
    if apps.busy or os.getppid() != setup.parent:
        ending.now(0)


class Child:
    """Runs the executions that the worker sends. On *loop* only.

    *stall_warning*: seconds that an async function may block *loop*, or a sync one wait for a thread; None or 0: no watch. *waits*:
    the sync functions that wait for a thread, of which the worker is told.
    """

    def __init__(
        self,
        apps: sdk.Apps,
        loop: asyncio.AbstractEventLoop,
        stall_warning: float | None = None,
        waits: ThreadWaits | None = None,
    ) -> None:
        self._apps = apps
        self._loop = loop
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._pipe = Pipe(self._received, loop)
        self._watch = FunctionWatch(loop, stall_warning, self._send_block)
        self._waits = waits
        self._report: asyncio.TimerHandle | None = None
        if waits:
            waits.limit = stall_warning

    async def serve(self, end: socket.socket) -> None:
        """Say that the apps are ready, then run executions until the worker closes the pipe."""
        await self._pipe.open(end)
        self._pipe.send((pipe.READY,))
        if self._waits:
            self._waits.changed = self._report_soon
            self._send_threads()
        await self._pipe.lost

    def close(self) -> None:
        """Send nothing more. Sync functions that still run are not waited for."""
        self._pipe.close()
        self._watch.stop()
        self._apps.shutdown()

    def _report_soon(self) -> None:
        if self._report is None:
            self._report = self._loop.call_later(REPORT_SECONDS, self._send_threads)

    def _send_threads(self) -> None:
        self._report = None
        if self._waits:
            self._pipe.send((pipe.THREADS, *astuple(self._waits.status)))

    def _send_block(self, block: LoopBlocked) -> None:
        self._pipe.send((pipe.BLOCKED, *astuple(block)))

    def _received(self, message: Message) -> None:
        kind, number, *invocation = message
        if kind == pipe.RUN:
            self._run(number, Invocation(*invocation))
        elif task := self._tasks.get(number):
            task.cancel()
            # One that is cancelled before its first step never runs, and so sends nothing.
            task.add_done_callback(lambda _: self._end(number, (pipe.CANCELLED, number)))

    def _run(self, number: int, invocation: Invocation) -> None:
        run = self._answer(number, invocation)
        self._tasks[number] = self._loop.create_task(run, name=f"inngest {invocation.request_id}")
        self._watch.begin()

    async def _answer(self, number: int, invocation: Invocation) -> None:
        """Run the function and send its outcome. Nothing that a function raises comes here; what else does must be answered."""
        try:
            outcome = await self._outcome(invocation)
        except asyncio.CancelledError:
            self._end(number, (pipe.CANCELLED, number))
            raise
        except BaseException as error:
            if isinstance(error, GeneratorExit) and not is_run_by_a_task():
                raise  # this coroutine is closed
            log.exception("inngest %s could not be run", invocation.request_id)
            message = "the function could not be run; the worker's log says why"
            outcome = failure(type(error).__name__, message)
        self._end(number, (pipe.DONE, number, *_outcome_fields(outcome)), len(outcome.body))

    def _end(self, number: int, message: Message, size: int = 0) -> None:
        if self._tasks.pop(number, None):
            self._watch.end()
            send = self._pipe.send if self._tasks else self._pipe.send_now
            send(message, size)

    async def _outcome(self, invocation: Invocation) -> Outcome:
        """A result that is larger than a gateway reads does not leave this process: the worker would hold it several times over."""
        outcome = await self._apps.run(invocation)
        size = len(outcome.body)
        if size <= MESSAGE_LIMIT:
            return outcome
        log.error(
            "the reply to request %s (run %s, %s) has %d bytes, more than a gateway reads: sent an error instead",
            invocation.request_id,
            invocation.run_id,
            invocation.function_slug,
            size,
            extra=log_format.about_request(invocation.request_id, invocation.run_id, invocation.function_slug),
        )
        return too_large(size)


def _end_with_worker(parent: int, ending: Ending) -> None:
    """End when the worker dies: on Linux the kernel kills this process at once, elsewhere its loop must see the pipe closed.

    The kernel acts when the thread that started this process ends. That is the connection's thread, which ends after its processes.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        ending.now(0)


def _handle_signals(setup: ProcessSetup) -> None:
    """Do nothing at signals that a terminal or a supervisor sends to all processes: the worker ends this one by closing the pipe.

    A handler does it, since programs that user code starts would inherit ignored signals. Once the pipe is closed, these signals
    end the process. In a fork that user code makes they do what they did before.
    """

    def handle(number: int, _frame: FrameType | None) -> None:
        if _is_pipe_closed(setup.pipe):
            raise SystemExit(128 + number)

    signals.replace(setup.signals, handle)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, setup.signals)


def _is_pipe_closed(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, 0)
    return bool(poll.poll(0))


def _apply(setup: ProcessSetup) -> None:
    """Set up imports as in the worker, and the name of this process."""
    sys.path[:] = setup.path
    if setup.python_path is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = setup.python_path
    multiprocessing.current_process().name = setup.name
    process_setup.in_pool_process = True


def _imported(setup: ProcessSetup, end: socket.socket) -> sdk.Apps:
    try:
        return sdk.load(setup.apps, setup.signing_key)
    except ConfigurationError as error:
        end.sendall(pipe.frame((pipe.NOT_READY, log_format.one_line(str(error)))))
        sys.exit(2)


def _log_to_stderr(setup: ProcessSetup) -> None:
    """With the worker's log levels and format, unless the user's module has set up logging itself."""
    log_format.to_stderr(setup.levels[""], "json" if setup.json_logs else "text", FORMAT)
    for name, level in setup.levels.items():
        logging.getLogger(name).setLevel(level)


def _trace(setup: ProcessSetup, apps: sdk.Apps) -> None:
    """Open a span for each execution. If the user's module has set up no tracer provider, export to the environment's endpoint."""
    if setup.traces:
        from connect.execution import otel_spans  # needs the extra `otel`

        if any(name.startswith("OTEL_EXPORTER_OTLP") for name in os.environ):
            otel_spans.export()
        apps.spans = otel_spans.Executions()


if __name__ == "__main__":
    main()
