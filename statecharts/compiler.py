"""A flat chart as a table, for what happens thousands of times a second.

Through the library a request costs a millisecond and 38 kB, through the table some microseconds and 120 bytes (STATECHARTS.md §8).
The class stays the only declaration: same diagram, same tests. What the table cannot express is refused, not approximated.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from statemachine import StateChart

from statecharts import library, model

Guard = tuple[str, bool]


@dataclass(frozen=True, slots=True)
class Step:
    """A candidate transition: guards that must hold, the new state (None: stay), the actions in order."""

    guards: tuple[Guard, ...]
    target: str | None
    actions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Compiled:
    """The table of a chart: candidates by (state, event) in declaration order; what it ignores on purpose."""

    chart: type[StateChart[Any]]
    initial: str
    final: frozenset[str]
    table: dict[tuple[str, str], tuple[Step, ...]]
    ignored: Mapping[str, frozenset[str]]

    def ignores(self, state: str, event: str) -> bool:
        """Whether *event* means nothing in *state*, on purpose."""
        return bool(self.ignored.get(state, frozenset()) & {event, "*"})

    def allowed(self, state: str) -> tuple[str, ...]:
        """The events that *state* expects."""
        return tuple(sorted(event for known, event in self.table if known == state))


def compile_chart(chart: type[StateChart[Any]]) -> Compiled:
    """Compile *chart*. Raises: TypeError: it is nested, eventless or otherwise more than a table can say; library.LackingError."""
    library.check()
    table: dict[tuple[str, str], tuple[Step, ...]] = {}
    for state in chart.states:
        nested = state.states or state.history or model.callback_names(state.invoke)
        if nested or (state.initial and model.callback_names(state.enter)):
            raise TypeError(
                f"{chart.__name__}.{state.id}: only flat states compile, the initial one without entry actions"
            )
        for transition in state.transitions:
            for event in model.event_names(transition):
                step = _step(chart, state, transition)
                table[state.id, event] = (*table.get((state.id, event), ()), step)
    return Compiled(
        chart=chart,
        initial=chart.initial_state.id,
        final=frozenset(state.id for state in chart.final_states),
        table=table,
        ignored=model.further(chart, "ignored"),
    )


def _step(chart: type[StateChart[Any]], state: Any, transition: Any) -> Step:
    guards = tuple((spec.attr_name, spec.expected_value is not False) for spec in transition.cond)
    beyond = transition.is_eventless or transition.internal or len(transition.targets) > 1
    unordered = model.callback_names(transition.before) + model.callback_names(transition.validators)
    if beyond or unordered or any(not name.isidentifier() for name, _ in guards):
        raise TypeError(f"{chart.__name__}: cannot compile {transition!r}")
    on, after, target = model.callback_names(transition.on), model.callback_names(transition.after), transition.target
    if target is None:
        return Step(guards, None, on + after)
    crossing = model.callback_names(state.exit) + on + model.callback_names(target.enter)
    return Step(guards, target.id, crossing + after)


class Stepper:
    """Runs a compiled chart for one actor. Unlike the engine it has no inbox: an action must not fire its own chart."""

    __slots__ = ("_busy", "actor", "compiled", "state")

    def __init__(self, compiled: Compiled, actor: object) -> None:
        self.compiled = compiled
        self.actor: object | None = actor
        self.state = compiled.initial
        self._busy = False

    def fire(self, event: str) -> bool:
        """Take the first candidate whose guards hold; False where the state has none for *event*.

        Raises: RuntimeError: called from inside an action. An exception of an action goes to the caller, the new state kept.
        """
        if self._busy:
            raise RuntimeError(f"{self.compiled.chart.__name__} chart: {event!r} fired from inside an action")
        for step in self.compiled.table.get((self.state, event), ()):
            if not step.guards or self._holds(step.guards):
                self._take(step)
                return True
        return False

    def _holds(self, guards: tuple[Guard, ...]) -> bool:
        return all(bool(getattr(self.actor, name)()) is wanted for name, wanted in guards)

    def _take(self, step: Step) -> None:
        if step.target is not None:
            self.state = step.target
        self._busy = True
        try:
            for name in step.actions:
                getattr(self.actor, name)()
        finally:
            self._busy = False
        if step.target in self.compiled.final:
            # Nothing is left to do: without its actor no cycle is left either, and no work for the garbage collector.
            self.actor = None
