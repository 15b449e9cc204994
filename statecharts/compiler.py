"""A flat chart as a table, for what happens thousands of times a second.

Through the library a request costs a millisecond and 38 kB, through the table some microseconds and 90 bytes (STATECHARTS.md §8).
The class stays the only declaration: same diagram, same tests. What the table cannot express is refused, not approximated.
"""

import inspect
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from statemachine import StateChart

from statecharts import library, model, runner
from statecharts.model import ChartModel
from statecharts.runner import Move, Report, Runner, Unexpected

Guard = tuple[str, bool]


class Step(NamedTuple):
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
    names: Mapping[str, str]
    table: dict[tuple[str, str], tuple[Step, ...]]
    ignored: Mapping[str, frozenset[str]]
    events: frozenset[str]
    actors: set[type] = field(default_factory=set, compare=False, repr=False)
    """The classes of actors that `admit` has checked."""

    def ignores(self, state: str, event: str) -> bool:
        """Whether *event* means nothing in *state*, on purpose."""
        return runner.ignores(self.ignored, state, event)

    def allowed(self, state: str) -> tuple[str, ...]:
        """The events that *state* expects."""
        return tuple(sorted(event for known, event in self.table if known == state))

    def admit(self, actor: object) -> None:
        """Check the class of *actor*, once. Raises: TypeError: it lacks what the chart names."""
        chart = model.read(self.chart)
        runner.refuse(self.chart, [*runner.gaps(chart, actor), *_parameters(chart, actor)])
        self.actors.add(type(actor))

    def know(self, event: str) -> None:
        """Raises: LookupError: the chart declares no such event."""
        if event not in self.events:
            raise runner.undeclared(self.chart.__name__, event, self.events)


def _parameters(chart: ChartModel, actor: object) -> Iterator[str]:
    """Actions and guards of *actor* with parameters: the library would fill those in, a table does not."""
    for name in model.callbacks(chart):
        method = inspect.getattr_static(type(actor), name, None)
        if inspect.isfunction(method) and len(inspect.signature(method).parameters) > 1:
            yield f"{name}: {type(actor).__name__} needs a method of that name without parameters"


def compile_chart(chart: type[StateChart[Any]]) -> Compiled:
    """Compile *chart*. Raises: TypeError: a table cannot say all of it; the message names what. library.LackingError."""
    from statecharts import limits  # needed once, when the first request comes

    library.check()
    plain = model.read(chart)
    runner.refuse(chart, [*runner.contradictions(plain), *limits.beyond(chart, plain)])
    table: dict[tuple[str, str], tuple[Step, ...]] = {}
    for state in chart.states:
        for transition in state.transitions:
            step = _step(state, transition)
            for event in model.event_names(transition):
                table[state.id, event] = (*table.get((state.id, event), ()), step)
    return Compiled(
        chart=chart,
        initial=chart.initial_state.id,
        final=frozenset(state.id for state in chart.final_states),
        names={state.id: str(state.name) for state in chart.states},
        table=table,
        ignored=model.further(chart, "ignored"),
        events=frozenset(plain.events),
    )


def _step(state: Any, transition: Any) -> Step:
    guards = tuple((spec.attr_name, spec.expected_value is not False) for spec in transition.cond)
    on, after, target = model.callback_names(transition.on), model.callback_names(transition.after), transition.target
    if target is None:
        return Step(guards, None, on + after)
    crossing = model.callback_names(state.exit) + on + model.callback_names(target.enter)
    return Step(guards, target.id, crossing + after)


class Stepper(Runner):
    """The `Runner` of a compiled chart."""

    __slots__ = ("_busy", "_inbox", "_moved", "_unexpected", "actor", "compiled", "state")

    def __init__(
        self, compiled: Compiled, actor: object, unexpected: Report, moved: Callable[[Move], None] | None = None
    ) -> None:
        if type(actor) not in compiled.actors:
            compiled.admit(actor)
        self.compiled = compiled
        self.actor: object | None = actor
        self.state = compiled.initial
        self._unexpected = unexpected
        self._moved = moved
        self._inbox: deque[str] | None = None
        self._busy = False

    def fire(self, event: str) -> None:
        """See `Runner`. Raises: LookupError: the chart declares no such event. What an action or a guard raises."""
        if self._busy:
            self._keep(event)
            return
        self._busy = True
        try:
            self._step(event)
            while self._inbox:
                self._step(self._inbox.popleft())
        finally:
            self._busy = False
            self._inbox = None

    @property
    def states(self) -> tuple[str, ...]:
        """See `Runner`."""
        return (self.compiled.names[self.state],)

    def _keep(self, event: str) -> None:
        self.compiled.know(event)
        if self._inbox is None:
            self._inbox = deque()
        self._inbox.append(event)

    def _step(self, event: str) -> None:
        for step in self.compiled.table.get((self.state, event), ()):
            if not step.guards or self._holds(step.guards):
                self._take(event, step)
                return
        self._report(event)

    def _holds(self, guards: tuple[Guard, ...]) -> bool:
        for name, truth in guards:  # noqa: SIM110 - `all` needs a generator, which takes a tenth of a request's time
            if bool(getattr(self.actor, name)()) is not truth:
                return False
        return True

    def _take(self, event: str, step: Step) -> None:
        actor, source = self.actor, self.state
        try:
            for name in step.actions:
                getattr(actor, name)()
        finally:
            if step.target is not None:
                self.state = step.target
                if step.target in self.compiled.final:
                    # The actor holds this Stepper: a reference back would leave both to the garbage collector.
                    self.actor = None
            if self._moved:
                names = self.compiled.names
                self._moved(Move(event, (names[source],), (names[self.state],)))

    def _report(self, event: str) -> None:
        self.compiled.know(event)
        compiled = self.compiled
        if not compiled.ignores(self.state, event):
            self._unexpected(Unexpected(compiled.chart.__name__, self.states, event, compiled.allowed(self.state)))
