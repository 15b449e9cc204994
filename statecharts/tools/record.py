"""Which of the charts' transitions were taken, by whichever engine."""

from collections.abc import Iterable, Iterator
from typing import Any

from statemachine import StateChart
from statemachine.graph import iterate_states

from statecharts.compiler import Compiled, Step
from statecharts.model import event_names, read
from statecharts.tools import labels


class Record:
    """What *charts* declare, and what of it was taken while `counting`. Transitions go by their wording."""

    def __init__(self, charts: Iterable[type[StateChart[Any]]], *, counting: bool) -> None:
        self.counting = counting
        self.declared: list[str] = []
        self.taken: set[str] = set()
        self._by_transition: dict[tuple[int, str], str] = {}
        self._by_step: dict[int, str] = {}
        self._tables: dict[int, Compiled] = {}
        for chart in charts:
            plain = read(chart)
            edges = [edge for edge in plain.edges if not edge.default]
            for transition, edge in zip(_transitions(chart), edges, strict=True):
                self.declared.append(labels.wording(plain, edge))
                self._by_transition[id(transition), edge.event] = self.declared[-1]

    def transition(self, transition: Any, event: str) -> None:
        """The library took *transition*. Of a chart that was not named it leaves no trace."""
        self._take(self._by_transition.get((id(transition), event)))

    def step(self, compiled: Compiled, step: Step) -> None:
        """A table took *step*."""
        if id(compiled) not in self._tables:
            self._learn(compiled)
        self._take(self._by_step.get(id(step)))

    def _learn(self, compiled: Compiled) -> None:
        self._tables[id(compiled)] = compiled  # kept, so that no other table is given its id
        plain = read(compiled.chart)
        for (state, event), steps in compiled.table.items():
            edges = [edge for edge in plain.edges if (edge.source, edge.event) == (state, event)]
            self._by_step.update(
                (id(step), labels.wording(plain, edge)) for step, edge in zip(steps, edges, strict=True)
            )

    def _take(self, wording: str | None) -> None:
        if self.counting and wording in self.declared:
            self.taken.add(wording)


class Listener:
    """Fires once per transition taken. A class of its own: every attribute of a listener is a candidate for a callback."""

    def __init__(self, record: Record) -> None:
        self._record = record

    def after_transition(self, transition: Any, event: Any) -> None:
        """Called by the library, in whatever thread the chart runs."""
        self._record.transition(transition, str(event or "").replace(".", "_"))


def _transitions(chart: type[StateChart[Any]]) -> Iterator[Any]:
    """The library's own objects, one for each edge of the chart's model, in the same order."""
    for state in iterate_states(chart.states):
        for transition in state.transitions:
            if not (transition.initial or state.is_history):
                yield from (transition for _ in event_names(transition))
