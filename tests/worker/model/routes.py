"""Finds a shortest way to take each transition of a chart, and to have each guard refuse, that the world can make happen.

By the chart alone a link could become ready that was never dialled. What must be under way for an event to come is the world's to
say: `needs` names, for such an event, the actions or events that begin it and those that end it, as a chart's `tasks` do.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from statemachine import StateChart

from statecharts import model
from statecharts.model import ChartModel, EdgeModel
from statecharts.tools.drawing import grid, labels
from statecharts.tools.walking import paths
from statecharts.tools.walking.paths import Arrival, Configuration, Graph, Move

Needs = Mapping[str, tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Path:
    """Moves from the initial state, where each leads, and what the last shows: a transition taken, or a guard that refuses."""

    chart: type[StateChart[Any]]
    start: Configuration
    moves: tuple[Move, ...] = ()
    arrivals: tuple[Arrival, ...] = ()
    goals: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.chart.__name__.lower()}: {', '.join(map(wording, self.moves))}"

    @property
    def stops(self) -> tuple[Configuration, ...]:
        """The configurations on the way, from the initial one."""
        return (self.start, *(arrival.configuration for arrival in self.arrivals))

    @property
    def events(self) -> list[str]:
        """The moves' events."""
        return [move.event for move in self.moves]

    def says(self, guard: str) -> bool:
        """Whether *guard* is true at one of the moves."""
        return any(guard in move.truths for move in self.moves)


def wording(move: Move) -> str:
    """A goal in words, such as `finished[link_up]`."""
    return move.event + "".join(f"[{guard}]" for guard in sorted(move.truths))


def goals(chart: ChartModel) -> list[str]:
    """What the paths of *chart* must show: each transition, and each guard refusing in each place."""
    guarded = [edge for edge in chart.edges if edge.guard]
    return [labels.wording(chart, edge) for edge in chart.edges] + [refusal(chart, edge) for edge in guarded]


def refusal(chart: ChartModel, edge: EdgeModel) -> str:
    """The name of a guard's refusal."""
    return f"{labels.wording(chart, edge)} refused"


def paths_of(chart: type[StateChart[Any]], needs: Needs) -> list[Path]:
    """A shortest path to each goal of *chart* that *needs* allow. Goals may share a path."""
    found: dict[tuple[Move, ...], Path] = {}
    left = goals(model.read(chart))
    for path, shown in _walks(chart, needs):
        new = [goal for goal in left if goal in shown]
        if new:
            left = [goal for goal in left if goal not in new]
            found[path.moves] = replace(path, goals=tuple(new))
    return list(found.values())


def _walks(chart: type[StateChart[Any]], needs: Needs) -> Iterator[tuple[Path, set[str]]]:
    """Every walk to a new situation, the shortest first, prolonged by each possible move; with what that move shows."""
    graph, routes = paths.explore(chart)
    plain = model.read(chart)
    start = next(iter(routes))
    words = _begun(plain, frozenset(), Arrival(start, frozenset()), "")
    open_walks = [(Path(chart, start), start, _alive(needs, frozenset(), words))]
    seen = {open_walks[0][1:]}
    for path, here, alive in open_walks:
        for move, arrival in _moves(graph, here):
            if move.event in needs and move.event not in alive:
                continue
            further = replace(path, moves=(*path.moves, move), arrivals=(*path.arrivals, arrival))
            yield further, _shown(plain, here, move, arrival)
            there = arrival.configuration, _alive(needs, alive, _begun(plain, here, arrival, move.event))
            if there not in seen:
                seen.add(there)
                open_walks.append((further, *there))


def _moves(graph: Graph, here: Configuration) -> Iterator[tuple[Move, Arrival]]:
    """The moves that do something; for each outcome the one that asks the least of the guards."""
    outcomes = set()
    for move, arrival in sorted(graph[here].items(), key=lambda item: len(item[0].truths)):
        if arrival.taken and (move.event, arrival) not in outcomes:
            outcomes.add((move.event, arrival))
            yield move, arrival


def _shown(chart: ChartModel, here: Configuration, move: Move, arrival: Arrival) -> set[str]:
    """The transitions that a move took, and those that a guard refused."""
    asked = [edge for leaf in here for edge in grid.candidates(chart, leaf, move.event) if edge.source == leaf]
    asked += [
        edge for leaf in arrival.configuration for edge in grid.candidates(chart, leaf, "") if edge.source == leaf
    ]
    refused = {
        refusal(chart, edge) for edge in asked if edge.guard and labels.wording(chart, edge) not in arrival.taken
    }
    return refused | arrival.taken


def _alive(needs: Needs, before: frozenset[str], words: set[str]) -> frozenset[str]:
    """The events that may come now: what they need has begun and not ended."""

    def lives(event: str) -> bool:
        begins, ends = (set(text.split()) for text in needs[event])
        return bool(begins & words) or (event in before and not ends & words)

    return frozenset(filter(lives, needs))


def _begun(chart: ChartModel, here: Configuration, arrival: Arrival, event: str) -> set[str]:
    """The event of a move, and every action that followed from it."""
    there = arrival.configuration
    entered = [name for state in chart.states if state.id in there - here for name in state.entry]
    left = [name for state in chart.states if state.id in here - there for name in state.exit]
    edges = [edge for edge in chart.edges if labels.wording(chart, edge) in arrival.taken]
    return {event, *entered, *left, *(name for edge in edges for name in edge.actions + edge.after)}
