"""What a table cannot say, of all that the library lets a chart declare.

A table knows states side by side, transitions that one named event each sets off, guards and actions by name. Whatever else a chart
declares would run on the library's engine and not in the table, so it is refused by name.
"""

import functools
import inspect
import keyword
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

from statemachine import Event, State, StateChart

from statecharts import model
from statecharts.model import ChartModel

_MISSING = object()


def beyond(chart: type[StateChart[Any]], plain: ChartModel) -> Iterator[str]:
    """What of *chart*, read as *plain*, is more than a table can say: where it stands, and what it is."""
    if not plain.states:
        yield "no states"
    yield from _class(chart, plain)
    yield from _events(chart, plain)
    for state in chart.states:
        kind = plain.state(state.id).kind
        if kind in ("atomic", "final"):
            yield from _state(state)
            yield from (fault for transition in state.transitions for fault in _transition(transition))
        else:
            yield f"{state.id}: {kind}, and only flat states compile"


# -- the class -------------------------------------------------------------------------------------------------------------------


def _class(chart: type[StateChart[Any]], plain: ChartModel) -> Iterator[str]:
    names = {state.id for state in plain.states} | set(plain.events)
    smallest = _smallest()
    library = set(dir(smallest())) - {"only", "note"}
    for name in library & names:
        yield f"{name}: the library's charts have an attribute of that name"
    for name in library - vars(smallest).keys() - names:
        if _static(chart, name) is not _static(StateChart, name):
            yield f"{name}: not as StateChart has it"
    for name in (model.callbacks(plain) - names | _conventions(chart)) & (library | set(dir(chart))):
        yield f"{name}: an attribute of the chart class, which the library would use"
    if any(vars(base).get("listeners") for base in chart.__mro__):
        yield "listeners: declared by the chart class"
    if len(chart.states_map) < len(plain.states):
        yield "two states have the same value"


@functools.cache
def _smallest() -> type[StateChart[Any]]:
    """A chart with only what every chart has. Not made on import, which has to work with any release of the library."""

    class Smallest(StateChart[Any]):
        """A state."""

        note: ClassVar[str] = ""
        only = State(initial=True, final=True)

    return Smallest


def _static(chart: type[StateChart[Any]], name: str) -> object:
    return inspect.getattr_static(chart, name, _MISSING)


def _conventions(chart: type[StateChart[Any]]) -> set[str]:
    """The names that the library looks for without being told."""
    groups = [group for state in chart.states for group in (state.enter, state.exit, state.invoke)]
    for state in chart.states:
        for transition in state.transitions:
            groups += [transition.before, transition.on, transition.after]
    return {"prepare_event"} | {spec.attr_name for group in groups for spec in group if spec.is_convention}


# -- events ----------------------------------------------------------------------------------------------------------------------


def _events(chart: type[StateChart[Any]], plain: ChartModel) -> Iterator[str]:
    for name in plain.events:
        event = _static(chart, name)
        if isinstance(event, Event) and (event.delay or event.internal):
            yield f"{name}: an event that is delayed or internal"


# -- states and transitions ------------------------------------------------------------------------------------------------------


def _state(state: State) -> Iterator[str]:
    if invoked := model.callback_names(state.invoke):
        yield f"{state.id}: invokes {', '.join(invoked)}"
    entry = model.callback_names(state.enter)
    if state.initial and entry:
        yield f"{state.id}: the initial state has entry actions ({', '.join(entry)}), and a table is not started"
    yield from _nameless(state.id, (*state.enter, *state.exit))


def _transition(transition: Any) -> Iterator[str]:
    events = [str(event) for event in transition.events]
    targets = ", ".join(target.id for target in transition.targets) or "(stays)"
    where = f"{transition.source.id} --{' '.join(events) or '(always)'}--> {targets}"
    flags = {
        "without an event": transition.is_eventless,
        "internal": transition.internal,
        "initial": transition.initial,
        "with more than one target": len(transition.targets) > 1,
    }
    yield from (f"{where}: {flag}" for flag, is_so in flags.items() if is_so)
    for event in events:
        if not event.isidentifier():
            yield f"{where}: {event!r} is a pattern, or an event of the engine's own"
    for kind, group in (("validators", transition.validators), ("before", transition.before)):
        if names := model.callback_names(group):
            yield f"{where}: {kind} ({', '.join(names)})"
    yield from _nameless(where, (*transition.cond, *transition.on, *transition.after))
    for guard in (spec.func for spec in transition.cond if type(spec.func) is str):
        if not guard.isidentifier() or keyword.iskeyword(guard) or guard == "v":  # `v`: "or", to the library
            yield f"{where}: guard {guard!r} is not one method's name"


def _nameless(where: str, group: Iterable[Any]) -> Iterator[str]:
    """Those of *group*, guards or actions, that are functions, properties or events and not names."""
    for spec in group:
        if type(spec.func) is not str and not spec.is_convention:
            yield f"{where}: {spec.attr_name} is a {type(spec.func).__name__} and not a name"
