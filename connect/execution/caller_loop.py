"""The caller's loop: user functions run where `start()` was called, the connection on its own thread.

A function that blocks its loop delays other functions, never a heartbeat. Hand-overs that come together share one wake-up of the
other loop.
"""

import asyncio
import contextlib
import contextvars

from connect.execution.invocation import Invocation
from connect.execution.outcome import Outcome
from connect.execution.sdk import Apps
from connect.loops.mailbox import Mailbox


class CallerLoop:
    """Runs functions on *home*, awaited from the connection's loop."""

    def __init__(self, apps: Apps, home: asyncio.AbstractEventLoop) -> None:
        self._apps = apps
        self._home = home
        # User code sees the context variables of whoever called start(), each execution a copy of its own.
        self._context = contextvars.copy_context()
        self._there = Mailbox(home)
        self._back: Mailbox | None = None
        self._calls: set[_Call] = set()

    @property
    def stuck(self) -> list[str]:
        """Request ids of what still runs. From any thread."""
        return sorted({*self._apps.busy, *(call.id for call in list(self._calls) if not call.ended)})

    async def start(self) -> None:
        """Nothing to do: *home* runs already."""

    async def execute(self, invocation: Invocation) -> Outcome:
        """As `Executor.execute`. Raises: RuntimeError: *home* has stopped."""
        if self._back is None:
            self._back = Mailbox(asyncio.get_running_loop())
        call = _Call(self._apps, self._home, invocation, self._there, self._back)
        self._calls.add(call)
        try:
            return await call.outcome(self._context)
        finally:
            if call.ended:
                self._calls.discard(call)

    async def stop(self) -> None:
        """Nobody waits any longer for what could not be stopped; it is left to itself."""
        self._apps.shutdown()
        for call in list(self._calls):
            call.abandon()


class _Call:
    """One execution and its two ends: a task on the user's loop, a future on the connection's."""

    def __init__(
        self, apps: Apps, home: asyncio.AbstractEventLoop, invocation: Invocation, there: Mailbox, back: Mailbox
    ) -> None:
        self.id = invocation.request_id
        self._apps = apps
        self._home = home
        self._invocation = invocation
        self._there = there
        self._back = back
        self._result: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._task: asyncio.Task[Outcome] | None = None

    @property
    def ended(self) -> bool:
        """User code has ended, or never began. From any thread."""
        return self._task is None or self._task.done()

    # -- on the connection's loop

    async def outcome(self, context: contextvars.Context) -> Outcome:
        """The outcome; cancelling this asks the user's task to stop, and waits until it has."""
        self._check_home()
        self._there.post(self._begin, context)
        while True:
            try:
                return await asyncio.shield(self._result)
            except asyncio.CancelledError:
                if self._result.cancelled():
                    raise
                self._check_home()
                self._there.post(self._cancel)

    def _check_home(self) -> None:
        """What a loop that has stopped is given is never run."""
        if not self._home.is_running():
            raise RuntimeError("the event loop that called start() has stopped: functions cannot run on it any more")

    def abandon(self) -> None:
        self._result.cancel()
        with contextlib.suppress(RuntimeError):  # the user's loop is closed
            self._there.post(self._cancel)

    def _settle(self, task: asyncio.Task[Outcome]) -> None:
        if self._result.done():
            return
        if task.cancelled():
            self._result.cancel()
        elif error := task.exception():  # a KeyboardInterrupt: it ends the user's loop, and must not end this one
            self._result.set_exception(RuntimeError(f"the event loop that called start() was ended by {error!r}"))
        else:
            self._result.set_result(task.result())

    # -- on the user's loop

    def _begin(self, context: contextvars.Context) -> None:
        run = self._apps.run(self._invocation)
        self._task = self._home.create_task(run, name=f"inngest {self.id}", context=context.copy())
        self._task.add_done_callback(self._ended)

    def _cancel(self) -> None:
        if self._task:
            self._task.cancel()

    def _ended(self, task: asyncio.Task[Outcome]) -> None:
        with contextlib.suppress(RuntimeError):  # the connection has ended, and nobody waits
            self._back.post(self._settle, task)
