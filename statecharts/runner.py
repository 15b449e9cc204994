"""What runs a chart, and what it asks of the chart and of its actor.

`Bound` (`statecharts.binding`) and `Stepper` (`statecharts.compiler`) keep this contract; what both need for it stands here.
"""

import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, NamedTuple, Protocol, TypeAlias

from statemachine import StateChart

from statecharts import model
from statecharts.model import ChartModel

_CONVENTIONS = ("on_", "before_", "after_", "prepare_")


class Unexpected(NamedTuple):
    """An event that the present state does not expect, and the events that it would have allowed."""

    chart: str
    states: tuple[str, ...]
    event: str
    allowed: tuple[str, ...]

    def __str__(self) -> str:
        where = "+".join(self.states)
        return f"{self.chart} chart: {self.event!r} is not expected in {where}; allowed: {', '.join(self.allowed)}"


Report: TypeAlias = Callable[[Unexpected], None]


class Move(NamedTuple):
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


def ignores(ignored: Mapping[str, Collection[str]], state: str, event: str) -> bool:
    """Whether *ignored*, the attribute of a chart, lists *event* for the state of that id."""
    events = ignored.get(state, ())
    return event in events or "*" in events


def undeclared(chart: str, event: str, events: Collection[str]) -> LookupError:
    """The error for an *event* that is none of the *events* that *chart* declares."""
    return LookupError(f"{chart} chart: no event {event!r}; it declares {', '.join(sorted(events))}")


def refuse(chart: type[StateChart[Any]], faults: Collection[str]) -> None:
    """Raises: TypeError: there are *faults*; the message names *chart* and lists them."""
    if faults:
        raise TypeError(f"{chart.__name__} chart: " + "; ".join(sorted(faults)))


def contradictions(chart: ChartModel) -> Iterator[str]:
    """What *chart* declares that means something else to the library than to a reader."""
    ids = [state.id for state in chart.states]
    for name in model.callbacks(chart) & {*ids, *chart.events}:
        yield f"{name}: also a state or event"
    for name in {name for name in ids if ids.count(name) > 1}:
        yield f"{name}: state id used twice"
    for edge in chart.edges:
        if not (edge.event + edge.guard or edge.default):
            yield f"{edge.source}: transition without event or guard"


def gaps(chart: ChartModel, actor: object) -> Iterator[str]:
    """The methods that *chart* names and *actor* lacks, and those that the library would call though no chart names them."""
    for name in model.callbacks(chart):
        method = inspect.getattr_static(type(actor), name, None)
        if not inspect.isfunction(method) or inspect.iscoroutinefunction(method):
            yield f"{name}: {type(actor).__name__} needs a plain method of that name"
    # The library looks at what dir() shows, and never at `__getattr__`.
    for name in dir(actor):
        if name.startswith(_CONVENTIONS):
            yield f"{name}: would be called by naming convention"
