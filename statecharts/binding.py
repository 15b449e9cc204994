"""Binding a chart to its actor: checked names, one inbox, and no silence.

The library forgives too much for a lifecycle (STATECHARTS.md §3): it drops an event that the state does not expect, never calls a
misspelt convention method, and changes its engine for one `async def` action. `Bound` refuses such mistakes when it is made, and
reports an event that the state does not expect.

`Runner` is what `Bound` and the compiled table (`statecharts.compiler`) have in common.
"""

import inspect
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from statemachine import State, StateChart

from statecharts import library, model
from statecharts.model import ChartModel

_CONVENTIONS = ("on_", "before_", "after_", "prepare_")


@dataclass(frozen=True, slots=True)
class Unexpected:
    """An event that the present state does not expect, and the events that it would have allowed."""

    chart: str
    states: tuple[str, ...]
    event: str
    allowed: tuple[str, ...]

    def __str__(self) -> str:
        where = "+".join(self.states)
        return f"{self.chart} chart: {self.event!r} is not expected in {where}; allowed: {', '.join(self.allowed)}"


Report: TypeAlias = Callable[[Unexpected], None]


@dataclass(frozen=True, slots=True)
class Move:
    """A transition that was taken: its event ("" for an eventless one) and the states' names, outermost first."""

    event: str
    source: tuple[str, ...]
    target: tuple[str, ...]


class Runner(Protocol):
    """Runs one chart for one actor. On one thread: that of the loop the actor lives on.

    There are two. `Bound` runs any chart on the library's engine, from its `start()` on; until then events wait. `Stepper` runs a
    compiled chart from a table, from the moment it is made. Both are made from the chart (compiled, for a `Stepper`) and:

    - *actor*: has a plain method for each action and guard that the chart names. TypeError: it lacks one.
    - *unexpected*: called with an `Unexpected` for each event for which the state has no transition whose guards hold, unless the
      chart's `ignored` lists the event for that state.
    - *moved*: called with a `Move` for each transition taken, once everything that its event set off is complete.

    An event that is fired meanwhile, from inside an action, a guard, *unexpected* or *moved*, waits. Waiting events are taken in
    the order in which they were fired, each once all of the above is done for the one before it. So no transition runs inside
    another.

    When an action raises, its transition is taken all the same. `Bound` runs the other actions and then takes the chart's
    transition for `error_execution`, which gets the exception as `error`; the caller of `fire` sees nothing of it. A `Stepper`
    leaves the other actions out and raises the exception to the caller of `fire`. When a guard raises, `Bound` takes it for false
    and goes on in the same way; a `Stepper` raises the exception and takes no transition.

    What *unexpected* or *moved* raises goes to the caller of `fire`, too. An exception that leaves `fire` drops the events that
    wait; the next `fire` runs as usual.
    """

    __slots__ = ()

    def fire(self, event: str) -> None:
        """Take *event* now, and every event that waits after it; during another event: let it wait, and return.

        `Bound` also takes data, which its actions receive by parameter name.
        Raises: LookupError: the chart declares no such event.
        """
        ...

    @property
    def states(self) -> tuple[str, ...]:
        """Names of the active states, outermost first, as the last complete transition left them. From any thread."""
        ...


class _Taken:
    """Notes transitions. A class of its own: every attribute of a listener is a candidate for a callback."""

    def __init__(self) -> None:
        self.moves: list[Move] = []

    def after_transition(self, event: object, source: State, target: State | None) -> None:
        name = str(event).replace(".", "_") if event else ""
        self.moves.append(Move(name, _path(source), _path(target or source)))


def _path(state: State) -> tuple[str, ...]:
    return (*(_path(state.parent) if state.parent else ()), str(state.name))


class Bound(Runner):
    """The `Runner` on the library's engine: `start` it, `fire` events into it, ask for its `states`.

    The actor gets no attribute but the library's own `_<chart>_state`.
    Raises: TypeError: a name of the chart that the actor does not answer to, or a chart that contradicts itself.
    library.LackingError: the installed library lacks what is needed.
    """

    def __init__(
        self,
        chart: type[StateChart[Any]],
        actor: object,
        unexpected: Report,
        moved: Callable[[Move], None] | None = None,
    ) -> None:
        check(chart, actor)
        self._plain = model.read(chart)
        self._events = frozenset(self._plain.events)
        self._ignored = model.further(chart, "ignored")
        self._unexpected = unexpected
        self._moved = moved
        self._inbox: deque[tuple[str, dict[str, Any]]] = deque()
        self._taken = _Taken()
        self._actor = actor
        self._chart = chart
        self._machine: StateChart[Any] | None = None
        self._busy = False
        self._states: tuple[str, ...] = ()

    def start(self) -> None:
        """Enter the initial state and run its entry actions, then take the events that were fired before or meanwhile."""
        self._run(self._enter)

    def fire(self, event: str, **data: Any) -> None:
        """See `Runner`. Raises: LookupError: the chart declares no such event."""
        if event not in self._events:
            raise undeclared(self._plain.name, event, self._events)
        self._inbox.append((event, data))
        if self._machine and not self._busy:
            self._run()

    @property
    def states(self) -> tuple[str, ...]:
        """See `Runner`. Empty before `start`."""
        return self._states

    def _run(self, first: Callable[[], None] | None = None) -> None:
        """Do *first*, then take every event that waits."""
        self._busy = True
        try:
            if first:
                first()
            while self._inbox:
                event, data = self._inbox.popleft()
                self._take(event, data)
        finally:
            self._busy = False
            self._inbox.clear()

    def _enter(self) -> None:
        # Charts keep their state on the actor: a field each, so that no two of them adopt the other's.
        field = f"_{self._plain.name.lower()}_state"
        self._machine = self._chart(self._actor, state_field=field, listeners=[self._taken])
        self._publish()

    def _take(self, event: str, data: dict[str, Any]) -> None:
        assert self._machine, "events wait until the chart is started"  # noqa: S101
        active = self._active()
        self._machine.send(event, **data)
        if not self._taken.moves:
            self._report(event, active)
        self._publish()

    def _active(self) -> list[State]:
        return list(self._machine.configuration) if self._machine else []

    def _publish(self) -> None:
        """Show the states that are active now, and tell of the moves that led there."""
        # The engine caches its configuration when it is asked for it, and must not be asked by two threads at once.
        self._states = tuple(str(state.name) for state in self._active())
        moves, self._taken.moves = self._taken.moves, []
        if self._moved:
            for move in moves:
                self._moved(move)

    def _report(self, event: str, active: list[State]) -> None:
        if any(ignores(self._ignored, state.id, event) for state in active):
            return
        ids = {state.id for state in active}
        allowed = sorted({edge.event for edge in self._plain.edges if edge.source in ids and edge.event})
        self._unexpected(
            Unexpected(self._plain.name, tuple(str(state.name) for state in active), event, tuple(allowed))
        )


def ignores(ignored: Mapping[str, Collection[str]], state: str, event: str) -> bool:
    """Whether *ignored*, a chart's own, says that *event* means nothing in the state of that id."""
    events = ignored.get(state, ())
    return event in events or "*" in events


def undeclared(chart: str, event: str, events: Collection[str]) -> LookupError:
    """The error that says that *chart* declares *events*, and not *event*."""
    return LookupError(f"{chart} chart: no event {event!r}; it declares {', '.join(sorted(events))}")


def check(chart: type[StateChart[Any]], actor: object) -> None:
    """Refuse an actor or a chart that the library accepts, then silently misuses. Raises: TypeError, library.LackingError."""
    library.check()
    plain = model.read(chart)
    refuse(chart, [*contradictions(plain), *gaps(plain, actor)])


def refuse(chart: type[StateChart[Any]], faults: Collection[str]) -> None:
    """Raises: TypeError: there are *faults*; it names the chart and all of them."""
    if faults:
        raise TypeError(f"{chart.__name__} chart: " + "; ".join(sorted(faults)))


def contradictions(chart: ChartModel) -> Iterator[str]:
    """What *chart* declares that means something else to the library than to a reader."""
    ids = [state.id for state in chart.states]
    for name in wanted(chart) & {*ids, *chart.events}:
        yield f"{name}: also a state or event"
    for name in {name for name in ids if ids.count(name) > 1}:
        yield f"{name}: state id used twice"
    for edge in chart.edges:
        if not (edge.event + edge.guard or edge.default):
            yield f"{edge.source}: transition without event or guard"


def gaps(chart: ChartModel, actor: object) -> Iterator[str]:
    """Where *actor* does not answer to what *chart* names, or has what the library would call besides."""
    for name in wanted(chart):
        method = inspect.getattr_static(type(actor), name, None)
        if not inspect.isfunction(method) or inspect.iscoroutinefunction(method):
            yield f"{name}: {type(actor).__name__} needs a plain method of that name"
    # The library looks at what dir() shows, and never at `__getattr__`.
    for name in dir(actor):
        if name.startswith(_CONVENTIONS):
            yield f"{name}: would be called by naming convention"


def wanted(chart: ChartModel) -> set[str]:
    """The names of *chart*'s actions and guards."""
    return model.actions(chart) | model.guards(chart)
