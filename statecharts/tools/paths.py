"""Every way through a chart, walked on a replica of it by an actor that does nothing but take notes.

Breadth first from the beginning: each event that can come from outside, with each guard that is asked on its way answered both
ways, replayed on a fresh instance of the library's own engine. None of the chart's code runs.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from statemachine import StateChart

from statecharts import model
from statecharts.model import ChartModel, EdgeModel
from statecharts.tools import labels
from statecharts.tools.record import Listener, Record
from statecharts.tools.replica import replica

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
    """Eventless transitions follow each other without end. Not an Exception, which the engine would make an event of."""


class Stage:
    """A living chart on the library's engine, with a note-taking actor."""

    def __init__(self, chart: type[StateChart[Any]]) -> None:
        self.actor = note_taker(chart)
        self._record = Record([chart], counting=True)
        listeners = [Listener(self._record), _Patience()]
        self._machine = chart(self.actor, state_field="_state", listeners=listeners)

    @property
    def configuration(self) -> Configuration:
        """The ids of the active states."""
        return frozenset(state.id for state in self._machine.configuration)

    def make(self, move: Move) -> Arrival:
        """Send the event, guards as *move* says. Raises: EndlessError."""
        self.actor.truths = move.truths
        self.actor.asked.clear()
        self._record.taken.clear()
        self._machine.send(
            move.event, error=RuntimeError("staged")
        )  # what `error_execution` carries; others do not look
        return Arrival(self.configuration, frozenset(self._record.taken))


class _Patience:
    """Ends what has no end."""

    def __init__(self) -> None:
        self._left = 1000

    def after_transition(self) -> None:
        self._left -= 1
        if not self._left:
            raise EndlessError


def note_taker(chart: type[StateChart[Any]]) -> Any:
    """An actor for *chart*: actions note their names in `log`, the one named by `breaks` raises; guards in `truths` are true, and
    those that were asked are in `asked`, in order."""
    actions, guards = model.actions(model.read(chart)), model.guards(model.read(chart))
    methods = {name: _note(name) for name in actions} | {name: _truth(name) for name in guards}
    taker = type(f"{chart.__name__}NoteTaker", (), methods)()
    taker.log, taker.asked, taker.truths, taker.breaks = [], {}, frozenset(), None
    return taker


def explore(chart: type[StateChart[Any]]) -> tuple[Graph, dict[Configuration, Route]]:
    """Every reachable configuration of *chart*, where each move leads from it, and a shortest route to it.

    Of the moves with one event those are there that differ in a guard that was asked. What never comes to rest is left out.
    Raises: EndlessError: the beginning does not.
    """
    plain = model.read(chart)
    chart = replica(plain)
    wordings = _wordings(plain, model.read(chart))
    routes: dict[Configuration, Route] = {Stage(chart).configuration: ()}
    graph: Graph = {}
    for here in iter(lambda: next((place for place in routes if place not in graph), None), None):
        moves = [move for event in sent(plain) for move in _moves(chart, routes[here], event)]
        graph[here] = {
            move: replace(arrival, taken=frozenset(wordings[taken] for taken in arrival.taken))
            for move, arrival in sorted(moves, key=lambda found: (len(found[0].truths), sorted(found[0].truths)))
        }
        for move, arrival in graph[here].items():
            routes.setdefault(arrival.configuration, (*routes[here], move))
    return graph, routes


def sent(chart: ChartModel) -> list[str]:
    """The events that somebody sends: not those by which the engine says that a box has come to its end. [""] where there are none:
    any event makes the engine look at eventless transitions."""
    own = {f"done_state_{state.id}" for state in chart.states}
    return [event for event in chart.events if event not in own] or [""]


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


def _wordings(plain: ChartModel, twin: ChartModel) -> dict[str, str]:
    """How *plain* words the transitions of *twin*, its replica: that has other names for some guards, and groups by event."""

    def at(edge: EdgeModel) -> tuple[str, str]:
        return edge.source, edge.event

    pairs = zip(sorted(twin.edges, key=at), sorted(plain.edges, key=at), strict=True)
    return {labels.wording(twin, copy): labels.wording(plain, edge) for copy, edge in pairs}


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
