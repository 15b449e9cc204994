"""The listeners of a worker's events. Each is called on the loop on which it was registered."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Final, Literal, TypeVar

from connect.events import Closed, Event, Moved
from connect.loops.mailbox import Mailbox
from connect.redaction import logger
from statecharts.runner import Move

E = TypeVar("E", bound=Event)

WAITING: Final = 10_000
"""Events that may wait for a loop that is blocked, and as many for each iteration of `events` that is not read. Past that the
oldest are left out, and a line in the log says so."""

log = logger("connect")


class Listeners:
    """Listeners by event class. `on` and `events` may be called from any thread, `emit` on the connection's loop only."""

    def __init__(self) -> None:
        self._listeners: list[tuple[type[Event], Callable[..., object], asyncio.AbstractEventLoop | None]] = []
        self._home: asyncio.AbstractEventLoop | None = None
        self._wanted: dict[type[Event], bool] = {}
        self._boxes: dict[asyncio.AbstractEventLoop, Mailbox] = {}

    def set_default_loop(self, home: asyncio.AbstractEventLoop) -> None:
        """Call listeners that were registered outside of a running loop on *home*."""
        self._home = home

    def on(self, kind: type[E], callback: Callable[[E], object]) -> Callable[[], None]:
        """Call *callback* with each event of *kind* from now on, in order, on the running loop; returns a function that removes it.

        Called where no loop runs, it uses the default loop.
        """
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            loop = None
        entry = (kind, callback, loop)
        # A new list each time: `emit` may be walking through the old one, on the connection's thread.
        self._set([*self._listeners, entry])

        def remove() -> None:
            self._set([other for other in self._listeners if other is not entry])

        return remove

    def wants(self, kind: type[Event]) -> bool:
        """Whether there is a listener for *kind*: skip building events that nobody listens for."""
        known = self._wanted  # read once: another thread may replace it, together with the listeners
        wanted = known.get(kind)
        if wanted is None:
            wanted = known[kind] = any(issubclass(kind, heard) for heard, _, _ in self._listeners)
        return wanted

    def _set(
        self, listeners: list[tuple[type[Event], Callable[..., object], asyncio.AbstractEventLoop | None]]
    ) -> None:
        self._listeners = listeners
        self._wanted = {}
        # Drop the mailboxes of loops without listeners: a program may use many loops in turn. Copy the items first, since `emit`
        # may add a mailbox meanwhile, on the connection's thread.
        heard = {self._home, *(loop for _, _, loop in listeners)}
        self._boxes = {loop: box for loop, box in list(self._boxes.items()) if loop in heard}

    def emit(self, event: Event) -> None:
        """Have each listener for *event* called on its loop, soon. What a listener raises is logged, and ignored."""
        for kind, callback, loop in self._listeners:
            home = loop or self._home
            if isinstance(event, kind) and home:
                with contextlib.suppress(RuntimeError):  # the listener's loop is closed
                    self._box(home).post(_call, callback, event)

    def emit_move(self, chart: Literal["connection", "link"], connection_id: str | None, move: Move) -> None:
        """Emit `Moved` for a transition that *chart* took, if there is a listener for it."""
        if self.wants(Moved):
            self.emit(
                Moved(
                    chart=chart, connection_id=connection_id, event=move.event, source=move.source, target=move.target
                )
            )

    def _box(self, loop: asyncio.AbstractEventLoop) -> Mailbox:
        box = self._boxes.get(loop)
        if box is None:
            box = self._boxes[loop] = Mailbox(loop, limit=WAITING, full=_warn_of_blocked_loop)
        return box

    async def events(self) -> AsyncIterator[Event]:
        """Every event from the first `anext` on; the last one is `Closed`.

        If they are read too slowly, the oldest of more than `WAITING` events are left out.
        """
        unread = _Unread()
        remove = self.on(Event, unread.put)
        try:
            while True:
                event = await unread.get()
                yield event
                if isinstance(event, Closed):
                    return
        finally:
            remove()


class _Unread:
    """The events that an iteration has not read yet: the newest `WAITING`."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque(maxlen=WAITING)
        self._news = asyncio.Event()
        self._warned = False

    def put(self, event: Event) -> None:
        if len(self._events) == WAITING and not self._warned:
            self._warned = True
            log.warning("%d events wait for a reader of conn.events(): the oldest are left out", WAITING)
        self._events.append(event)
        self._news.set()

    async def get(self) -> Event:
        """The oldest; wait for one if there is none."""
        while not self._events:
            self._warned = False
            self._news.clear()
            await self._news.wait()
        return self._events.popleft()


def _warn_of_blocked_loop() -> None:
    log.warning("%d events wait for a loop that is blocked: its listeners miss the oldest of them", WAITING)


def _call(callback: Callable[..., object], event: Event) -> None:
    try:
        callback(event)
    except Exception:
        log.exception("a listener for %s raised; the worker goes on", type(event).__name__)
