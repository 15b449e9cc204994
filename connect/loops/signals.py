"""Signals: handled while a worker runs, at once, and as they were before when it has ended."""

import asyncio
import contextlib
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from types import FrameType
from typing import TypeAlias

Handler: TypeAlias = Callable[[int, FrameType | None], object]

log = logging.getLogger("connect")


@contextlib.contextmanager
def handled(numbers: Iterable[signal.Signals], handler: Handler) -> Iterator[None]:
    """*handler* is called for each of *numbers* while the context lasts. Without effect off the main thread.

    It runs between two bytecodes of the main thread: a loop that user code blocks does not delay it.
    """
    if threading.current_thread() is not threading.main_thread():
        log.debug("not on the main thread: shutdown signals are left alone")
        yield
        return
    with contextlib.ExitStack() as before, _loop_woken(asyncio.get_running_loop()):
        for number in numbers:
            before.callback(signal.signal, number, signal.signal(number, handler))
        yield


@contextlib.contextmanager
def _loop_woken(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Signals wake *loop*.

    One that another thread receives, or that comes between the main thread's last look and its waiting for I/O, would
    otherwise be handled when the loop next wakes for another reason: with an idle loop never. uvloop sees to it by itself.
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
            if left != theirs.fileno():  # somebody else's by now
                signal.set_wakeup_fd(left)
