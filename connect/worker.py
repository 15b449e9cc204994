"""The worker: `connect()` and the handle that it returns.

The connection runs on a thread and loop of its own, so that user code cannot delay a heartbeat; this file connects the two. Its
methods may be called from any thread and any loop. With `isolation="none"` everything runs on one loop, the one that called
`start()`.
"""

import asyncio
import contextlib
import functools
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Final, ParamSpec, Self, TypeVar, cast

from connect import late_certificates as late_certificates  # first: it imports aiohttp
from connect.claim import claimed
from connect.configuration import Configuration, resolve
from connect.connection import Connection
from connect.deadlines import ENDING_SECONDS
from connect.errors import ConfigurationError, LinkLost
from connect.events import Closed, Draining, Event, StateChanged
from connect.execution.importing import importing_apps
from connect.identity import completed, identity
from connect.isolation import executor_for
from connect.listeners import Listeners
from connect.loops import forks, signals
from connect.loops.garbage import start_left_out
from connect.loops.loop import call_soon, dispose, new_loop, run_until_done
from connect.options import Options, arguments, signature
from connect.redaction import logger
from connect.state import ConnectionState

if TYPE_CHECKING:
    from connect.execution import Executor
    from connect.execution.process_pool import ProcessPool
    from connect.status import Status

E = TypeVar("E", bound=Event)
P = ParamSpec("P")

CLOSING_SECONDS: Final = 10.0
"""Most seconds that a worker takes to end once its replies are delivered or given up: links and HTTP servers are closed then."""

log = logger("connect")


class WorkerConnection:
    """A worker, from `connect()` to its end. One start, any number of everything else."""

    def __init__(self, known: Configuration) -> None:
        self._known = known
        self._identity = identity(known)
        self._listeners = Listeners()
        self._connection: Connection | None = None
        self._executor: Executor | None = None
        self._processes: ProcessPool | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing = False
        self._hear_end: Callable[[float], object] | None = None
        self._beside: Callable[[], contextlib.AbstractContextManager[object]] = contextlib.nullcontext
        self._waiting: set[Callable[[], None]] = set()
        self._ended = False
        self._starter: asyncio.Task[None] | None = None
        if known.options.traces:
            from connect.watching import tracing  # needs the extra `otel`

            tracing.attach(self, known.apps)

    # -- running --------------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Connect, and run until closed. Cancelling it cancels user code and delivers the replies before it returns.

        Raises: ConfigurationError: it was started before, or inside the import of `"MODULE:APPS"`. Before the first ACTIVE:
            AuthenticationFailed, SyncFailed, TooManyApps, ConnectTimeout. At any time: InternalError.
        """
        if importing_apps.get():
            raise ConfigurationError(
                'importing the module starts a worker: put that under `if __name__ == "__main__":`'
            )
        if self._connection is not None:
            raise ConfigurationError("this worker was started before: make a new one with connect()")
        if self._closing:
            return
        try:
            with claimed(self._known) as self._known:
                self._identity = identity(self._known)
                await self._start()
        finally:
            self._end()

    async def _start(self) -> None:
        home = asyncio.get_running_loop()
        self._listeners.set_default_loop(home)
        executor = self._executor = executor_for(self._known, home, self._request, self._listeners.emit)
        self._processes = cast("ProcessPool", executor) if self._known.processes else None
        self._connection = Connection(self._known, executor, self._listeners)
        with signals.handled(self._known.shutdown_signals, signals.Escalation(self._request)):
            await self._run(self._connection)

    async def _run(self, connection: Connection) -> None:
        on_own_thread = self._known.options.isolation != "none"
        run = asyncio.ensure_future(self._run_on_thread(connection) if on_own_thread else self._live(connection))
        boundary = forks.Boundary()
        cancelled: asyncio.CancelledError | None = None
        while not run.done():
            try:
                await asyncio.shield(run)
            except asyncio.CancelledError as error:
                if boundary.in_child:  # it has no thread that would end the worker
                    raise
                cancelled = error
                self._request(hurry=True)
            except Exception:
                break
        if cancelled:
            raise cancelled
        run.result()

    async def _run_on_thread(self, connection: Connection) -> None:
        home = asyncio.get_running_loop()
        ended: asyncio.Future[None] = home.create_future()

        def body() -> None:
            loop, error = new_loop(), None
            try:
                run_until_done(loop, self._live(connection), connection.loop_stopped)
            except BaseException as raised:  # handed over to start()
                error = raised
            dispose(loop)
            self._tell_end(ENDING_SECONDS)
            call_soon(home, functools.partial(_resolve, ended, error))  # if it is closed, `start()` was abandoned

        thread = threading.Thread(target=body, name="connect", daemon=True)
        thread.start()
        await ended
        thread.join()  # at once: it has nothing left to do. No thread of the worker is left when start() returns

    async def _live(self, connection: Connection) -> None:
        self._loop = asyncio.get_running_loop()
        if self._closing:
            connection.close()
        with self._beside():
            async with self._served():
                with start_left_out():
                    await connection.run()

    def _served(self) -> contextlib.AbstractAsyncContextManager[None]:
        """Serves the HTTP port while the block runs, if there is one."""
        known = self._known
        if known.http is None:
            return contextlib.nullcontext()
        from connect.watching.http import monitored  # imported only for workers that serve HTTP

        return monitored(self, known.http, status_page=known.options.status_page, functions=known.apps.function_ids)

    def _end(self) -> None:
        if not self._ended:
            self._ended = True
            for wake in list(self._waiting):
                wake()

    async def __aenter__(self) -> Self:
        """Start in the background and wait for ACTIVE. Cancelling that ends the worker. Raises: as `start()`."""
        self._starter = asyncio.create_task(self.start())
        ready = asyncio.create_task(self.wait_for_state(ConnectionState.ACTIVE))
        try:
            await asyncio.wait([self._starter, ready], return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            # The block is not entered, so `__aexit__` will not end the worker.
            self._starter.cancel()
            await asyncio.gather(self._starter, ready, return_exceptions=True)
            raise
        if self._starter.done():
            ready.cancel()
            await asyncio.wait([ready])
            await self._starter
            raise LinkLost("the worker was closed before it was connected")
        await ready
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close gracefully. Raises: as `start()`."""
        await self.close()
        if self._starter:
            await self._starter

    # -- closing --------------------------------------------------------------------------------------------------------------

    async def close(self, *, wait: bool = False) -> None:
        """Begin a graceful shutdown: accept nothing more, finish what is in flight, deliver every reply, disconnect.

        Idempotent, never raises, and cuts every wait short. *wait*: return only when the worker has ended; cancelling that
        wait leaves the shutdown going on.
        """
        self._request()
        if wait:
            await self.closed()

    async def closed(self) -> None:
        """Wait until the worker has ended. Returns at once if it was closed and never started. Never raises; cancelling is safe."""
        over = asyncio.Event()

        def look() -> None:
            if self._ended:
                over.set()

        with self._woken_at_the_end(look):
            await over.wait()

    @contextlib.contextmanager
    def _woken_at_the_end(self, look: Callable[[], None]) -> Iterator[None]:
        """Call *look* now, and again on this loop when the worker has ended."""
        wake = functools.partial(call_soon, asyncio.get_running_loop(), look)
        self._waiting.add(wake)
        try:
            look()
            yield
        finally:
            self._waiting.discard(wake)

    def _request(self, hurry: bool = False) -> None:
        """Tell the connection to close and, with *hurry*, to cancel user code. From any thread, and from a signal handler."""
        self._closing = True
        self._tell_longest_end(hurry=hurry)
        connection, loop = self._connection, self._loop
        if connection is None:
            self._end()
        elif loop:
            with contextlib.suppress(RuntimeError):  # its loop has ended, and so has the worker
                loop.call_soon_threadsafe(connection.close)
                if hurry:
                    loop.call_soon_threadsafe(connection.hurry)

    def _tell_longest_end(self, *, hurry: bool) -> None:
        options = self._known.options
        work = 0.0 if hurry else options.shutdown_timeout
        if work is not None:
            processes = 2 * options.deadlines.process_end if self._known.processes else 0.0
            self._tell_end(work + options.flush_timeout + processes + CLOSING_SECONDS)

    def _tell_end(self, seconds: float) -> None:
        """From now on the worker takes at most *seconds* to end."""
        if self._hear_end:
            self._hear_end(seconds)

    # -- asking ---------------------------------------------------------------------------------------------------------------

    def get_state(self) -> ConnectionState:
        """The state: CONNECTING, ACTIVE, DRAINING, RECONNECTING or CLOSED."""
        if self._ended:
            return ConnectionState.CLOSED
        return self._connection.state if self._connection else ConnectionState.CONNECTING

    def get_connection_id(self) -> str:
        """The id of the link in use, or of the last one that was. Raises: LinkLost: there has been none yet."""
        known = self._connection.connection_id if self._connection else None
        if known is None:
            raise LinkLost("connection not established")
        return known

    @property
    def is_ready(self) -> bool:
        """The worker takes work: ACTIVE, or DRAINING while a replacement is made."""
        return self._connection is not None and self._connection.is_ready

    @property
    def is_closing(self) -> bool:
        """A shutdown has begun, or is over."""
        return self._closing or (self._connection is not None and self._connection.is_closing)

    async def wait_for_state(self, state: ConnectionState) -> None:
        """Wait until the worker is in *state*; CLOSING: until a shutdown has begun. Cancelling is safe.

        Raises: LinkLost: the worker has ended, and will not reach that state.
        """
        if state is ConnectionState.CLOSED:
            await self.closed()
            return
        reached = asyncio.get_running_loop().create_future()

        def look(_: Event | None = None) -> None:
            there = self.is_closing if state is ConnectionState.CLOSING else self.get_state() is state
            if not reached.done() and (there or self._ended):
                reached.set_result(there)

        def passed(event: StateChanged) -> None:
            if event.to_state is state and not reached.done():
                reached.set_result(True)
            look()

        removers = [
            self._listeners.on(StateChanged, passed),
            self._listeners.on(Draining, look),
            self._listeners.on(Closed, look),
        ]
        try:
            with self._woken_at_the_end(look):
                if not await reached:
                    raise LinkLost(f"the worker closed before it was {state.value}")
        finally:
            for remove in removers:
                remove()

    def on(self, kind: type[E], callback: Callable[[E], object]) -> Callable[[], None]:
        """Call *callback* with every event of *kind* (a class of `connect.events`); returns a remover.

        It runs on the loop that this is called from, or else on the one that calls `start()`. If it raises, that is logged. While
        that loop is blocked at most 10,000 events wait for it: past that it misses the oldest, and a warning says so.
        """
        return self._listeners.on(kind, callback)

    def events(self) -> AsyncIterator[Event]:
        """Every event from the first time that it is asked for one; ends after `Closed`.

        At most 10,000 events wait to be read: past that the oldest are left out, and a warning says so.
        """
        return self._listeners.events()

    def status(self) -> "Status":
        """A snapshot of the worker, taken now. It holds no secret."""
        from connect.status import Status  # not imported at the start: it takes 5 ms

        connection = self._connection
        status = connection.status() if connection else Status(state=self.get_state(), is_closing=self.is_closing)
        return completed(replace(status, state=self.get_state()), self._identity, self._executor)

    def stuck(self) -> list[str]:
        """Ids of executions that still run although the worker has ended: sync functions, which cannot be stopped.

        With `isolation="process"` there are none: functions end with their process.
        """
        return self._connection.stuck() if self._connection and not self._processes else []

    def cancelled(self) -> list[str]:
        """Ids of executions that the shutdown has cancelled, or kept from beginning; known once the worker has ended.

        Each is answered with an error that lets the server try it again. `ReplyLost` tells of an answer that was not delivered.
        """
        return self._connection.cancelled if self._connection else []

    def __repr__(self) -> str:
        return f"<WorkerConnection {self.get_state().value}>"


def bound_end(worker: WorkerConnection, hear: Callable[[float], object]) -> None:
    """Call *hear* with the most seconds that the end of *worker* may take from now on, whenever that becomes known.

    For a process that has to end then although user code blocks the loop that called `start()`. Called from any thread and from a
    signal handler. While work may take as long as it needs, nothing is known.
    """
    worker._hear_end = hear


def run_beside(worker: WorkerConnection, beside: Callable[[], contextlib.AbstractContextManager[object]]) -> None:
    """Enter what *beside* returns on the connection's loop, which user code cannot block, as long as *worker* runs."""
    worker._beside = beside


def _taking(options: Callable[P, Options]) -> Callable[P, WorkerConnection]:
    """`connect()`, with the parameters of *options*."""
    parameters = signature().replace(return_annotation=WorkerConnection)

    def connect(*given: P.args, **named: P.kwargs) -> WorkerConnection:
        try:
            parameters.bind(*given, **named)
        except TypeError as error:
            raise TypeError(f"connect() {error}") from None
        return WorkerConnection(resolve(options(*given, **named)))

    connect.__doc__ = f"""Make a worker for *apps*; nothing is dialled before `start()`.

Args:
{arguments()}

Raises: ConfigurationError: these options cannot work; the message says what to change.
"""
    connect.__qualname__ = connect.__name__
    connect.__signature__ = parameters  # type: ignore[attr-defined]
    return connect


connect = _taking(Options)
"""Make a worker; nothing is dialled before `start()`. `connect.options.Options` declares what it takes.

Raises: ConfigurationError: these options cannot work; the message says what to change.
"""


def _resolve(future: asyncio.Future[None], error: BaseException | None) -> None:
    if future.done():
        return
    if error:
        future.set_exception(error)
    else:
        future.set_result(None)
