"""Watches an event loop from a thread of its own, and tells what blocks it.

While there is work, the thread posts a call to the loop and looks a few times in each *limit* whether it has run. Once no work has
come between two looks, the thread sleeps: an idle worker is not woken, and work in quick succession wakes no thread.
"""

import asyncio
import contextlib
import logging
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, Final, TypeAlias

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

log = logging.getLogger("connect")

LOOKS: Final = 10
"""Looks in the time for which the loop may be blocked: a block that is longer by one of these parts is always noticed."""
AGAIN_SECONDS: Final = 60.0
"""While one block goes on, it is told again after this time."""
END_SECONDS: Final = 1.0
"""How long `stop` waits for the thread: a handler of the user's log may hold it up."""

_SHORTEST: Final = 0.01
_LATE: Final = 0.25
"""Seconds by which the thread is late when it, too, was held up: by the interpreter's lock, or because the process stood still."""

Blocked: TypeAlias = Callable[[float, "asyncio.Task[Any] | None", FrameType, bool], object]
"""Called with the seconds that the loop has been blocked so far, the task that it runs, the innermost frame there, and whether this
is the first call for this block."""


class LoopWatch:
    """Calls *blocked*, on the watching thread, when *loop* has run nothing else for *limit* seconds while there is work.

    Make it on the thread that runs *loop*. `begin` and `end` are called on one thread, which may be another.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, limit: float, blocked: Blocked) -> None:
        self._loop = loop
        self._loop_thread = threading.get_ident()
        self._limit = limit
        self._interval = max(limit / LOOKS, _SHORTEST)
        self._blocked = blocked
        self._work = 0
        self._has_begun = False
        """Work has begun since the last look."""
        self._asked: float | None = None
        self._told: float | None = None
        self._thread: threading.Thread | None = None
        self._wake = threading.Event()
        self._sleeps = False
        self._stopped = False
        self._due = 0.0

    def begin(self) -> None:
        """There is one more piece of work."""
        self._work += 1
        self._has_begun = True
        if self._thread is None and not self._stopped:
            thread = threading.Thread(target=self._run, name="connect-watch", daemon=True)
            with contextlib.suppress(RuntimeError):  # the system gives no thread: the next work asks again
                thread.start()
                self._thread = thread
        elif self._sleeps:
            self._due = time.monotonic()
            self._wake.set()

    def end(self) -> None:
        """A piece of work is over."""
        self._work -= 1

    def stop(self) -> None:
        """Watch no more, and wait for the thread."""
        self._stopped = True
        self._wake.set()
        if self._thread:
            self._thread.join(END_SECONDS)

    # -- on the watching thread

    def _run(self) -> None:
        while not self._stopped:
            if not self._work and not self._has_begun:
                self._asked = None
                self._sleep()
                continue
            self._has_begun = False
            if self._work:
                self._look()
            else:
                self._asked = None
            self._pause()

    def _sleep(self) -> None:
        """Wait until there is work."""
        self._wake.clear()
        self._sleeps = True
        if not self._has_begun and not self._stopped:  # asked again: work may have begun before `_sleeps` was set
            self._wait(None)
        self._sleeps = False

    def _pause(self) -> None:
        """Wait until the next look."""
        self._wake.clear()
        if not self._stopped:
            self._due = time.monotonic() + self._interval
            self._wait(self._interval)

    def _wait(self, seconds: float | None) -> None:
        switches = _switches()
        self._wake.wait(seconds)
        late, asked = time.monotonic() - self._due, self._asked
        if late < min(_LATE, self._limit) or self._stopped:
            return
        if _waited_for_interpreter(late, switches):
            if asked is None and self._loop.is_running():
                self._ask(self._due)  # the code that held the lock may be the loop's
        elif asked is not None:
            self._asked = asked + late  # the whole process stood still, not the loop alone

    def _look(self) -> None:
        now, asked = time.monotonic(), self._asked
        if not self._loop.is_running():
            self._asked = None
        elif asked is None:
            self._ask(now)
        elif now - asked >= self._limit and (self._told is None or now - self._told >= AGAIN_SECONDS):
            is_new, self._told = self._told is None, now
            self._tell(now - asked, is_new)

    def _ask(self, now: float) -> None:
        self._told = None
        self._asked = now
        try:
            self._loop.call_soon_threadsafe(self._answer)
        except RuntimeError:  # the loop is closed
            self._asked = None

    def _tell(self, seconds: float, is_new: bool) -> None:
        frame = _frames().get(self._loop_thread)
        task = asyncio.current_task(self._loop)
        if frame is None or self._asked is None:  # it has answered meanwhile: the frame is not of what blocked it
            return
        try:
            self._blocked(seconds, task, frame, is_new)
        except Exception:
            log.exception("a bug in the worker, please report it: a blocked event loop could not be told of")

    # -- on the loop

    def _answer(self) -> None:
        self._asked = None


def _frames() -> dict[int, FrameType]:
    """The innermost frame of each thread, by its id. Python need not have this; without it, no block can be told of."""
    return getattr(sys, "_current_frames", dict)()


def _switches() -> int:
    """How often this thread has waited so far; 0 where the system does not tell."""
    if resource is None or not hasattr(resource, "RUSAGE_THREAD"):
        return 0
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw


def _waited_for_interpreter(seconds: float, switches: int) -> bool:
    """Whether this thread was late by so many *seconds* because another one held the interpreter's lock.

    A thread that waits for the lock wakes at each switch interval; one of a process that stands still does not. Where the system
    does not tell, the lock is assumed.
    """
    now = _switches()
    return now == 0 or (now - switches) * sys.getswitchinterval() > seconds / 4
