"""From the connection's thread to whoever listens: each listener is called on the loop that it came from."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from typing import Literal, TypeVar

from connect.events import Closed, Event, Moved
from connect.loops.mailbox import Mailbox
from statecharts.binding import Move

E = TypeVar("E", bound=Event)

log = logging.getLogger("connect")


class Listeners:
    """Listeners by kind. `on` and `events` may be called from any thread, `emit` belongs to the connection's."""

    def __init__(self) -> None:
        self._listeners: list[tuple[type[Event], Callable[..., object], asyncio.AbstractEventLoop | None]] = []
        self._home: asyncio.AbstractEventLoop | None = None
        self._wanted: dict[type[Event], bool] = {}
        self._boxes: dict[asyncio.AbstractEventLoop, Mailbox] = {}

    def set_default_loop(self, home: asyncio.AbstractEventLoop) -> None:
        """Listeners that were registered outside of any loop are called on *home*."""
        self._home = home

    def on(self, kind: type[E], callback: Callable[[E], object]) -> Callable[[], None]:
        """Call *callback* with each *kind* from here on, in order, on the running loop; returns a remover."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            loop = None
        entry = (kind, callback, loop)
        # A new list each time: the connection's thread may be walking the old one.
        self._set([*self._listeners, entry])

        def remove() -> None:
            self._set([other for other in self._listeners if other is not entry])

        return remove

    def wants(self, kind: type[Event]) -> bool:
        """Whether anybody would hear of *kind*: what is per request is not even made otherwise."""
        known = self._wanted  # of these listeners: another thread may replace both
        wanted = known.get(kind)
        if wanted is None:
            wanted = known[kind] = any(issubclass(kind, heard) for heard, _, _ in self._listeners)
        return wanted

    def _set(
        self, listeners: list[tuple[type[Event], Callable[..., object], asyncio.AbstractEventLoop | None]]
    ) -> None:
        self._listeners = listeners
        self._wanted = {}
        # A program may listen from one short-lived loop after another. The connection's thread may be adding a box meanwhile.
        heard = {self._home, *(loop for _, _, loop in listeners)}
        self._boxes = {loop: box for loop, box in list(self._boxes.items()) if loop in heard}

    def emit(self, event: Event) -> None:
        """Tell everybody; a listener that raises is logged and changes nothing."""
        for kind, callback, loop in self._listeners:
            home = loop or self._home
            if isinstance(event, kind) and home:
                with contextlib.suppress(RuntimeError):  # that loop is closed: nobody listens there any more
                    self._box(home).post(_call, callback, event)

    def emit_move(self, chart: Literal["connection", "link"], connection_id: str | None, move: Move) -> None:
        """Tell that *chart* took a transition, if there is a listener for it."""
        if self.wants(Moved):
            self.emit(
                Moved(
                    chart=chart, connection_id=connection_id, event=move.event, source=move.source, target=move.target
                )
            )

    def _box(self, loop: asyncio.AbstractEventLoop) -> Mailbox:
        box = self._boxes.get(loop)
        if box is None:
            box = self._boxes[loop] = Mailbox(loop)
        return box

    async def events(self) -> AsyncIterator[Event]:
        """Every event from the first `anext` on, up to and with `Closed`."""
        queue: asyncio.Queue[Event] = asyncio.Queue()
        remove = self.on(Event, queue.put_nowait)
        try:
            while True:
                event = await queue.get()
                yield event
                if isinstance(event, Closed):
                    return
        finally:
            remove()


def _call(callback: Callable[..., object], event: Event) -> None:
    try:
        callback(event)
    except Exception:
        log.exception("a listener for %s raised; the worker goes on", type(event).__name__)
