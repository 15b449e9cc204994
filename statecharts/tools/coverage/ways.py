"""What no test has covered, and how it could be: the event, and a shortest way there."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from math import prod
from typing import Any

from statemachine import StateChart
from statemachine.exceptions import InvalidDefinition

from statecharts import model
from statecharts.model import ChartModel, EdgeModel
from statecharts.tools.coverage.cover import ChartCover
from statecharts.tools.drawing import grid, labels, nesting
from statecharts.tools.walking import paths, routes
from statecharts.tools.walking.paths import Configuration, EndlessError, Graph, Move, Route
from statecharts.tools.walking.replica import atoms

_TOO_MANY = 5000
"""Configurations times events, from which on no ways are looked for: it would take too long at the end of a test run."""


@dataclass(frozen=True, slots=True)
class Gap:
    """*what*: the transition *name* was "not taken", or its guard "never held" or "never refused". *way*: how it could be."""

    name: str
    what: str
    way: str


def gaps(chart: type[StateChart[Any]], cover: ChartCover) -> list[Gap]:
    """What is missing, in the order of declaration. Ways are looked for only if something is missing."""
    return list(_gaps(_Ways(chart), cover))


def _gaps(ways: "_Ways", cover: ChartCover) -> Iterator[Gap]:
    for each in cover.transitions:
        if not each.taken.count:
            yield Gap(each.name, "not taken", ways.to_take(each.edge))
        elif each.edge.guard and not each.held.count:
            yield Gap(each.name, "never held", ways.to_take(each.edge))
        if each.edge.guard and not each.refused.count:
            yield Gap(each.name, "never refused", ways.to_refuse(each.edge))


class _Ways:
    """The ways through one chart, found when first asked for."""

    def __init__(self, chart: type[StateChart[Any]]) -> None:
        self._class = chart
        self._chart = model.read(chart)
        self._begun: frozenset[str] = frozenset()
        self._found: tuple[Graph, dict[Configuration, Route]] | None = None
        self._names = {name: text for edge in self._chart.edges for text, name in atoms(edge.guard).items()}

    def to_take(self, edge: EdgeModel) -> str:
        """How *edge* could be taken."""
        wording = labels.wording(self._chart, edge)
        graph, reached = self._explored()
        if wording in self._begun:
            return "at the beginning"
        return self._told(edge, routes.shortest(graph, reached).get(wording))

    def to_refuse(self, edge: EdgeModel) -> str:
        """How the guard of *edge* could be asked and refuse."""
        graph, reached = self._explored()
        ways = (
            (*route, move)
            for here, route in sorted(reached.items(), key=lambda item: len(item[1]))
            for move, arrival in graph[here].items()
            if self._refuses(edge, here if edge.event else arrival.configuration, move, arrival.taken)
        )
        return self._told(edge, next(ways, None))

    def _refuses(self, edge: EdgeModel, active: Configuration, move: Move, taken: frozenset[str]) -> bool:
        """Whether *move* asks the guard while the states *active* are, and it says no: nothing that is asked before was taken."""
        around = (grid.around(self._chart, leaf) for leaf in grid.leaves(self._chart) if leaf in active)
        leaf = next((states[0] for states in around if edge.source in states), None)
        if leaf is None or edge.event not in ("", move.event):
            return False
        candidates = grid.candidates(self._chart, leaf, edge.event)
        asked = candidates[: candidates.index(edge) + 1]
        return not taken.intersection(labels.wording(self._chart, other) for other in asked)

    def _explored(self) -> tuple[Graph, dict[Configuration, Route]]:
        if self._found is None:
            self._found = {}, {}
            if _configurations(self._chart, None) * len(self._chart.events) <= _TOO_MANY:
                with suppress(InvalidDefinition, EndlessError):
                    self._begun = paths.beginning(self._class).taken
                    self._found = paths.explore(self._class)
        return self._found

    def _told(self, edge: EdgeModel, way: Route | None) -> str:
        if not way:
            return f"by {labels.event(edge)}; no way there was found"
        *before, last = map(self._move, way)
        return f"by {last} after {', '.join(before)}" if before else f"by {last} at once"

    def _move(self, move: Move) -> str:
        truths = ", ".join(sorted(self._names.get(guard, guard) for guard in move.truths))
        return labels.join(move.event or "(anything)", f"[{truths}]" if truths else "")


def _configurations(chart: ChartModel, box: str | None) -> int:
    """How many there may be."""
    inner = [state for state in nesting.children(chart, box) if not state.is_history]
    counts = [_configurations(chart, state.id) for state in inner] or [1]
    return prod(counts) if box and chart.state(box).kind == "parallel" else sum(counts)
