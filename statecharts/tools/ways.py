"""How what no test has covered could be: the event, and a shortest way there."""

from contextlib import suppress
from math import prod
from typing import Any

from statemachine import StateChart
from statemachine.exceptions import InvalidDefinition

from statecharts import model
from statecharts.model import ChartModel, EdgeModel
from statecharts.tools import grid, labels, nesting, paths, routes
from statecharts.tools.paths import Configuration, EndlessError, Graph, Move, Route
from statecharts.tools.replica import atoms

_TOO_MANY = 5000
"""Configurations times events: about as many steps of the library's engine as one waits for at the end of a test run."""


class Ways:
    """The ways through one chart, found when first asked for."""

    def __init__(self, chart: type[StateChart[Any]]) -> None:
        self._class = chart
        self._chart = model.read(chart)
        self._found: tuple[Graph, dict[Configuration, Route]] | None = None
        self._names = {name: text for edge in self._chart.edges for text, name in atoms(edge.guard).items()}

    def to_take(self, edge: EdgeModel) -> str:
        """How *edge* could be taken."""
        graph, reached = self._explored()
        return self._told(edge, routes.shortest(graph, reached).get(labels.wording(self._chart, edge)))

    def to_refuse(self, edge: EdgeModel) -> str:
        """How the guard of *edge* could be asked and refuse."""
        graph, reached = self._explored()
        ways = (
            (*route, move)
            for here, route in sorted(reached.items(), key=lambda item: len(item[1]))
            for move, arrival in graph[here].items()
            if self._refuses(edge, arrival.configuration if not edge.event else here, move, arrival.taken)
        )
        return self._told(edge, next(ways, None))

    def _refuses(self, edge: EdgeModel, asked: Configuration, move: Move, taken: frozenset[str]) -> bool:
        """Whether the guard is asked while the states *asked* are active, and says no: nothing that comes before it was taken."""
        leaves = [
            leaf for leaf in grid.leaves(self._chart) if leaf in asked and edge.source in grid.around(self._chart, leaf)
        ]
        if not leaves or edge.event not in ("", move.event):
            return False
        candidates = grid.candidates(self._chart, leaves[0], edge.event)
        upto = candidates[: candidates.index(edge) + 1]
        return not taken.intersection(labels.wording(self._chart, other) for other in upto)

    def _explored(self) -> tuple[Graph, dict[Configuration, Route]]:
        if self._found is None:
            self._found = {}, {}
            if _configurations(self._chart, None) * len(self._chart.events) <= _TOO_MANY:
                with suppress(InvalidDefinition, EndlessError):
                    self._found = paths.explore(self._class)
        return self._found

    def _told(self, edge: EdgeModel, way: Route | None) -> str:
        if not way:
            return f"by {labels.event(edge)}; no way there was found"
        return f"by {self._move(way[-1])}" + (
            f" after {', '.join(map(self._move, way[:-1]))}" if way[1:] else " at once"
        )

    def _move(self, move: Move) -> str:
        truths = ", ".join(sorted(self._names.get(guard, guard) for guard in move.truths))
        return labels.join(move.event or "(anything)", f"[{truths}]" if truths else "")


def _configurations(chart: ChartModel, box: str | None) -> int:
    """How many there may be."""
    inner = [state for state in nesting.children(chart, box) if not state.is_history]
    counts = [_configurations(chart, state.id) for state in inner] or [1]
    return prod(counts) if box and chart.state(box).kind == "parallel" else sum(counts)
