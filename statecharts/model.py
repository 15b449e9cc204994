"""A chart class as plain data: states and edges, for the binding's checks, tables, pictures and coverage."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from statemachine import State
from statemachine.graph import iterate_states

Kind = Literal["atomic", "compound", "parallel", "region", "final"]


@dataclass(frozen=True, slots=True)
class StateModel:
    """A state; `entry` and `exit` are action names in the order in which they run."""

    id: str
    name: str
    parent: str | None
    kind: Kind
    initial: bool
    entry: tuple[str, ...]
    exit: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EdgeModel:
    """A transition under one of its events ("" for an eventless one). No targets: the state stays, only actions run."""

    source: str
    event: str
    guard: str
    targets: tuple[str, ...]
    actions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ChartModel:
    """A whole chart, states and edges in the order of their declaration."""

    name: str
    doc: str
    states: tuple[StateModel, ...]
    edges: tuple[EdgeModel, ...]

    def state(self, state_id: str) -> StateModel:
        """The state with this id. Raises: KeyError."""
        for state in self.states:
            if state.id == state_id:
                return state
        raise KeyError(state_id)

    @property
    def events(self) -> tuple[str, ...]:
        """Every event once, eventless transitions left out."""
        return tuple(dict.fromkeys(edge.event for edge in self.edges if edge.event))


def read(chart: type[Any]) -> ChartModel:
    """Read *chart*, a `StateChart` class, on every level; nothing is instantiated."""
    states = list(iterate_states(chart.states))
    return ChartModel(
        name=chart.__name__,
        doc=(chart.__doc__ or "").strip(),
        states=tuple(_state(state) for state in states),
        edges=tuple(edge for state in states for edge in _edges(state)),
    )


def actions(chart: ChartModel) -> set[str]:
    """The names of all actions: of entries, exits and transitions."""
    named = {name for state in chart.states for name in state.entry + state.exit}
    return named | {name for edge in chart.edges for name in edge.actions}


def guards(chart: ChartModel) -> set[str]:
    """The names of all guards, without their negations."""
    return {name.removeprefix("not ") for edge in chart.edges for name in edge.guard.split(" and ") if name}


def event_names(transition: Any) -> list[str]:
    """The events of *transition* under the name a chart declares: `error_execution`, not its dotted twin; [""] for none."""
    ids = [str(event) for event in transition.events]
    return [event for event in ids if not ("." in event and event.replace(".", "_") in ids)] or [""]


def callback_names(group: Iterable[Any]) -> tuple[str, ...]:
    """The explicitly named callbacks of *group*; a negated guard is written `not name`."""
    named = (spec for spec in group if not spec.is_convention)
    return tuple(("not " if spec.expected_value is False else "") + spec.attr_name for spec in named)


def _state(state: State) -> StateModel:
    return StateModel(
        id=state.id,
        name=str(state.name),
        parent=state.parent.id if state.parent else None,
        kind=_kind(state),
        initial=bool(state.initial),
        entry=callback_names(state.enter),
        exit=callback_names(state.exit),
    )


def _kind(state: State) -> Kind:
    if state.final:
        return "final"
    if state.parallel:
        return "parallel"
    if state.parent and state.parent.parallel:
        return "region"
    return "compound" if state.states else "atomic"


def _edges(state: State) -> Iterable[EdgeModel]:
    for transition in state.transitions:
        if transition.initial:
            continue
        for event in event_names(transition):
            yield EdgeModel(
                source=state.id,
                event=event,
                guard=" and ".join(callback_names(transition.cond)),
                targets=tuple(target.id for target in transition.targets if target is not None),
                actions=callback_names(transition.before)
                + callback_names(transition.on)
                + callback_names(transition.after),
            )
