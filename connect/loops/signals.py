"""Signal handlers that are installed while a worker runs, and act at once. They are guests of the program that it runs in.

The handlers that a program has installed are called too. A program may install and restore handlers while ours are there, and
workers of one process may end in any order. A fork has the handlers that it would have without a worker.
"""

import asyncio
import contextlib
import functools
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from types import FrameType
from typing import Any, Final, TypeAlias

from connect.loops import forks

Handler: TypeAlias = Callable[[int, FrameType | None], object]

SHUTDOWN: Final = (signal.SIGINT, signal.SIGTERM)
"""Those that begin a graceful shutdown unless the user names others."""

HANGUP: Final = getattr(signal, "SIGHUP", None)
"""What a terminal sends when it is closed; None: this system has no such signal."""

PASSED_ON_SECONDS: Final = 2.0
"""How long a parent process may take to pass a signal on as another one."""

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
    """Call *handler* for each of *numbers* inside the `with`, then the handler that was there before, unless it is Python's own.

    Afterwards the earlier handlers are there again, where other code has installed none meanwhile. Needs a running loop. On
    another thread than the main one it does nothing, since Python allows no handlers there. *handler* is called between two
    bytecodes of the main thread, so a loop that user code blocks does not delay it.
    """
    if threading.current_thread() is not threading.main_thread():
        log.debug("not on the main thread: no handlers for shutdown signals")
        yield
        return
    with contextlib.ExitStack() as stack, _loop_woken(asyncio.get_running_loop()):
        for number in numbers:
            layer = _Layer.with_handler(number, handler)
            stack.callback(layer.leave, handler)
        yield


def replace(numbers: Iterable[int], handler: Handler) -> None:
    """Call *handler* for each of *numbers* from now on, in place of the handlers that are there. On the main thread."""
    for number in numbers:
        _Layer.with_handler(number, handler, passes_on=False)


class Escalation:
    """A handler that asks for a shutdown: the first signal for a graceful one, a later one to hurry. It calls *request* with that.

    A hangup never asks to hurry: a terminal that is closed sends several. Nor does another signal within `PASSED_ON_SECONDS` of the
    first: at Ctrl-C a process of `uvicorn --workers` gets SIGINT from the terminal, and SIGTERM from its parent. *clock* returns
    seconds.
    """

    def __init__(self, request: Callable[[bool], object], clock: Callable[[], float] = time.monotonic) -> None:
        self._request = request
        self._clock = clock
        self._first: tuple[int, float] | None = None

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        self._request(number != HANGUP and self._is_another(number))

    def _is_another(self, number: int) -> bool:
        now = self._clock()
        if self._first is None:
            self._first = number, now
            return False
        first, at = self._first
        return number == first or now - at >= PASSED_ON_SECONDS


class _Layer:
    """One installation of ours for one signal. Handlers that are added while it is in place share it.

    Other code may keep it as the handler of before, call it, or install it again when it has no handlers any more: then it does
    what the handler before it did.
    """

    def __init__(self, number: int, handler: Handler, *, passes_on: bool) -> None:
        self.number = number
        self._handlers = [handler]
        self._passes_on = passes_on
        self._before = signal.getsignal(number)
        signal.signal(number, self)

    @classmethod
    def with_handler(cls, number: int, handler: Handler, *, passes_on: bool = True) -> "_Layer":
        """The layer that is in place, or a new one if other code has installed a handler, with *handler* added."""
        _follow_forks()
        layer = signal.getsignal(number)
        if not isinstance(layer, cls):
            layer = cls(number, handler, passes_on=passes_on)
        elif handler not in layer._handlers:
            layer._handlers.append(handler)
        if layer not in _layers:
            _layers.append(layer)
        return layer

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if not self._handlers:
            self._act_as_before(frame)
            return
        for handler in tuple(self._handlers):
            handler(number, frame)
        if self._passes_on and callable(self._before) and not _is_pythons(self._before):
            self._before(number, frame)

    def _act_as_before(self, frame: FrameType | None) -> None:
        if callable(self._before):
            self._before(self.number, frame)
        elif self._is_in_place() and self._before is signal.SIG_DFL:
            signal.signal(self.number, signal.SIG_DFL)
            signal.raise_signal(self.number)

    def leave(self, handler: Handler) -> None:
        """Call *handler* no more. Without handlers, the layer gives its place back."""
        if handler in self._handlers:
            self._handlers.remove(handler)
            if not self._handlers:
                self.end()

    def end(self) -> None:
        """Have no handlers any more, and give the place back, if it is still this layer's."""
        self._handlers.clear()
        _layers.remove(self)
        if self._is_in_place():
            # None: it was not installed by Python, and cannot be again.
            signal.signal(self.number, signal.SIG_DFL if self._before is None else self._before)

    @property
    def ends_children(self) -> bool:
        """Whether the signal does its default in a fork."""
        return self._in_forks is signal.SIG_DFL

    @property
    def _in_forks(self) -> Any:
        """The handler of before. If that is the one of the command's start, which acts in no fork, the handler before that."""
        return getattr(self._before, "in_forks", {}).get(self.number, self._before)

    def end_in_child(self) -> None:
        """As `end`, in a fork."""
        self._before = self._in_forks
        self.end()

    def _is_in_place(self) -> bool:
        return signal.getsignal(self.number) is self


_layers: Final[list[_Layer]] = []
"""Those that have handlers, the oldest first."""
_wakeups: Final[list[socket.socket]] = []
"""The ends that signals are written to, of every worker that needs one, the oldest first."""
_masks: Final = threading.local()


def _is_pythons(handler: Handler) -> bool:
    """Whether Python itself handles Ctrl-C with it: by a KeyboardInterrupt, or in `asyncio.run()` by cancelling the main task.

    Either would turn the graceful shutdown of a program that only runs a worker into a cancel.
    """
    runner = getattr(getattr(handler, "func", None), "__self__", None)
    return handler is signal.default_int_handler or isinstance(runner, asyncio.Runner)


@contextlib.contextmanager
def _loop_woken(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Wake *loop* at every signal, so that the main thread runs the handler.

    Without this, a signal that another thread receives, or that comes just before the loop waits for I/O, is handled when the loop
    wakes for another reason: if it is idle, never. uvloop has set a wakeup descriptor already, which is kept.
    """
    ours, theirs = map(forks.private, socket.socketpair())
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        before = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        if before not in (-1, *(each.fileno() for each in _wakeups)):
            signal.set_wakeup_fd(before, warn_on_full_buffer=False)
            yield
            return
        _wakeups.append(theirs)
        loop.add_reader(ours, ours.recv, 4096)
        try:
            yield
        finally:
            loop.remove_reader(ours)
            if theirs in _wakeups:  # in a fork it is not any more
                _wakeups.remove(theirs)
                newest = _wakeups[-1].fileno() if _wakeups else -1
                left = signal.set_wakeup_fd(newest, warn_on_full_buffer=False)
                if left != theirs.fileno():  # other code, or another worker, has set its own meanwhile: keep it
                    signal.set_wakeup_fd(left, warn_on_full_buffer=False)


@functools.cache
def _follow_forks() -> None:
    os.register_at_fork(before=_hold, after_in_parent=_release, after_in_child=_restore_in_child)


def _hold() -> None:
    """Signals that end a child wait until it has the default back: Python drops those that come while it deals with the fork."""
    ending = {layer.number for layer in _layers if layer.ends_children}
    _masks.before = signal.pthread_sigmask(signal.SIG_BLOCK, ending)


def _release() -> None:
    before = vars(_masks).pop("before", None)
    if before is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _restore_in_child() -> None:
    while _layers:
        _layers[-1].end_in_child()
    _wakeups.clear()
    signal.set_wakeup_fd(-1)  # as Python does from 3.12 on: it is a loop's of the parent
    _release()
