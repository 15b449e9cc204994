"""Steps the declared charts by a table, where python-statemachine would take most of the simulation's time.

Through the library one link costs 4 ms of CPU to make, start and end (on the machine of docs/scale.md), and 10,000 workers make
more than a million while a region is away. The charts, their actors and everything else are the worker's own;
tests/statecharts/test_chart_simulation.py holds this engine to the library's, event by event.
"""

import contextlib
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from unittest import mock

import connect.connection
import connect.link
from statecharts import Bound, model
from statecharts.model import ChartModel, EdgeModel, StateModel
from statecharts.runner import Move

Ids = tuple[str, ...]


@contextlib.contextmanager
def tabled() -> Iterator[None]:
    """Within this, the charts of connections and links that are made are stepped by tables."""
    with mock.patch.object(connect.connection, "Bound", Tabled), mock.patch.object(connect.link, "Bound", Tabled):
        yield


@dataclass(frozen=True, slots=True)
class _Step:
    """A transition out of one configuration: what it asks, what it does in order, and where it leads."""

    guard: str
    actions: tuple[str, ...]
    leads_to: Ids
    move: Move


class _Table:
    """The steps of *chart* out of each configuration that was met."""

    def __init__(self, chart: ChartModel) -> None:
        self._chart = chart
        self._states = {state.id: state for state in chart.states}
        self._places = {state.id: place for place, state in enumerate(chart.states)}
        self._steps: dict[tuple[Ids, str], tuple[_Step, ...]] = {}
        first = next(state.id for state in chart.states if state.initial and state.parent is None)
        self.initial = self._sorted({first, *self._inner(first)})

    def states(self, ids: Ids) -> list[StateModel]:
        return [self._states[each] for each in ids]

    def entry(self, ids: Ids) -> tuple[str, ...]:
        return tuple(action for each in ids for action in self._states[each].entry)

    def steps(self, ids: Ids, event: str) -> tuple[_Step, ...]:
        """What may be taken at *event*, the innermost first: the first whose guard holds is."""
        known = self._steps.get((ids, event))
        if known is None:
            known = self._steps[ids, event] = tuple(self._step(ids, edge) for edge in self._edges(ids, event))
        return known

    def _edges(self, ids: Ids, event: str) -> Iterator[EdgeModel]:
        answers = [each for each in self._chart.edges if each.event == event and each.source in ids]
        innermost = sorted(answers, key=lambda edge: -len(self._around(edge.source)))
        regions = {edge.source for edge in answers if not any(edge.source in self._around(other) for other in ids)}
        if len(regions) > 1:
            raise NotImplementedError(
                f"{self._chart.name}: {event!r} is answered in {', '.join(sorted(regions))} at once"
            )
        yield from innermost

    def _step(self, ids: Ids, edge: EdgeModel) -> _Step:
        source = self._path(edge.source)
        if not edge.targets:
            return _Step(edge.guard, edge.actions + edge.after, ids, Move(edge.event, source, source))
        [target] = edge.targets
        domain = next((each for each in self._around(edge.source) if each in self._around(target)), None)
        left = {each for each in ids if domain is None or domain in self._around(each)}
        way = [each for each in self._around(target) if domain is None or domain in self._around(each)]
        entered = self._sorted({target, *self._inner(target), *way, *self._beside({target, *way})})
        exits = [action for each in reversed(self._sorted(left)) for action in self._states[each].exit]
        return _Step(
            edge.guard,
            (*exits, *edge.actions, *self.entry(entered), *edge.after),
            self._sorted({*ids} - left | {*entered}),
            Move(edge.event, source, self._path(target)),
        )

    def _beside(self, entered: set[str]) -> set[str]:
        """The regions that are entered along with one of them, and what is inside."""
        parallel = {each for each in entered if self._states[each].kind == "parallel"}
        others = {each.id for each in self._chart.states if each.parent in parallel} - entered
        return others | {inner for each in others for inner in self._inner(each)}

    def _inner(self, state: str) -> set[str]:
        """The states that are entered along with *state*, inside of it."""
        inside = [each for each in self._chart.states if each.parent == state]
        entered = [each.id for each in inside if each.initial or self._states[state].kind == "parallel"]
        return {*entered, *(inner for each in entered for inner in self._inner(each))}

    def _around(self, state: str) -> list[str]:
        """The states around *state*, the innermost first."""
        parent = self._states[state].parent
        return [parent, *self._around(parent)] if parent else []

    def _path(self, state: str) -> tuple[str, ...]:
        return tuple(self._states[each].name for each in (*reversed(self._around(state)), state))

    def _sorted(self, ids: set[str]) -> Ids:
        return tuple(sorted(ids, key=self._places.__getitem__))


_tables: dict[type, _Table] = {}
_parameters: dict[tuple[type, str], tuple[str, ...]] = {}
"""Those of each action of a class of actors: they get what an event brings by these names."""


class _Machine:
    """Stands in for the library's machine: takes events, and runs the actions of *actor*. What those raise ends the simulation."""

    def __init__(self, chart: type[Any], actor: object, note: Callable[[Move], None]) -> None:
        self._table = _tables.get(chart) or _tables.setdefault(chart, _Table(model.read(chart)))
        self._actor = actor
        self._note = note
        self._ids = self._table.initial
        for action in self._table.entry(self._ids):
            self._do(action, {})

    @property
    def configuration(self) -> list[StateModel]:
        return self._table.states(self._ids)

    def send(self, event: str, **data: Any) -> None:
        self._settle()
        self._take(event, {"event": event, **data})
        self._settle()

    def _settle(self) -> None:
        """Take eventless transitions, as the library does before and after each event."""
        while self._take("", {}):
            pass

    def _take(self, event: str, data: dict[str, Any]) -> bool:
        for step in self._table.steps(self._ids, event):
            if not step.guard or getattr(self._actor, step.guard)():
                for action in step.actions:
                    self._do(action, data)
                self._ids = step.leads_to
                self._note(step.move)
                return True
        return False

    def _do(self, action: str, data: dict[str, Any]) -> None:
        method, kind = getattr(self._actor, action), type(self._actor)
        wanted = _parameters.get((kind, action))
        if wanted is None:
            wanted = _parameters[kind, action] = tuple(inspect.signature(method).parameters)
        method(**{name: data[name] for name in wanted if name in data})


class Tabled(Bound):
    """A `Bound` whose chart is stepped by a table."""

    _machine: Any

    def _enter(self) -> None:
        self._machine = _Machine(self.chart, self._actor, lambda move: self._taken.moves.append(move))
        self._publish()
