"""Every way through a chart, walked on a replica of it by an actor that does nothing but take notes.

Breadth first from the beginning: each event that can come from outside, with each guard that is asked on its way answered both
ways, replayed on a fresh instance of the library's own engine. None of the chart's code runs.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from statemachine import StateChart

from statecharts import model
from statecharts.model import ChartModel, EdgeModel
from statecharts.tools.drawing import labels
from statecharts.tools.walking import naming
from statecharts.tools.walking.naming import Naming
from statecharts.tools.walking.replica import replica

Configuration = frozenset[str]


@dataclass(frozen=True, slots=True)
class Move:
    """An event, and the guards that are true when it comes; the others that are asked are false."""

    event: str
    truths: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Arrival:
    """Where a move led: the ids of the active states, and the transitions taken, by their wording (none: nothing happened)."""

    configuration: Configuration
    taken: frozenset[str]


Route = tuple[Move, ...]
Graph = dict[Configuration, dict[Move, Arrival]]


class EndlessError(BaseException):
    """Eventless transitions follow each other without end. Not an Exception: the engine would turn that into an event."""


class Stage:
    """A living chart on the library's engine, with a note-taking actor. Raises: EndlessError."""

    def __init__(self, chart: type[StateChart[Any]]) -> None:
        self.actor = note_taker(chart)
        self._listener = _Listener(_naming(chart))
        self._machine = chart(self.actor, state_field="_state", listeners=[self._listener])
        self.begun = Arrival(self.configuration, self._listener.taken())

    @property
    def configuration(self) -> Configuration:
        """The ids of the active states."""
        return frozenset(state.id for state in self._machine.configuration)

    def make(self, move: Move) -> Arrival:
        """Send the event, guards as *move* says. Raises: EndlessError."""
        self.actor.truths = move.truths
        self.actor.asked.clear()
        self._machine.send(
            move.event, error=RuntimeError("staged")
        )  # what `error_execution` carries; others do not look
        return Arrival(self.configuration, self._listener.taken())


class _Listener:
    """Notes transitions, and stops a chart that takes too many. A class of its own: the library may call any attribute of it."""

    def __init__(self, naming: Naming) -> None:
        self._naming = naming
        self._taken: list[str] = []

    def after_transition(self, transition: Any, event: Any) -> None:
        self._taken.append(self._naming.transition(transition, event) or "")
        if len(self._taken) > _MANY:
            raise EndlessError

    def taken(self) -> frozenset[str]:
        names, self._taken = self._taken, []
        return frozenset(names)


_MANY = 1000
"""More transitions than one event sets off in a chart that comes to rest."""


def note_taker(chart: type[StateChart[Any]]) -> Any:
    """An actor for *chart*: actions note their names in `log`, the one named by `breaks` raises; guards in `truths` are true, and
    those that were asked are in `asked`, in order."""
    taker = _note_taker(chart)()
    taker.log, taker.asked, taker.truths, taker.breaks = [], {}, frozenset(), None
    return taker


@lru_cache(maxsize=16)
def _note_taker(chart: type[StateChart[Any]]) -> type[Any]:
    plain = model.read(chart)
    methods = {name: _note(name) for name in model.actions(plain)} | {
        name: _truth(name) for name in model.guards(plain)
    }
    return type(f"{chart.__name__}NoteTaker", (), methods)


_naming = lru_cache(maxsize=16)(Naming)


def explore(chart: type[StateChart[Any]]) -> tuple[Graph, dict[Configuration, Route]]:
    """Every reachable configuration of *chart*, where each move leads from it, and a shortest route to it.

    Moves with the same event differ in what a guard says. Moves after which the chart never comes to rest are left out.
    Raises: EndlessError: the beginning does not. InvalidDefinition: the library takes no replica of *chart*.
    """
    plain, twin = model.read(chart), _twin(chart)
    wordings = _wordings(plain, twin)
    routes: dict[Configuration, Route] = {Stage(twin).configuration: ()}
    graph: Graph = {}
    for here in iter(lambda: next((place for place in routes if place not in graph), None), None):
        moves = [found for event in sent(plain) for found in _moves(twin, routes[here], event)]
        moves.sort(key=lambda found: (len(found[0].truths), sorted(found[0].truths)))
        graph[here] = {move: _worded(arrival, wordings) for move, arrival in moves}
        for move, arrival in graph[here].items():
            routes.setdefault(arrival.configuration, (*routes[here], move))
    return graph, routes


def beginning(chart: type[StateChart[Any]]) -> Arrival:
    """Where *chart* stands before any event, and what was taken to get there. Raises: as `explore`."""
    twin = _twin(chart)
    return _worded(Stage(twin).begun, _wordings(model.read(chart), twin))


def sent(chart: ChartModel) -> list[str]:
    """The events that come from outside, without those that the engine sends when a compound state ends.

    [""] if there are none: any event makes the engine try eventless transitions.
    """
    own = {f"done_state_{state.id}" for state in chart.states}
    return [event for event in chart.events if event.replace(".", "_") not in own] or [""]


def _moves(chart: type[StateChart[Any]], route: Route, event: str) -> Iterator[tuple[Move, Arrival]]:
    """Send *event* with all guards false, then once for each guard that was asked with it true, and so on: every way it can go."""
    left: list[dict[str, bool]] = [{}]
    while left:
        answers = left.pop()
        stage = arrive(chart, route)
        move = Move(event, frozenset(guard for guard, truth in answers.items() if truth))
        with suppress(EndlessError):
            yield move, stage.make(move)
        before = dict(answers)
        for guard in stage.actor.asked:
            if guard not in before:
                left.append({**before, guard: True})
                before[guard] = False


def _twin(chart: type[StateChart[Any]]) -> type[StateChart[Any]]:
    """A replica, on which the library makes no check that it did not make on *chart*."""
    checks = ("validate_disconnected_states", "validate_trap_states", "validate_final_reachability")
    return replica(model.read(chart), **{name: getattr(chart, name) for name in checks})


def _wordings(plain: ChartModel, twin: type[StateChart[Any]]) -> dict[str, str]:
    """How *plain* words what its replica takes: that has other names for some guards, and groups by event."""

    def at(edge: EdgeModel) -> tuple[str, str]:
        return edge.source, edge.event

    names = naming.names(model.read(twin))
    pairs = zip(sorted(names, key=at), sorted(naming.names(plain), key=at), strict=True)
    return {names[copy]: labels.wording(plain, edge) for copy, edge in pairs}


def _worded(arrival: Arrival, wordings: dict[str, str]) -> Arrival:
    return replace(arrival, taken=frozenset(wordings[name] for name in arrival.taken))


def arrive(chart: type[StateChart[Any]], route: Route) -> Stage:
    """A fresh instance of *chart* that has made the moves of *route*."""
    stage = Stage(chart)
    for move in route:
        stage.make(move)
    return stage


def reaching(graph: Graph, goal: Configuration) -> set[Configuration]:
    """The configurations of *graph* from which *goal* can be reached."""
    found = {goal}
    while more := {here for here, moves in graph.items() if here not in found and _targets(moves) & found}:
        found |= more
    return found


def _targets(moves: dict[Move, Arrival]) -> set[Configuration]:
    return {arrival.configuration for arrival in moves.values()}


def _note(name: str) -> Callable[[Any], None]:
    def action(self: Any) -> None:
        self.log.append(name)
        if name == self.breaks:
            raise RuntimeError(name)

    return action


def _truth(name: str) -> Callable[[Any], bool]:
    def guard(self: Any) -> bool:
        self.asked[name] = None
        return name in self.truths

    return guard
