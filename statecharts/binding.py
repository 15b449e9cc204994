"""Binding a chart to its actor: checked names, one inbox, and no silence.

The library forgives too much for a lifecycle (STATECHARTS.md §3): an event that nothing expects is dropped, a misspelt convention
method is never called, an `async def` action flips the engine. `Bound` refuses the mistakes at construction and tells an unknown
event (a bug: LookupError) from one that the present state does not expect (reported with what would have been allowed).

One thread only: the loop that the actor runs on. An event fired from inside an action waits until that action's transition is
complete, so nothing re-enters a chart and the order of events is the order of the log.
"""

import inspect
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from statemachine import State, StateChart

from statecharts import library, model

_CONVENTIONS = ("on_", "before_", "after_", "prepare_")


@dataclass(frozen=True, slots=True)
class Unexpected:
    """An event that the present state does not expect, and what it would have allowed."""

    chart: str
    states: tuple[str, ...]
    event: str
    allowed: tuple[str, ...]

    def __str__(self) -> str:
        where = "+".join(self.states)
        return f"{self.chart} chart: {self.event!r} is not expected in {where}; allowed: {', '.join(self.allowed)}"


Report: TypeAlias = Callable[[Unexpected], None]


@dataclass(frozen=True, slots=True)
class Move:
    """A transition that was taken: its event ("" for an eventless one) and the states' names, outermost first."""

    event: str
    source: tuple[str, ...]
    target: tuple[str, ...]


class _Taken:
    """Notes transitions. A class of its own: every attribute of a listener is a candidate for a callback."""

    def __init__(self) -> None:
        self.moves: list[Move] = []

    def after_transition(self, event: object, source: State, target: State | None) -> None:
        name = str(event).replace(".", "_") if event else ""
        self.moves.append(Move(name, _path(source), _path(target or source)))


def _path(state: State) -> tuple[str, ...]:
    return (*(_path(state.parent) if state.parent else ()), str(state.name))


class Bound:
    """A living chart: `fire` events into it, ask it where it stands.

    *actor* performs the actions that *chart* names; it gets no attribute but the library's own `_<chart>` field.
    *unexpected* is called with each report, *moved* with each transition, once what its event set off is complete.
    Raises: TypeError: a name of the chart that the actor does not answer to, or a chart that contradicts itself.
    """

    def __init__(
        self,
        chart: type[StateChart[Any]],
        actor: object,
        unexpected: Report,
        moved: Callable[[Move], None] | None = None,
    ) -> None:
        check(chart, actor)
        self._name = chart.__name__
        self._events = set(model.read(chart).events)
        self._ignored = model.further(chart, "ignored")
        self._unexpected = unexpected
        self._moved = moved
        self._inbox: deque[tuple[str, dict[str, Any]]] = deque()
        self._taken = _Taken()
        self._actor = actor
        self._chart = chart
        self._machine: StateChart[Any] | None = None
        self._busy = False
        self._states: tuple[str, ...] = ()

    def start(self) -> None:
        """Enter the initial state and run its entry actions, then what they fired."""
        self._busy = True
        # Charts keep their state on the actor: a field each, so that no two of them adopt the other's.
        field = f"_{self._name.lower()}_state"
        self._machine = self._chart(self._actor, state_field=field, listeners=[self._taken])
        self._busy = False
        self._settle()
        self._drain()

    def fire(self, event: str, **data: Any) -> None:
        """Feed *event*; its transition is complete on return, unless this was called from inside an action or before `start`:
        then it waits its turn.

        Raises: LookupError: the chart declares no such event.
        """
        if event not in self._events:
            raise LookupError(f"{self._name} chart: no event {event!r}; it declares {', '.join(sorted(self._events))}")
        self._inbox.append((event, data))
        self._drain()

    @property
    def states(self) -> tuple[str, ...]:
        """Names of the active states, outermost first, as the last complete transition left them. From any thread."""
        return self._states

    def _configuration(self) -> list[Any]:
        return list(self._machine.configuration) if self._machine else []

    def _drain(self) -> None:
        while self._inbox and not self._busy and self._machine:
            event, data = self._inbox.popleft()
            states, self._busy = self._configuration(), True
            try:
                self._machine.send(event, **data)
            finally:
                self._busy = False
            if not self._taken.moves:
                self._report(event, states)
            self._settle()

    def _settle(self) -> None:
        # The engine caches its configuration when it is asked for it, and must not be asked by two threads at once.
        self._states = tuple(str(state.name) for state in self._configuration())
        moves, self._taken.moves = self._taken.moves, []
        if self._moved:
            for move in moves:
                self._moved(move)

    def _report(self, event: str, states: list[Any]) -> None:
        if any(self._ignored.get(state.id, frozenset()) & {event, "*"} for state in states):
            return
        edges = model.read(self._chart).edges
        ids = {state.id for state in states}
        allowed = sorted({edge.event for edge in edges if edge.source in ids and edge.event})
        self._unexpected(Unexpected(self._name, tuple(str(state.name) for state in states), event, tuple(allowed)))


def check(chart: type[StateChart[Any]], actor: object) -> None:
    """Refuse an actor or a chart that the library would take and then betray silently. Raises: TypeError, library.LackingError."""
    library.check()
    plain = model.read(chart)
    ids = [state.id for state in plain.states]
    wanted = model.actions(plain) | model.guards(plain)

    faults = [f"{name}: also a state or event" for name in wanted & {*ids, *plain.events}]
    faults += [f"{name}: state id used twice" for name in {name for name in ids if ids.count(name) > 1}]
    faults += [
        f"{edge.source}: transition without event or guard"
        for edge in plain.edges
        if not (edge.event + edge.guard or edge.default)
    ]
    for name in wanted:
        method = inspect.getattr_static(type(actor), name, None)
        if not inspect.isfunction(method) or inspect.iscoroutinefunction(method):
            faults.append(f"{name}: {type(actor).__name__} needs a plain method of that name")
    # `__getattr__`-free by design: what dir() does not show, the library would not find either.
    faults += [f"{name}: would be called by naming convention" for name in dir(actor) if name.startswith(_CONVENTIONS)]
    if faults:
        raise TypeError(f"{chart.__name__} chart: " + "; ".join(sorted(faults)))
