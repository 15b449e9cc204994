"""Watches the loop that runs functions: one that blocks it is named in the log, with its stack, and counted."""

import asyncio
import contextlib
import contextvars
import gc
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, Final, TypeAlias

from connect.events import LoopBlocked
from connect.execution.user_stack import user_stack
from connect.log_format import Traceback, about_request
from connect.loops.watch import LoopWatch
from connect.redaction import logger

WARNING_SECONDS: Final = 60.0
"""The least time between two warnings of one function."""

log = logger("connect.functions")


Execution: TypeAlias = tuple[str, str, str]
"""The function, the request id and the run id of an execution."""

execution: contextvars.ContextVar[Execution] = contextvars.ContextVar("execution")
"""The execution that the current task, or the task that started it, belongs to."""


class FunctionWatch:
    """Watches *home*, the loop that runs functions, while there are executions. Make it on the thread that runs *home*.

    *limit*: seconds for which *home* may be blocked; None or 0, or no *home*: nothing is watched. *heard* is called with each
    block, on the loop on which `begin` and `end` are called.
    """

    def __init__(
        self,
        home: asyncio.AbstractEventLoop | None = None,
        limit: float | None = None,
        heard: Callable[[LoopBlocked], object] = lambda _: None,
    ) -> None:
        self._watch = LoopWatch(home, limit, self._blocked) if home and limit else None
        self._heard = heard
        self._loop: asyncio.AbstractEventLoop | None = None
        self._warned: dict[str, float] = {}
        self.blocks = 0
        """How often *home* was blocked."""

    def begin(self) -> None:
        """An execution begins, or waits until *home* begins it."""
        if self._watch:
            self._loop = self._loop or asyncio.get_running_loop()
            self._watch.begin()

    def end(self) -> None:
        """An execution is over."""
        if self._watch:
            self._watch.end()

    def stop(self) -> None:
        """Watch no more."""
        if self._watch:
            self._watch.stop()

    # -- on the watching thread

    def _blocked(self, seconds: float, task: "asyncio.Task[Any] | None", frame: FrameType, is_new: bool) -> None:
        stack = user_stack(frame, task)
        if not stack:
            return
        slug, request_id, run_id = _execution_of(task) or ("", "", "")
        if self._may_warn(slug):
            self._warn(slug, request_id, run_id, seconds, stack)
        if is_new and self._loop:
            block = LoopBlocked(function_slug=slug, request_id=request_id, run_id=run_id, seconds=seconds, stack=stack)
            with contextlib.suppress(RuntimeError):  # the loop is closed: the worker has ended
                self._loop.call_soon_threadsafe(self._note, block)

    def _may_warn(self, slug: str) -> bool:
        now = time.monotonic()
        if now - self._warned.get(slug, -WARNING_SECONDS) < WARNING_SECONDS:
            return False
        self._warned[slug] = now
        return True

    def _warn(self, slug: str, request_id: str, run_id: str, seconds: float, stack: str) -> None:
        if not slug:
            log.warning(
                "the functions' event loop has been blocked for %.1f s by code that runs in none of them; it is at\n%s",
                seconds,
                Traceback(stack),
            )
            return
        log.warning(
            "%s has blocked the event loop for %.1f s (run %s, request %s); call what blocks with `await asyncio.to_thread(…)`, "
            "or write the function without async; it is at\n%s",
            slug,
            seconds,
            run_id,
            request_id,
            Traceback(stack),
            extra=about_request(request_id, run_id, slug),
        )

    # -- on the loop of `begin`

    def _note(self, block: LoopBlocked) -> None:
        self.blocks += 1
        self._heard(block)


def _execution_of(task: "asyncio.Task[Any] | None") -> Execution | None:
    """The execution that *task* belongs to, by its context; None: it belongs to none."""
    if task is None:
        return None
    if sys.version_info >= (3, 12):
        return task.get_context().get(execution)
    context = next((each for each in gc.get_referents(task) if isinstance(each, contextvars.Context)), None)
    return context.get(execution) if context else None
