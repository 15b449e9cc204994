"""`isolation="thread"`: user functions run on the loop that called `start()`, the connection on a thread and loop of its own.

A function that blocks delays other functions, never a heartbeat. Calls from one loop to the other are posted to a mailbox, so
that many of them wake the other loop once.
"""

import asyncio
import contextlib
import contextvars
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from connect.execution.executor import DirectExecutor, Ended
from connect.execution.function_watch import FunctionWatch
from connect.execution.invocation import Invocation
from connect.execution.load import Load
from connect.execution.outcome import Outcome
from connect.execution.sdk import Apps
from connect.loops.mailbox import Mailbox
from connect.loops.timers import Ticker

STOPPED_TICKS: Final = 10
"""Seconds that the caller's loop may be stopped while functions run on it: between two `run_until_complete`, for instance."""

_STOPPED: Final = "the event loop that called start() has stopped: functions cannot run on it any more"

log = logging.getLogger("connect")


class CallerLoop(DirectExecutor):
    """Runs functions on *home*, the loop that called `start()`; its own methods are called on the connection's loop.

    If *home* is stopped for `STOPPED_TICKS` seconds while functions run on it, each of them gets an exception for an outcome, and
    *stopped* is called: nothing else would notice that they never end.
    """

    def __init__(
        self,
        apps: Apps,
        home: asyncio.AbstractEventLoop,
        stopped: Callable[[], object] = lambda: None,
        watch: FunctionWatch | None = None,
    ) -> None:
        self._apps = apps
        self._home = home
        self._watch = watch or FunctionWatch()
        self._stopped = stopped
        self._ticks = 0
        self._ticker: Ticker | None = None
        # Each execution gets a copy of the context variables that were set where start() was called.
        self._context = contextvars.copy_context()
        self._shared: _Shared | None = None
        self._calls: set[_Call] = set()

    @property
    def load(self) -> Load:
        """What holds functions up. From any thread."""
        return Load(self._apps.threads, self._watch.blocks)

    @property
    def stuck(self) -> list[str]:
        """Request ids of the executions that still run. From any thread."""
        return sorted({*self._apps.busy, *(call.id for call in list(self._calls) if not call.has_ended)})

    async def start(self) -> None:
        """Nothing to do: *home* runs already."""

    def begin(self, invocation: Invocation, ended: Ended) -> asyncio.Future[Outcome]:
        """As `DirectExecutor.begin`. The future's exception is a RuntimeError if *home* has stopped."""
        shared = self._shared = self._shared or self._share()
        call = _Call(shared, invocation, ended)
        self._calls.add(call)
        self._watch_home()
        self._watch.begin()
        call.begin()
        return call

    def _share(self) -> "_Shared":
        connection = asyncio.get_running_loop()
        to_home, to_connection = Mailbox(self._home, poster=connection), Mailbox(connection)
        beginnings = _Beginnings(to_home)
        return _Shared(
            apps=self._apps,
            home=self._home,
            context=self._context,
            beginnings=beginnings,
            to_connection=to_connection,
            wait_ended=self._wait_ended,
            function_ended=self._calls.discard,
        )

    def _wait_ended(self, call: "_Call") -> None:
        self._watch.end()
        if call.has_ended:
            self._calls.discard(call)

    def _watch_home(self) -> None:
        """While there are calls, look each second whether *home* runs. A loop tells nobody that it was stopped."""
        if self._ticker is None:
            self._ticks, self._ticker = 0, Ticker(1.0, self._look)

    def _look(self) -> None:
        self._ticks = 0 if self._home.is_running() else self._ticks + 1
        if self._ticks == STOPPED_TICKS:
            log.error("the event loop that called start() was stopped while functions ran on it: the worker ends")
            for call in self._calls:
                call.fail()
            self._stopped()
        if not self._calls or self._ticks >= STOPPED_TICKS:
            self._end_watch()

    def _end_watch(self) -> None:
        if self._ticker:
            self._ticker.cancel()
            self._ticker = None

    async def stop(self) -> None:
        """As `Executor.stop`. Every `execute` that still waits is cancelled; functions that cannot be stopped go on."""
        self._end_watch()
        self._watch.stop()
        self._apps.shutdown()
        for call in list(self._calls):
            call.stop_waiting()


@dataclass(frozen=True, slots=True)
class _Shared:
    """What the calls of one worker share. `wait_ended` and `function_ended` are told of each call, in either order."""

    apps: Apps
    home: asyncio.AbstractEventLoop
    context: contextvars.Context
    beginnings: "_Beginnings"
    to_connection: Mailbox
    wait_ended: Callable[["_Call"], object]
    function_ended: Callable[["_Call"], object]


class _Beginnings:
    """Calls that the caller's loop has not begun. While it is blocked, a call that is cancelled leaves nothing behind here."""

    def __init__(self, to_home: Mailbox) -> None:
        self._to_home = to_home
        self._calls: dict[_Call, None] = {}
        self._asked = False

    def add(self, call: "_Call") -> None:
        """Begin *call* on the caller's loop, soon. On the connection's loop."""
        self._calls[call] = None
        if not self._asked:
            self._asked = True
            self._to_home.post(self._begin_all)

    def cancel(self, call: "_Call") -> bool:
        """Cancel *call*. True: it never begins. False: it has begun, and ends on the caller's loop. On the connection's loop."""
        if self._calls.pop(call, call) is None:
            return True
        self._to_home.post(call.cancel_task)
        return False

    def _begin_all(self) -> None:
        # On the caller's loop. Clear the flag first: a call that comes meanwhile is seen here, or asks again. Both loops take calls
        # out, and `pop` gives each to one of them.
        self._asked = False
        for call in list(self._calls):
            if self._calls.pop(call, call) is None:
                call.start_task()


class _Call(asyncio.Future[Outcome]):
    """One execution: a task on the caller's loop, and on the connection's loop this future for its outcome."""

    def __init__(self, shared: _Shared, invocation: Invocation, ended: Ended) -> None:
        super().__init__()
        self.id = invocation.request_id
        self._shared = shared
        self._invocation = invocation
        self._tell_owner = ended
        self._task: asyncio.Task[Outcome] | None = None
        self._has_outcome = False

    @property
    def has_ended(self) -> bool:
        """The function has ended, or has not been started. From any thread."""
        task = self._task  # the caller's loop may set it to None
        return task is None or self._has_outcome or task.done()

    # -- on the connection's loop

    def begin(self) -> None:
        """Have the caller's loop start the function, soon."""
        if not self._is_home_stopped():
            self._shared.beginnings.add(self)

    def cancel(self, msg: object = None) -> bool:
        """Cancel the function: this future is cancelled once that has ended, or at once if it has not begun."""
        if self.done():
            return False
        if not self._is_home_stopped() and self._shared.beginnings.cancel(self):
            self._end(super().cancel, msg)
        return True

    def _is_home_stopped(self) -> bool:
        """Fail if so: a loop that has stopped runs nothing that is posted to it, so this future would never be done."""
        if self._shared.home.is_running():
            return False
        self.fail()
        return True

    def fail(self) -> None:
        """The caller's loop has stopped: this future gets an exception."""
        self._end(self.set_exception, RuntimeError(_STOPPED))

    def stop_waiting(self) -> None:
        """Cancel the function, and this future at once."""
        self._shared.beginnings.cancel(self)
        self._end(super().cancel)

    def _end(self, how: Callable[..., object], *given: object) -> None:
        """End this future, unless it is done. What the worker is doing just now comes first, so it is told of that soon."""
        if not self.done():
            how(*given)
            self.get_loop().call_soon(self._tell)

    def _tell(self) -> None:
        self._shared.wait_ended(self)
        self._tell_owner(self)

    def _pass_on(self, outcome: Outcome) -> None:
        """The function has ended."""
        if self.done():
            self._shared.function_ended(self)
        else:
            self.set_result(outcome)
            self._tell()

    def _pass_on_failure(self, task: asyncio.Task[Outcome]) -> None:
        """*task*, of the function, was ended by something else."""
        if self.done():
            self._shared.function_ended(self)
        elif task.cancelled():
            self._end(super().cancel)
        else:  # nothing that a function raises; it must not end this loop
            error = RuntimeError(f"the event loop that called start() was ended by {task.exception()!r}")
            self._end(self.set_exception, error)

    # -- on the caller's loop

    def start_task(self) -> None:
        """Start the function."""
        shared, run = self._shared, self._run()
        try:
            self._task = shared.home.create_task(run, name=f"inngest {self.id}", context=shared.context.copy())
        except Exception as error:  # from a task factory of the user's, perhaps
            run.close()
            self._post(self._end, self.set_exception, error)
        else:
            self._task.add_done_callback(self._task_ended)

    async def _run(self) -> Outcome:
        outcome = await self._shared.apps.run(self._invocation)
        self._has_outcome = True
        self._post(self._pass_on, outcome)  # a turn of this loop before the task's callbacks are called
        return outcome

    def cancel_task(self) -> None:
        """Cancel the function."""
        if self._task:
            self._task.cancel()

    def _task_ended(self, task: asyncio.Task[Outcome]) -> None:
        self._task = None  # the frames of what it raised hold this object
        if not self._has_outcome:
            self._post(self._pass_on_failure, task)

    def _post(self, call: Callable[..., object], *given: object) -> None:
        with contextlib.suppress(RuntimeError):  # the connection's loop is closed: the worker has ended
            self._shared.to_connection.post(call, *given)
