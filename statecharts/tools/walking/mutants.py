"""Charts that are wrong in one place each, made from a chart that is right: tests that pass with one of them have missed something.

Dropped: each action, each transition; of a state that has both, all entry or all exit actions. Changed: each target, to each of its
siblings; each guard, to its opposite. The library or the binding may refuse such a chart; that is not looked at here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from statecharts.model import ChartModel, EdgeModel, StateModel
from statecharts.tools.drawing import nesting
from statecharts.tools.walking.naming import names

Kind: TypeAlias = Literal["action dropped", "pair broken", "transition dropped", "retargeted", "guard inverted"]
Part: TypeAlias = Literal["entry", "exit", "actions", "after"]


@dataclass(frozen=True, slots=True)
class Mutant:
    """A changed *chart*. *name* says what is changed, and is the same whatever else the chart declares.

    *touched*: the transitions of the chart that was right which run through the change.
    """

    name: str
    kind: Kind
    chart: ChartModel
    touched: tuple[EdgeModel, ...]


def mutants(chart: ChartModel) -> Iterator[Mutant]:
    """Every mutant of *chart*, no two with the same chart."""
    seen: list[ChartModel] = []
    for mutant in _all(chart):
        if mutant.chart not in seen:
            seen.append(mutant.chart)
            yield mutant


def _all(chart: ChartModel) -> Iterator[Mutant]:
    for state in chart.states:
        yield from _of_state(chart, state)
    for edge, name in names(chart).items():
        yield from _of_edge(chart, edge, name)


def _of_state(chart: ChartModel, state: StateModel) -> Iterator[Mutant]:
    entered = tuple(edge for edge in chart.edges if any(_meet(chart, state.id, target) for target in edge.targets))
    left = tuple(edge for edge in chart.edges if edge.targets and _meet(chart, state.id, edge.source))
    paired = bool(state.entry and state.exit)
    parts: tuple[tuple[Part, tuple[str, ...], tuple[EdgeModel, ...]], ...] = (
        ("entry", state.entry, entered),
        ("exit", state.exit, left),
    )
    for part, actions, touched in parts:
        name = f"{chart.name}: {part} of {state.id}"
        for action, rest in _shortened(actions):
            changed = _with_state(chart, state, part, rest)
            yield Mutant(f"{name} without {action}", "pair broken" if paired else "action dropped", changed, touched)
        if paired:
            yield Mutant(f"{name} without any action", "pair broken", _with_state(chart, state, part, ()), touched)


def _of_edge(chart: ChartModel, edge: EdgeModel, name: str) -> Iterator[Mutant]:
    def made(what: str, kind: Kind, *instead: EdgeModel) -> Mutant:
        return Mutant(f"{name} {what}", kind, _with_edge(chart, edge, instead), (edge,))

    for action, rest in _shortened(edge.actions):
        yield made(f"without {action}", "action dropped", replace(edge, actions=rest))
    for action, rest in _shortened(edge.after):
        yield made(f"without {action}", "action dropped", replace(edge, after=rest))
    yield made("dropped", "transition dropped")
    for target, sibling in _detours(chart, edge):
        targets = tuple(sibling if each == target else each for each in edge.targets)
        yield made(f"to {', '.join(targets)} instead", "retargeted", replace(edge, targets=targets))
    if edge.guard:
        yield made("with its guard inverted", "guard inverted", replace(edge, guard=_opposite(edge.guard)))


def _meet(chart: ChartModel, one: str, other: str) -> bool:
    """Whether one of the two states is the other, or lies in it."""
    return one in (other, *nesting.ancestors(chart, other)) or other in nesting.ancestors(chart, one)


def _shortened(actions: Sequence[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each action, and the others; one that comes again, with its number."""
    for index, action in enumerate(actions):
        before = actions[:index].count(action)
        yield f"{action} #{before + 1}" if before else action, (*actions[:index], *actions[index + 1 :])


def _detours(chart: ChartModel, edge: EdgeModel) -> Iterator[tuple[str, str]]:
    for target in edge.targets:
        for sibling in nesting.children(chart, chart.state(target).parent):
            if sibling.id not in edge.targets:
                yield target, sibling.id


def _opposite(guard: str) -> str:
    negated = guard.removeprefix("not ")
    if negated.isidentifier():
        return negated if negated != guard else f"not {guard}"
    return f"not ({guard})"


def _with_state(chart: ChartModel, state: StateModel, part: Part, actions: tuple[str, ...]) -> ChartModel:
    changed = replace(state, entry=actions) if part == "entry" else replace(state, exit=actions)
    return replace(chart, states=tuple(changed if each is state else each for each in chart.states))


def _with_edge(chart: ChartModel, edge: EdgeModel, instead: tuple[EdgeModel, ...]) -> ChartModel:
    return replace(chart, edges=tuple(new for each in chart.edges for new in (instead if each is edge else (each,))))
