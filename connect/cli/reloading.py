"""`run --reload`: runs the same command in a child process, and starts it again when a file changes."""

import asyncio
import contextlib
import logging
import os
import select
import signal
import sys
import threading
from dataclasses import dataclass
from typing import Final

from connect import command_name
from connect.cli import starting
from connect.cli.service_manager import ServiceManager
from connect.cli.source_files import SourceFiles
from connect.errors import ConfigurationError
from connect.log_format import Format, to_stderr
from connect.loops import signals
from connect.redaction import logger

log = logger("connect.reload")

TIMEOUT: Final = 30.0
"""Seconds that work in flight has to finish, if the user does not say otherwise; then it is cancelled."""
KILL_SECONDS: Final = 10.0
"""Seconds that a worker has to end once its work is cancelled."""
SIGTERM_APART: Final = (0.2, 1.0, 3.0)
"""Seconds between the signals that cancel it."""

_WATCHER: Final = "STATECHART_CONNECT_RELOADED_BY"
"""The environment variable in which the worker finds the id of the process that watches the files."""


@dataclass(frozen=True, kw_only=True)
class Reloading:
    """What is watched, how long work may hold up a restart, and how the watching process logs."""

    files: SourceFiles
    timeout: float
    log_level: str
    log_format: Format


def run(asked: Reloading, manager: ServiceManager) -> int:
    """Run the worker, started again at each change, until SIGINT, SIGTERM or SIGHUP. Returns its exit code.

    For *manager* the service is this process, and ready once it watches: the worker may wait for a mended file.

    Raises: ConfigurationError: watchfiles is not installed, or cannot watch.
    """
    try:
        import watchfiles  # noqa: F401
    except ImportError:
        raise ConfigurationError("--reload needs watchfiles: pip install watchfiles") from None
    to_stderr(asked.log_level, asked.log_format)
    logging.getLogger("watchfiles").setLevel(logging.WARNING)
    os.environ[_WATCHER] = str(os.getpid())
    return asyncio.run(_Watcher(asked, manager).run())


class _Watcher:
    """Runs one worker after another. Told to end, it ends the worker as a shutdown does; told again, it cancels the work."""

    def __init__(self, asked: Reloading, manager: ServiceManager) -> None:
        self._asked = asked
        self._manager = manager
        self._told = asyncio.Event()
        self._hurried = asyncio.Event()

    async def run(self) -> int:
        loop = asyncio.get_running_loop()

        def hear(number: int, _frame: object = None) -> None:
            loop.call_soon_threadsafe(self._hear, number)

        # One signal counts once: the handlers that were there before are called too.
        starting.hand_over(lambda _: loop.call_soon_threadsafe(self._told.set))
        with signals.handled(signals.of_command(), hear), self._manager.watches():
            watching = asyncio.create_task(self._asked.files.watch())
            told = asyncio.create_task(self._wait_until_told())
            try:
                return await self._run(watching, told)
            finally:
                watching.cancel()
                told.cancel()
                await asyncio.wait([watching, told])

    async def _wait_until_told(self) -> None:
        await self._told.wait()
        self._manager.tell(STOPPING="1", STATUS="ends the worker")

    def _hear(self, number: int) -> None:
        if self._told.is_set() and number != signals.HANGUP:
            self._hurried.set()
        self._told.set()

    async def _run(self, watching: asyncio.Task[None], told: asyncio.Task[None]) -> int:
        while True:
            self._asked.files.take_changes()  # of before the start: this worker reads them
            worker = await _start()
            self._manager.tell(READY="1", STATUS="starts the worker again at each change of its files (--reload)")
            ended = asyncio.create_task(worker.wait())
            change = asyncio.create_task(self._asked.files.changed())
            await asyncio.wait([change, told, ended, watching], return_when=asyncio.FIRST_COMPLETED)
            if ended.done() and not told.done():
                log.warning("the worker ended with %s: waiting for a change", _exit_text(ended.result()))
                await asyncio.wait([change, told, watching], return_when=asyncio.FIRST_COMPLETED)
            if change.done():
                log.info("%s: the worker starts again", self._asked.files.take_changes())
            change.cancel()
            await self._end(worker, ended)
            if watching.done():
                watching.result()  # raises what is wrong
            if told.done():
                return _exit_code(ended.result())

    async def _end(self, worker: asyncio.subprocess.Process, ended: asyncio.Task[int]) -> None:
        """End *worker* gracefully, and within bounds."""
        timeout = self._asked.timeout
        _send(worker, _close_signal())
        hurried = asyncio.create_task(self._hurried.wait())
        await asyncio.wait([ended, hurried], timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():
            if not hurried.done():
                log.warning("work in flight did not finish within %g s (--reload-timeout): it is cancelled", timeout)
            await _cancel(worker, ended)
        if not ended.done():
            log.error("the worker did not end within %g s after that: it is killed", KILL_SECONDS)
            _send(worker, signal.SIGKILL)
        hurried.cancel()
        await ended


async def _cancel(worker: asyncio.subprocess.Process, ended: asyncio.Task[int]) -> None:
    """Have *worker* cancel its work, and wait `KILL_SECONDS` at most. The second SIGTERM does it; two at once may count as one."""
    latest = asyncio.get_running_loop().time() + KILL_SECONDS
    for seconds in (*SIGTERM_APART, KILL_SECONDS):
        _send(worker, signal.SIGTERM)
        left = latest - asyncio.get_running_loop().time()
        await asyncio.wait([ended], timeout=min(seconds, max(left, 0.0)))
        if ended.done():
            return


async def _start() -> asyncio.subprocess.Process:
    # --no-reload goes last: --reload may come from the command line or from pyproject.toml, and the child must not watch files too.
    return await asyncio.create_subprocess_exec(sys.executable, *_own_words(), *sys.argv[1:], "--no-reload")


def _own_words() -> list[str]:
    """What Python is called with to run this command as the user has run it."""
    is_script = command_name.typed() == command_name.SCRIPT and os.path.isfile(sys.argv[0])
    return [sys.argv[0]] if is_script else ["-m", "connect"]


def _close_signal() -> signal.Signals:
    """The signal that begins a shutdown, but never cancels work: the worker may have had the terminal's Ctrl-C already."""
    hangup = signals.HANGUP
    return signal.SIGTERM if hangup is None or signal.getsignal(hangup) is signal.SIG_IGN else hangup


def _send(worker: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        worker.send_signal(number)


def _exit_text(code: int) -> str:
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name


def _exit_code(code: int) -> int:
    """As a shell has it; 0 where our own signal came before the worker could take it."""
    if code == -_close_signal():
        return 0
    return code if code >= 0 else 128 - code


def end_with_watcher() -> None:
    """In a worker that `run` starts: send SIGTERM to itself once the watching process has ended, however it ended.

    In any other process: do nothing.
    """
    watcher = os.environ.pop(_WATCHER, None)  # not for the processes that user code starts: they are not reloaded
    if watcher:
        threading.Thread(target=_end_after, args=[int(watcher)], name="connect-reload", daemon=True).start()


def _end_after(watcher: int) -> None:
    try:
        if os.getppid() == watcher:  # else it has ended, and another process may have its id by now
            _wait_for_end(watcher)
    except ProcessLookupError:
        pass
    except (OSError, AttributeError) as error:
        log.debug("this worker keeps running if the process that watches the files is killed: %s", error)
        return
    # Not the kernel's parent-death signal: that comes once for each thread of the parent, and a second SIGTERM cancels work.
    os.kill(os.getpid(), signal.SIGTERM)


def _wait_for_end(process: int) -> None:
    """Wait until *process*, which is not a child, ends. Raises: ProcessLookupError: it has ended. OSError: not possible here."""
    if sys.platform == "linux":
        descriptor = os.pidfd_open(process)
        select.select([descriptor], [], [])
        os.close(descriptor)
    else:
        ends = select.kevent(process, select.KQ_FILTER_PROC, select.KQ_EV_ADD, select.KQ_NOTE_EXIT)
        select.kqueue().control([ends], 1)
