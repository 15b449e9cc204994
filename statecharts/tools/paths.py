"""Every way through a chart, walked on a replica of it by an actor that does nothing but take notes.

Breadth first from the beginning: each event under each valuation of the guards, replayed on a fresh instance of the library's own
engine. None of the chart's code runs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain, combinations
from typing import Any

from statemachine import StateChart

from statecharts import model
from statecharts.tools.record import Listener, Record
from statecharts.tools.replica import replica

Configuration = frozenset[str]


@dataclass(frozen=True, slots=True)
class Move:
    """An event, and the guards that are true when it comes; the others are false."""

    event: str
    truths: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Arrival:
    """Where a move led: the ids of the active states, and the transitions taken, by their wording (none: nothing happened)."""

    configuration: Configuration
    taken: frozenset[str]


Route = tuple[Move, ...]
Graph = dict[Configuration, dict[Move, Arrival]]


class Stage:
    """A living chart on the library's engine, with a note-taking actor."""

    def __init__(self, chart: type[StateChart[Any]]) -> None:
        self.actor = note_taker(chart)
        self._record = Record([chart], counting=True)
        self._machine = chart(self.actor, state_field="_state", listeners=[Listener(self._record)])

    @property
    def configuration(self) -> Configuration:
        """The ids of the active states."""
        return frozenset(state.id for state in self._machine.configuration)

    def make(self, move: Move) -> Arrival:
        """Send the event, guards as *move* says."""
        self.actor.truths = move.truths
        self._record.taken.clear()
        self._machine.send(
            move.event, error=RuntimeError("staged")
        )  # what `error_execution` carries; others do not look
        return Arrival(self.configuration, frozenset(self._record.taken))


def note_taker(chart: type[StateChart[Any]]) -> Any:
    """An actor for *chart*: actions note their names in `log`, the one named by `breaks` raises; guards in `truths` are true."""
    actions, guards = model.actions(model.read(chart)), model.guards(model.read(chart))
    methods = {name: _note(name) for name in actions} | {name: _truth(name) for name in guards}
    taker = type(f"{chart.__name__}NoteTaker", (), methods)()
    taker.log, taker.truths, taker.breaks = [], frozenset(), None
    return taker


def explore(chart: type[StateChart[Any]]) -> tuple[Graph, dict[Configuration, Route]]:
    """Every reachable configuration of *chart*, where each move leads from it, and a shortest route to it."""
    chart = replica(model.read(chart))
    plain = model.read(chart)
    guards = sorted(model.guards(plain))
    valuations = chain.from_iterable(combinations(guards, size) for size in range(len(guards) + 1))
    moves = [Move(event, frozenset(truths)) for truths in valuations for event in plain.events or ("",)]
    routes: dict[Configuration, Route] = {Stage(chart).configuration: ()}
    graph: Graph = {}
    for here in iter(lambda: next((place for place in routes if place not in graph), None), None):
        graph[here] = {move: arrive(chart, routes[here]).make(move) for move in moves}
        for move, arrival in graph[here].items():
            routes.setdefault(arrival.configuration, (*routes[here], move))
    return graph, routes


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
        return name in self.truths

    return guard
