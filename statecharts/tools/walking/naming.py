"""Names for the library's transitions and for the steps of a table, the same in every process."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from statemachine import StateChart

from statecharts import model
from statecharts.compiler import Compiled, Step
from statecharts.model import ChartModel, EdgeModel
from statecharts.tools.drawing import grid, labels


def identity(chart: type[Any]) -> str:
    """*chart* as `MODULE:CLASS`; one that a program itself declares by the module's name, as if it had been imported."""
    module = chart.__module__
    if module == "__main__":
        program = sys.modules[module]
        module = program.__spec__.name if program.__spec__ else Path(program.__file__ or module).stem
    return f"{module}:{chart.__qualname__}"


def names(chart: ChartModel) -> dict[EdgeModel, str]:
    """Each transition's wording; of those that are worded alike, all but the first with a number."""
    found: dict[EdgeModel, str] = {}
    for edge in declared(chart):
        wording = labels.wording(chart, edge)
        alike = sum(name.partition(" #")[0] == wording for name in found.values())
        found.setdefault(edge, f"{wording} #{alike + 1}" if alike else wording)
    return found


def declared(chart: ChartModel) -> list[EdgeModel]:
    """The transitions that can be taken: not where a history state leads at first."""
    return [edge for edge in chart.edges if not edge.default]


def transitions(chart: type[StateChart[Any]]) -> Iterator[Any]:
    """The library's own objects, one for each transition of the chart's model, in the same order."""
    for state in model.every_state(chart.states):
        for transition in state.transitions:
            if not (transition.initial or state.is_history):
                yield from (transition for _ in model.event_names(transition))


class Naming:
    """The names of one chart class. May be asked from any thread."""

    def __init__(self, chart: type[StateChart[Any]]) -> None:
        plain = model.read(chart)
        self._names = names(plain)
        self._edges = declared(plain)
        self._events = frozenset(plain.events)
        self._leaves = grid.leaves(plain)
        self._known: dict[tuple[Any, str | None], str | None] = {}
        self._by_transition = {
            (transition, edge.event): self._names[edge]
            for transition, edge in zip(transitions(chart), self._edges, strict=True)
        }
        self.chart = identity(chart)
        self.guarded = frozenset(self._names[edge] for edge in self._edges if edge.guard)

    def transition(self, transition: Any, event: str | None) -> str | None:
        """The library's *transition*, set off by *event* (None: by none); None for one that the chart does not declare."""
        try:
            return self._known[transition, event]
        except KeyError:
            name = self._known[transition, event and str(event)] = self._find(transition, str(event or ""))
            return name

    def _find(self, transition: Any, event: str) -> str | None:
        matching = (str(own) for own in transition.events if own.match(event))
        found = (self._by_transition.get((transition, name)) for name in (event, event.replace(".", "_"), *matching))
        return next(filter(None, found), None)

    def steps(self, compiled: Compiled) -> Iterator[tuple[Step, str, tuple[str, ...]]]:
        """Each step of the chart's table, its name, and the names of the candidates before it; not where the table was changed."""
        for (state, event), steps in compiled.table.items():
            candidates = [self._names[edge] for edge in self._edges if (edge.source, edge.event) == (state, event)]
            if len(steps) == len(candidates):
                for position, (step, name) in enumerate(zip(steps, candidates, strict=True)):
                    yield step, name, tuple(candidates[:position])

    def stuck(self, active: set[str], event: str) -> str | None:
        """How it is called that *event* moved nothing while the states *active* were; None where the chart has no such event."""
        name = event if event in self._events else event.replace(".", "_")
        return f"{'+'.join(leaf for leaf in self._leaves if leaf in active)} {name}" if name in self._events else None
