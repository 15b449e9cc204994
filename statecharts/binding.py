"""Runs a chart on the library's engine: with checked names, one inbox, and a report of every unexpected event.

The library forgives too much for a lifecycle (STATECHARTS.md §3): it drops an event that the state does not expect, never calls a
misspelt convention method, and changes its engine for one `async def` action. `Bound` refuses such mistakes when it is made, and
reports an event that the state does not expect.
"""

import functools
from collections import deque
from collections.abc import Callable
from typing import Any

from statemachine import State, StateChart

from statecharts import library, model, runner
from statecharts.model import ChartModel
from statecharts.runner import Move, Report, Runner, Unexpected


class _Taken:
    """Notes transitions. A class of its own, because the library may call any attribute of a listener."""

    def __init__(self) -> None:
        self.moves: list[Move] = []

    def after_transition(self, event: object, source: State, target: State | None) -> None:
        name = str(event).replace(".", "_") if event else ""
        self.moves.append(Move(name, _path(source), _path(target or source)))


def _path(state: State) -> tuple[str, ...]:
    return (*(_path(state.parent) if state.parent else ()), str(state.name))


class Bound(Runner):
    """The `Runner` on the library's engine: `start` it, `fire` events into it, ask for its `states`.

    The actor gets no attribute but the library's own `_<chart>_state`.
    Raises: TypeError: a name of the chart that the actor does not answer to, or a chart that contradicts itself.
    library.LackingError: the installed library lacks what is needed.
    """

    def __init__(
        self,
        chart: type[StateChart[Any]],
        actor: object,
        unexpected: Report,
        moved: Callable[[Move], None] | None = None,
    ) -> None:
        self._plain = admitted(chart, actor)
        self._events = frozenset(self._plain.events)
        self._ignored = model.further(chart, "ignored")
        self._unexpected = unexpected
        self._moved = moved
        self._inbox: deque[tuple[str, dict[str, Any]]] = deque()
        self._taken = _Taken()
        self._actor = actor
        self.chart = chart
        self._machine: StateChart[Any] | None = None
        self._busy = False
        self._states: tuple[str, ...] = ()
        self.ids: tuple[str, ...] = ()
        self._idle: dict[tuple[str, ...], frozenset[str]] = {}

    def start(self) -> None:
        """Enter the initial state and run its entry actions, then take the events that were fired before or meanwhile."""
        self._run(self._enter)

    def fire(self, event: str, **data: Any) -> None:
        """See `Runner`. Raises: LookupError: the chart declares no such event."""
        if event not in self._events:
            raise runner.undeclared(self._plain.name, event, self._events)
        self._inbox.append((event, data))
        if self._machine and not self._busy:
            self._run()

    def ignores(self, event: str) -> bool:
        """Whether *event* means nothing in the present states: it is listed as ignored there, and no transition waits for it."""
        idle = self._idle.get(self.ids)
        if idle is None:
            idle = self._idle[self.ids] = self._idle_events()
        return event in idle

    @property
    def states(self) -> tuple[str, ...]:
        """See `Runner`. Empty before `start`."""
        return self._states

    def _run(self, first: Callable[[], None] | None = None) -> None:
        """Do *first*, then take every event that waits."""
        self._busy = True
        try:
            if first:
                first()
            while self._inbox:
                event, data = self._inbox.popleft()
                self._take(event, data)
        finally:
            self._busy = False
            self._inbox.clear()

    def _enter(self) -> None:
        # The library keeps a chart's state on the actor, and would start a second chart there in the state of the first.
        field = f"_{self._plain.name.lower()}_state"
        self._machine = self.chart(self._actor, state_field=field, listeners=[self._taken])
        self._publish()

    def _take(self, event: str, data: dict[str, Any]) -> None:
        assert self._machine, "events wait until the chart is started"  # noqa: S101
        if self.ignores(event):
            self._skip(event)
            return
        active = self._active()
        self._machine.send(event, **data)
        if not self._taken.moves:
            self._report(event, active)
        self._publish()

    def _skip(self, _event: str) -> None:
        """Leave the engine out, which would take a millisecond to do nothing: a peer may send such events by the thousand."""

    def _idle_events(self) -> frozenset[str]:
        edges = [edge for edge in self._plain.edges if edge.source in self.ids]
        if any(not edge.event or "*" in edge.event for edge in edges):
            return frozenset()  # any event may set off an eventless transition, whose guard may hold by now
        expected = {edge.event for edge in edges}
        return frozenset(
            event
            for event in self._events - expected
            if any(runner.ignores(self._ignored, state, event) for state in self.ids)
        )

    def _active(self) -> list[State]:
        return list(self._machine.configuration) if self._machine else []

    def _publish(self) -> None:
        """Show the states that are active now, and tell of the moves that led there."""
        # A copy: the engine fills a cache when it is asked, so two threads must not ask it at once.
        active = self._active()
        self._states, self.ids = tuple(str(state.name) for state in active), tuple(state.id for state in active)
        moves, self._taken.moves = self._taken.moves, []
        if self._moved:
            for move in moves:
                self._moved(move)

    def _report(self, event: str, active: list[State]) -> None:
        if any(runner.ignores(self._ignored, state.id, event) for state in active):
            return
        ids = {state.id for state in active}
        allowed = sorted({edge.event for edge in self._plain.edges if edge.source in ids and edge.event})
        self._unexpected(
            Unexpected(self._plain.name, tuple(str(state.name) for state in active), event, tuple(allowed))
        )


_read = functools.cache(model.read)
_admitted: set[tuple[type, type]] = set()
"""Charts with the classes of their actors that were checked: to read and check them takes longer than to make the chart."""


def admitted(chart: type[StateChart[Any]], actor: object) -> ChartModel:
    """*chart* as plain data. The first time for each class of actors, refuse what the library accepts, then silently misuses.

    Raises: TypeError, library.LackingError.
    """
    library.check()
    plain = _read(chart)
    if (chart, type(actor)) not in _admitted:
        runner.refuse(chart, [*runner.contradictions(plain), *runner.gaps(plain, actor)])
        _admitted.add((chart, type(actor)))
    return plain
