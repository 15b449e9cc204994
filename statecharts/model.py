"""A chart class as plain data, which checks, tables, pictures, comparisons and coverage are made from.

Any `StateChart` or `StateMachine` class can be read. A class may say more, in what the library does not look at: `ignored` (state
id → events that mean nothing there, on purpose; "*": every event), `tasks` (what lives in which states, see `TaskModel`), and the
docstrings of the class and of its module. This file imports the library and no other file of this package, so that a process which
reads the charts of another revision can run it.
"""

import inspect
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from statemachine import HistoryState, State

_OPERATORS = {"!": "not ", "^": " and ", "v": " or "}
"""Signs that the library takes in a guard, and Python's own words for them."""

Kind = Literal["atomic", "compound", "parallel", "region", "final", "history", "deep history"]


@dataclass(frozen=True, slots=True)
class StateModel:
    """A state. `entry`, `exit`: names of actions, in the order in which they run; `invoke`: what the library runs while in it."""

    id: str
    name: str
    parent: str | None
    kind: Kind
    initial: bool
    entry: tuple[str, ...] = ()
    exit: tuple[str, ...] = ()
    invoke: tuple[str, ...] = ()

    @property
    def is_history(self) -> bool:
        """Whether this stands for the substate that was active when the state around it was last left (deep: for all of them)."""
        return self.kind in ("history", "deep history")


@dataclass(frozen=True, slots=True)
class EdgeModel:
    """A transition under one of its events ("" for an eventless one). No targets: the state stays, only actions run.

    `actions` run between exit and entry (those the library calls validators, before, on), `after` once the target is entered.
    *default*: where a history state leads as long as the state around it has never been left; no event takes it.
    """

    source: str
    event: str
    guard: str
    targets: tuple[str, ...]
    actions: tuple[str, ...]
    after: tuple[str, ...] = ()
    internal: bool = False
    default: bool = False


@dataclass(frozen=True, slots=True)
class TaskModel:
    """A task or timer: the actions or events that begin it, and those that end it.

    A chart's `tasks` gives them as names with blanks between: `{"dial loop": ("dial", "link_ready release_all")}`.
    """

    name: str
    begins: tuple[str, ...]
    ends: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ChartModel:
    """A whole chart, states and edges in the order of their declaration. `doc` and `prose`: the docstrings of class and module."""

    name: str
    doc: str
    prose: str
    states: tuple[StateModel, ...]
    edges: tuple[EdgeModel, ...]
    tasks: tuple[TaskModel, ...]
    ignored: Mapping[str, tuple[str, ...]]

    def state(self, state_id: str) -> StateModel:
        """The state with this id. Raises: KeyError."""
        for state in self.states:
            if state.id == state_id:
                return state
        raise KeyError(state_id)

    @property
    def events(self) -> tuple[str, ...]:
        """The name of every event, once, in the order of declaration."""
        return tuple(dict.fromkeys(edge.event for edge in self.edges if edge.event))


def read(chart: type[Any]) -> ChartModel:
    """Read *chart*, a `StateChart` class, on every level. Makes no instance of it."""
    states = list(every_state(chart.states))
    return ChartModel(
        name=chart.__name__,
        doc=inspect.cleandoc(chart.__dict__.get("__doc__") or ""),
        prose=(sys.modules[chart.__module__].__doc__ or "").strip() if chart.__module__ in sys.modules else "",
        states=tuple(_state(chart, state) for state in states),
        edges=tuple(edge for state in states for edge in _edges(chart, state)),
        tasks=tuple(
            TaskModel(name, tuple(begins.split()), tuple(ends.split()))
            for name, (begins, ends) in further(chart, "tasks").items()
        ),
        ignored={state: tuple(sorted(events)) for state, events in further(chart, "ignored").items()},
    )


def every_state(states: Iterable[State]) -> Iterator[State]:
    """*states* and all their substates, each state before its own."""
    for state in states:
        yield state
        yield from every_state(state.states)
        yield from every_state(state.history)


def further(chart: type[Any], name: Literal["tasks", "ignored"]) -> Mapping[str, Any]:
    """The mapping that *chart* has under *name*; empty if it has none, or if the name is that of a state, for example."""
    said = getattr(chart, name, None)
    return said if isinstance(said, Mapping) else {}


def to_json(chart: ChartModel) -> str:
    """*chart* as JSON text, the same bytes for the same chart."""
    return json.dumps(asdict(chart), indent=2, ensure_ascii=False) + "\n"


def from_json(text: str) -> ChartModel:
    """The chart of which `to_json` made *text*. Raises: ValueError, KeyError, TypeError: *text* is something else."""
    data = json.loads(text)
    kinds = {"states": StateModel, "edges": EdgeModel, "tasks": TaskModel}
    parts = {name: tuple(kind(**_frozen(item)) for item in data[name]) for name, kind in kinds.items()}
    ignored = {state: tuple(events) for state, events in data["ignored"].items()}
    known = {field.name: data[field.name] for field in fields(ChartModel)}
    return ChartModel(**{**known, **parts, "ignored": ignored})


def actions(chart: ChartModel) -> set[str]:
    """The names of all actions: of entries, exits and transitions."""
    named = {name for state in chart.states for name in state.entry + state.exit}
    return named | {name for edge in chart.edges for name in edge.actions + edge.after}


def guards(chart: ChartModel) -> set[str]:
    """The names of all guards, without `not`. `In('state')` is none of them: it asks the chart itself."""
    asked = (re.sub(r"\bIn\([^)]*\)", "", edge.guard) for edge in chart.edges)
    return {word for guard in asked for word in re.findall(r"[^\W\d]\w*", guard)} - {"and", "or", "not"}


def callbacks(chart: ChartModel) -> set[str]:
    """The names of all actions and guards: the methods that an actor needs."""
    return actions(chart) | guards(chart)


def event_names(transition: Any) -> list[str]:
    """The events of *transition* as the chart names them: `error_execution`, not the `error.execution` that the library adds.

    [""] for an eventless one.
    """
    ids = [str(event) for event in transition.events]
    return [event for event in ids if not ("." in event and event.replace(".", "_") in ids)] or [""]


def callback_names(group: Iterable[Any], chart: type[Any] | None = None) -> tuple[str, ...]:
    """The callbacks of *group* by name: the explicit ones and, where *chart* is given, those by naming convention that it has.

    A negated guard is written `not name`.
    """
    return tuple(
        _wording(spec) for spec in group if not spec.is_convention or callable(getattr(chart, spec.attr_name, None))
    )


def _wording(spec: Any) -> str:
    name = str(spec.attr_name).replace("<lambda>", "λ")
    if spec.may_contain_boolean_expression:
        name = re.sub(r"!(?!=)|\^|\bv\b", lambda sign: _OPERATORS[sign[0]], name)
        name = " ".join(name.split())
    if spec.is_event:  # the library keeps a decorated function under `_event_`
        name = name.strip("_")
    if spec.expected_value is not False:
        return name
    return f"not {name}" if name.isidentifier() else f"not ({name})"


def _frozen(item: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in item.items()}


def _state(chart: type[Any], state: State) -> StateModel:
    return StateModel(
        id=state.id,
        name=" ".join(str(state.name).split()),
        parent=state.parent.id if state.parent else None,
        kind=_kind(state),
        initial=bool(state.initial),
        entry=callback_names(state.enter, chart),
        exit=callback_names(state.exit, chart),
        invoke=callback_names(state.invoke, chart),
    )


def _kind(state: State) -> Kind:
    if isinstance(state, HistoryState):
        return "deep history" if state.type.is_deep else "history"
    if state.final:
        return "final"
    if state.parallel:
        return "parallel"
    if state.parent and state.parent.parallel:
        return "region"
    return "compound" if state.states else "atomic"


def _edges(chart: type[Any], state: State) -> Iterable[EdgeModel]:
    for transition in state.transitions:
        if transition.initial:
            continue
        first = (transition.validators, transition.before, transition.on)
        default = isinstance(state, HistoryState)
        for event in [""] if default else event_names(transition):
            yield EdgeModel(
                source=state.id,
                event=event,
                guard=_conjunction(callback_names(transition.cond, chart)),
                targets=tuple(target.id for target in transition.targets if target is not None),
                actions=tuple(name for group in first for name in callback_names(group, chart)),
                after=callback_names(transition.after, chart),
                internal=bool(transition.internal),
                default=default,
            )


def _conjunction(guards: tuple[str, ...]) -> str:
    alone = len(guards) == 1
    return " and ".join(f"({guard})" if " or " in guard and not alone else guard for guard in guards)
