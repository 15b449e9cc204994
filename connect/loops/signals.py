"""Signal handlers that are installed while a worker runs, and act at once."""

import asyncio
import contextlib
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from types import FrameType
from typing import Final, TypeAlias

Handler: TypeAlias = Callable[[int, FrameType | None], object]

SHUTDOWN: Final = (signal.SIGINT, signal.SIGTERM)
"""Those that begin a graceful shutdown unless the user names others."""

HANGUP: Final = getattr(signal, "SIGHUP", None)
"""What a terminal sends when it is closed; None: this system has no such signal."""

log = logging.getLogger("connect")


def of_command() -> tuple[signal.Signals, ...]:
    """Those that begin a graceful shutdown of a command: the hangup of its terminal too, unless it is ignored, as nohup does."""
    if HANGUP is None or signal.getsignal(HANGUP) is signal.SIG_IGN:
        return SHUTDOWN
    return (*SHUTDOWN, HANGUP)


def ignore_broken_pipes() -> None:
    """As Python does at its start. A module that has set SIGPIPE to its default would end the process with the next lost link."""
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)


@contextlib.contextmanager
def handled(numbers: Iterable[signal.Signals], handler: Handler) -> Iterator[None]:
    """Call *handler* for each of *numbers* inside the `with`; afterwards the earlier handlers are restored.

    Needs a running loop. On another thread than the main one it does nothing, since Python allows no handlers there. *handler* is
    called between two bytecodes of the main thread, so a loop that user code blocks does not delay it.
    """
    if threading.current_thread() is not threading.main_thread():
        log.debug("not on the main thread: no handlers for shutdown signals")
        yield
        return
    with contextlib.ExitStack() as before, _loop_woken(asyncio.get_running_loop()):
        for number in numbers:
            before.callback(signal.signal, number, signal.signal(number, handler))
        yield


@contextlib.contextmanager
def _loop_woken(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Wake *loop* at every signal, so that the main thread runs the handler.

    Without this, a signal that another thread receives, or that comes just before the loop waits for I/O, is handled when the loop
    wakes for another reason: if it is idle, never. uvloop has set a wakeup descriptor already, which is kept.
    """
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        before = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        if before != -1:
            signal.set_wakeup_fd(before, warn_on_full_buffer=False)
            yield
            return
        loop.add_reader(ours, ours.recv, 4096)
        try:
            yield
        finally:
            loop.remove_reader(ours)
            left = signal.set_wakeup_fd(-1)
            if left != theirs.fileno():  # other code has set its own meanwhile: keep it
                signal.set_wakeup_fd(left)
