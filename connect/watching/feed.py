"""The data of the live page: the worker's status, the timeline of its events, and the transitions that its charts took."""

import asyncio
import functools
import secrets
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Final

from connect import events
from connect.redaction import peer_text
from connect.watching.source import Source
from statecharts import Connection, Link, model
from statecharts.model import ChartModel

MOMENTS: Final = 200
"""How many lines of the timeline are kept: the newest."""
_LONGEST: Final = 500
"""Characters of the longest line, and of the longest id in one: peers choose some of them."""


@functools.cache
def _charts() -> dict[str, ChartModel]:
    return {"connection": model.read(Connection), "link": model.read(Link)}


class Feed:
    """Collects the events of one worker after another, and makes snapshots for the page. Use it on one loop."""

    def __init__(self) -> None:
        self.session = secrets.token_hex(4)
        """Identifies this process's timeline: the numbers of another process's timeline mean other moments."""
        self._worker: Source | None = None
        self._remove: Callable[[], None] | None = None
        self._moments: deque[dict[str, Any]] = deque(maxlen=MOMENTS)
        self._number = 0
        self._taken: Counter[tuple[str, str, str, str]] = Counter()
        self._counts: Counter[str] = Counter()
        self._beat: float | None = None
        self._change = asyncio.Event()

    def follow(self, worker: Source) -> None:
        """Collect the events of *worker* from now on, and no others; the timeline keeps what it has."""
        if self._remove:
            self._remove()
        self._worker = worker
        self._remove = worker.on(events.Event, self._add)
        self.changed()

    def changed(self) -> None:
        """Send a snapshot soon: something that the page shows has changed."""
        self._change.set()

    async def wait(self, seconds: float) -> None:
        """Wait until something has changed, at most *seconds*."""
        try:
            async with asyncio.timeout(seconds):
                await self._change.wait()
        except TimeoutError:
            pass
        self._change.clear()

    def snapshot(self, since: int = 0) -> dict[str, Any]:
        """Everything that the page shows, ready for JSON; of the timeline, the moments after number *since*."""
        return self.state() | {"moments": self.moments(since, self._number)}

    def state(self) -> dict[str, Any]:
        """What every page shows: all but the timeline."""
        status = self._worker.status() if self._worker else None
        return {
            "at": time.time(),
            "session": self.session,
            "status": asdict(status) | {"state": status.state.value} if status else None,
            "taken": [
                {"chart": chart, "event": event, "source": source, "target": target, "count": count}
                for (chart, event, source, target), count in self._taken.items()
            ],
            "told": dict(self._counts),
            "beat": self._beat,
        }

    @property
    def number(self) -> int:
        """The number of the newest moment."""
        return self._number

    def moments(self, since: int, until: int) -> list[dict[str, Any]]:
        """The timeline after the moment with number *since*, up to the one with number *until*."""
        return [moment for moment in self._moments if since < moment["number"] <= until]

    def _add(self, event: events.Event) -> None:
        self._counts[type(event).__name__] += 1
        if isinstance(event, events.Moved):
            self._add_move(event)
        elif isinstance(event, events.HeartbeatAnswered):
            self._beat = event.at
        text = _TEXTS.get(type(event))
        if text:
            self._add_moment(event.at, peer_text(text(event)))
        self.changed()

    def _add_move(self, move: events.Moved) -> None:
        source, target = _id(move.chart, move.source), _id(move.chart, move.target)
        self._taken[move.chart, move.event, source, target] += 1
        if move.event in ("beat", "heartbeat_seen"):
            return  # there are too many of them for the timeline; the page shows them as a pulse
        where = {
            "chart": move.chart,
            "link": move.connection_id,
            "event": move.event,
            "source": source,
            "target": target,
        }
        self._add_moment(move.at, f"{' · '.join(move.source)} → {' · '.join(move.target)}", **where)

    def _add_moment(self, at: float, text: str, **more: Any) -> None:
        self._number += 1
        cut = {name: value[:_LONGEST] if isinstance(value, str) else value for name, value in more.items()}
        self._moments.append({"number": self._number, "at": at, "text": text[:_LONGEST], **cut})


def charts() -> dict[str, Any]:
    """The charts for the page: their states and transitions, by id."""
    return {
        name: {
            "states": [{"id": state.id, "name": state.name, "parent": state.parent} for state in chart.states],
            "edges": [
                {"source": edge.source, "event": edge.event, "targets": edge.targets, "guard": edge.guard}
                for edge in chart.edges
            ],
        }
        for name, chart in _charts().items()
    }


def _id(chart: str, path: tuple[str, ...]) -> str:
    """The id of the state at the end of this path of names. One name is not enough: two states may share it."""
    parent: str | None = None
    for name in path:
        parent = next(each.id for each in _charts()[chart].states if (each.name, each.parent) == (name, parent))
    return parent or ""


_TEXTS: Final[dict[type[events.Event], Callable[[Any], str]]] = {
    events.Reconnecting: lambda event: f"attempt {event.attempt} failed, next in {event.delay:.1f} s: {event.error}",
    events.LeaseLost: lambda event: f"lost the lease of {event.function_slug} {event.request_id}",
    events.ReplyBuffered: lambda event: f"reply to {event.request_id} waits to be flushed",
    events.ReplyFlushed: lambda event: f"reply to {event.request_id} was flushed",
    events.ReplyLost: lambda event: f"reply to {event.request_id} is lost: {event.reason}",
}
"""The text for the timeline, by event; other events have none."""
