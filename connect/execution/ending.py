"""The end of a process that belongs to the worker: in time, and with its exit code, whatever user code has left running.

The interpreter waits at its end for every thread that is no daemon, for exit handlers and for what is still to be written to
standard output. Each of them can last for ever; and an output that cannot be written changes the exit code.
"""

import atexit
import contextlib
import logging
import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from typing import Final, NoReturn, Self

from connect.deadlines import ENDING_SECONDS as SECONDS

FLUSH_SECONDS: Final = 1.0
"""How long it waits for its outputs."""

log = logging.getLogger("connect")


class Ending:
    """Ends this process hard when its time is over. Make one, early: its exit handler must run after those of user code.

    As a context it notes the exit code of what leaves it, and gives the process `SECONDS` once its main thread has ended: a program
    that catches what leaves the context goes on. The methods may be called from any thread, and `within` from a signal handler too.
    """

    def __init__(self) -> None:
        self._code = 1
        self._silent = False
        self._changes: queue.SimpleQueue[float] = queue.SimpleQueue()
        threading.Thread(target=self._watch, name="connect-end", daemon=True).start()
        atexit.register(_flush)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self._code = _exit_code(error)
        threading.Thread(target=self._wait_for_main, name="connect-end", daemon=True).start()

    def within(self, seconds: float, code: int) -> None:
        """End the process at most *seconds* from now, with exit code *code*. Of several times the earliest counts, of several
        codes the last.
        """
        self._code = code
        self._changes.put(time.monotonic() + seconds)

    def now(self, code: int) -> NoReturn:
        """End the process with exit code *code*, without waiting for threads or exit handlers."""
        self._silent = True
        self.within(FLUSH_SECONDS, code)
        _flush()
        os._exit(code)

    def _wait_for_main(self) -> None:
        threading.main_thread().join()
        self.within(SECONDS, self._code)

    def _watch(self) -> None:
        due = self._changes.get()
        while (left := due - time.monotonic()) > 0:
            with contextlib.suppress(queue.Empty):
                due = min(due, self._changes.get(timeout=left))
        if not self._silent:
            _on_thread(_say_what_is_left)
            _on_thread(_flush)
        os._exit(self._code)


def _exit_code(error: BaseException | None) -> int:
    """The exit code of a program that *error* leaves, as Python has it, but 130 at Ctrl-C."""
    match error:
        case None:
            return 0
        case SystemExit(code=None):
            return 0
        case SystemExit(code=int() as code):
            return code
        case KeyboardInterrupt():
            return 130
    return 1


def _say_what_is_left() -> None:
    main = threading.main_thread()
    threads = [f"thread {each.name!r}" for each in threading.enumerate() if not each.daemon and each is not main]
    multiprocessing = sys.modules.get("multiprocessing")  # without it, user code has made none
    children = multiprocessing.active_children() if multiprocessing else []
    processes = [f"process {each.name!r}" for each in children if not each.daemon]
    left = ", ".join([*threads, *processes]) or "the main thread"
    log.warning("the process ends without waiting for what still runs: %s", left)


def _flush() -> None:
    logging.shutdown()
    for name in ("stdout", "stderr"):
        try:
            getattr(sys, name).flush()
        except (OSError, ValueError, AttributeError):  # it cannot be written, or user code has closed or replaced it
            setattr(sys, name, None)  # else the interpreter tries again, and ends with exit code 120


def _on_thread(call: Callable[[], None]) -> None:
    """Call it, and wait for at most `FLUSH_SECONDS`: a handler's lock, or a full pipe, may hold it."""
    thread = threading.Thread(target=call, name="connect-end", daemon=True)
    with contextlib.suppress(RuntimeError):  # the system gives no thread
        thread.start()
        thread.join(FLUSH_SECONDS)
