"""What the page shows of a worker: where its charts stand, what they went through, and what it has to do."""

import asyncio
import functools
import secrets
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Final

from connect import events
from connect.watching.source import Source
from statecharts import Connection, Link, model
from statecharts.model import ChartModel

MOMENTS: Final = 200


@functools.cache
def _charts() -> dict[str, ChartModel]:
    return {"connection": model.read(Connection), "link": model.read(Link)}


class Story:
    """One worker after another, from the moment when each is followed. On one loop only."""

    def __init__(self) -> None:
        self.session = secrets.token_hex(4)
        """Tells the numbers of this timeline from those of another process."""
        self._worker: Source | None = None
        self._remove: Callable[[], None] | None = None
        self._moments: deque[dict[str, Any]] = deque(maxlen=MOMENTS)
        self._number = 0
        self._taken: Counter[tuple[str, str, str, str]] = Counter()
        self._told: Counter[str] = Counter()
        self._beat: float | None = None
        self._news = asyncio.Event()

    def follow(self, worker: Source) -> None:
        """Show *worker* from here on; what happened before stays in the timeline."""
        if self._remove:
            self._remove()
        self._worker = worker
        self._remove = worker.on(events.Event, self._hear)
        self.touch()

    def touch(self) -> None:
        """Something else has changed that the page shows."""
        self._news.set()

    async def news(self, seconds: float) -> None:
        """Until something has happened, at most so long."""
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            pass
        self._news.clear()

    def snapshot(self, since: int = 0) -> dict[str, Any]:
        """Everything the page needs, as JSON takes it; of the timeline what came after number *since*."""
        status = self._worker.status() if self._worker else None
        return {
            "at": time.time(),
            "session": self.session,
            "status": asdict(status) | {"state": status.state.value} if status else None,
            "moments": [moment for moment in self._moments if moment["number"] > since],
            "taken": [
                {"chart": chart, "event": event, "source": source, "target": target, "count": count}
                for (chart, event, source, target), count in self._taken.items()
            ],
            "told": dict(self._told),
            "beat": self._beat,
        }

    def _hear(self, told: events.Event) -> None:
        self._told[type(told).__name__] += 1
        if isinstance(told, events.Moved):
            self._move(told)
        elif isinstance(told, events.HeartbeatAnswered):
            self._beat = told.at
        words = _WORDS.get(type(told))
        if words:
            self._note(told.at, words(told))
        self.touch()

    def _move(self, told: events.Moved) -> None:
        source, target = _id(told.chart, told.source), _id(told.chart, told.target)
        self._taken[told.chart, told.event, source, target] += 1
        if told.event in ("beat", "heartbeat_seen"):
            return  # the pulse shows them; in the timeline they would drown the rest
        where = {
            "chart": told.chart,
            "link": told.connection_id,
            "event": told.event,
            "source": source,
            "target": target,
        }
        self._note(told.at, f"{' · '.join(told.source)} → {' · '.join(told.target)}", **where)

    def _note(self, at: float, text: str, **more: Any) -> None:
        self._number += 1
        self._moments.append({"number": self._number, "at": at, "text": text, **more})


def charts() -> dict[str, Any]:
    """The charts as the page knows them: states and transitions by id."""
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
    """The id of the state with this path of names: names alone may occur twice."""
    parent: str | None = None
    for name in path:
        parent = next(each.id for each in _charts()[chart].states if (each.name, each.parent) == (name, parent))
    return parent or ""


_WORDS: Final[dict[type[events.Event], Callable[[Any], str]]] = {
    events.Reconnecting: lambda told: f"attempt {told.attempt} failed, next in {told.delay:.1f} s: {told.error}",
    events.LeaseLost: lambda told: f"lost the lease of {told.function_slug} {told.request_id}",
    events.ReplyBuffered: lambda told: f"reply to {told.request_id} waits to be flushed",
    events.ReplyFlushed: lambda told: f"reply to {told.request_id} was flushed",
    events.ReplyLost: lambda told: f"reply to {told.request_id} is lost: {told.reason}",
}
