"""Two versions of a chart as one: the union of both, what is marked in it, and the list of changes.

States with the same id are the same. Transitions are paired by what they have in common, the most alike first: everything; all but
the actions; source, event and target; source, event and guard. The rest was added or removed. The union keeps the new chart's
order, and what was removed stands where it was. Within a changed state or transition, names of actions and guards carry their own
signs.
"""

import difflib
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal, TypeAlias, TypeVar

from statecharts.model import ChartModel, EdgeModel, StateModel, TaskModel
from statecharts.tools.drawing import labels, nesting
from statecharts.tools.drawing.marks import ADDED, CHANGED, REMOVED, Mark

Subject = Literal["state", "transition", "order", "ignored list", "task"]
T = TypeVar("T")
Pair: TypeAlias = tuple[T | None, T | None]

_ALIKE: tuple[Callable[[EdgeModel], Hashable], ...] = (
    lambda edge: edge,
    lambda edge: (edge.source, edge.event, edge.guard, edge.targets),
    lambda edge: (edge.source, edge.event, edge.targets),
    lambda edge: (edge.source, edge.event, edge.guard),
)


@dataclass(frozen=True, slots=True)
class Change:
    """A difference. *where*: a state, behind those around it; *what*: the thing there; *how*: what changed in it, or what it is."""

    mark: Mark
    subject: Subject
    where: str
    what: str
    how: str


@dataclass(frozen=True, slots=True)
class Diff:
    """*union* holds both charts, *marks* says what in it was added, removed or changed. No changes: the charts are the same."""

    old: ChartModel
    new: ChartModel
    union: ChartModel
    marks: dict[StateModel | EdgeModel, Mark]
    changes: tuple[Change, ...]


def diff(old: ChartModel | None, new: ChartModel | None) -> Diff:
    """Compare two versions of a chart, of which one may not exist. Raises: ValueError: neither exists."""
    present = new or old
    if present is None:
        raise ValueError("neither chart exists")
    nothing = replace(present, states=(), edges=(), tasks=(), ignored={})
    return _Comparison(old or nothing, new or nothing).result(present)


class _Comparison:
    """Compares two charts."""

    def __init__(self, old: ChartModel, new: ChartModel) -> None:
        self.old = old
        self.new = new
        self.states = _woven(_by_key(old.states, new.states, lambda state: state.id), old.states)
        self.edges = _woven(_paired(old.edges, new.edges), old.edges)

    def result(self, present: ChartModel) -> Diff:
        states = [_state(*pair) for pair in self.states]
        edges = [item for pair in self.edges for item in self._edge(*pair)]
        union = replace(present, states=tuple(state for state, _ in states), edges=tuple(edge for edge, _ in edges))
        marks: dict[StateModel | EdgeModel, Mark] = {}
        marks.update((state, mark) for state, mark in states if mark)
        marks.update((edge, mark) for edge, mark in edges if mark)
        return Diff(self.old, self.new, union, marks, tuple(self._changes()))

    def _edge(self, old: EdgeModel | None, new: EdgeModel | None) -> Iterator[tuple[EdgeModel, Mark | None]]:
        """What the union shows of a pair; a transition that has another target now is shown with both."""
        if old and new and old.targets == new.targets:
            yield (_between(old, new), CHANGED) if old != new else (self._worded(self.new, new), None)
            return
        if old:
            yield self._worded(self.old, old), REMOVED
        if new:
            yield self._worded(self.new, new), ADDED

    def _worded(self, chart: ChartModel, edge: EdgeModel) -> EdgeModel:
        """*edge*, with its guard in words: "else" among its own candidates, for in the union others may stand before it."""
        return replace(edge, guard=labels.guard(chart, edge).strip("[]"))

    def _changes(self) -> Iterator[Change]:
        for old, new in self.states:
            state = _either(old, new).id
            where = nesting.path(self.new if new else self.old, state)
            if how := self._state_change(old, new):
                yield Change(_mark(old, new), "state", where, "state", how)
            for pair in self.edges:
                if any(edge and edge.source == state for edge in pair):
                    yield from self._edge_change(where, *pair)
            yield from self._order_changes(where, state)
            if old and new:
                yield from self._ignored_change(where, state)
        yield from self._task_changes()

    def _state_change(self, old: StateModel | None, new: StateModel | None) -> str:
        if old and new:
            return "; ".join(self._differences(old, new))
        state, chart = _either(old, new), self.new if new else self.old
        facts = {"entry": state.entry, "exit": state.exit, "invoke": state.invoke}
        facts["ignores"] = chart.ignored.get(state.id, ())
        words = ["initial " * state.initial + state.kind, *(f"{k}: {', '.join(v)}" for k, v in facts.items() if v)]
        return "; ".join(words)

    def _differences(self, old: StateModel, new: StateModel) -> Iterator[str]:
        if old.name != new.name:
            yield f"renamed: {old.name} → {new.name}"
        if old.parent != new.parent:
            yield f"moved: {self._box(self.old, old)} → {self._box(self.new, new)}"
        if old.kind != new.kind:
            yield f"kind: {old.kind} → {new.kind}"
        if old.initial != new.initial:
            yield "now initial" if new.initial else "no longer initial"
        for when in ("entry", "exit", "invoke"):
            before, after = getattr(old, when), getattr(new, when)
            if before != after:
                yield f"{when}: {', '.join(_signed(before, after))}"

    def _box(self, chart: ChartModel, state: StateModel) -> str:
        return nesting.path(chart, state.parent) if state.parent else "top level"

    def _edge_change(self, where: str, old: EdgeModel | None, new: EdgeModel | None) -> Iterator[Change]:
        if old == new:
            return
        edge, chart = _either(old, new), self.new if new else self.old
        asked = old is None or new is None or old.guard == new.guard
        what = labels.join(f"`{labels.event(edge)}`", labels.guard(chart, edge) if asked else "")
        how = "; ".join(self._turns(old, new)) if old and new else self._course(chart, edge)
        yield Change(_mark(old, new), "transition", where, what, how)

    def _turns(self, old: EdgeModel, new: EdgeModel) -> Iterator[str]:
        if old.targets != new.targets:
            yield f"target: {_targets(self.old, old)} → {_targets(self.new, new)}"
        if old.guard != new.guard:
            yield f"guard: {labels.guard(self.old, old) or 'none'} → {labels.guard(self.new, new) or 'none'}"
        if old.actions != new.actions:
            yield f"actions: {', '.join(_signed(old.actions, new.actions))}"
        if old.after != new.after:
            yield f"then: {', '.join(_signed(old.after, new.after))}"
        if old.internal != new.internal:
            yield "now internal" if new.internal else "no longer internal"

    def _course(self, chart: ChartModel, edge: EdgeModel) -> str:
        where = f"→ {_targets(chart, edge)}" if edge.targets else "stays"
        return labels.join(where, labels.actions(edge))

    def _order_changes(self, where: str, state: str) -> Iterator[Change]:
        """The first candidate that holds is taken, so their order counts."""
        kept = [(old, new) for old, new in self.edges if old and new and new.source == state]
        for event in dict.fromkeys(new.event for _, new in kept):
            now = [pair for pair in kept if pair[1].event == event]
            was = sorted(now, key=lambda pair: _position(self.old.edges, pair[0]))
            if was != now:
                before = ", ".join(self._candidate(self.old, old) for old, _ in was)
                after = ", ".join(self._candidate(self.new, new) for _, new in now)
                what = f"`{event or '(always)'}`"
                yield Change(CHANGED, "order", where, what, f"tried in the order {before} → {after}")

    def _candidate(self, chart: ChartModel, edge: EdgeModel) -> str:
        return labels.guard(chart, edge) or _targets(chart, edge)

    def _ignored_change(self, where: str, state: str) -> Iterator[Change]:
        before, after = self.old.ignored.get(state, ()), self.new.ignored.get(state, ())
        if before != after:
            how = ", ".join(name for name in _signed(before, after) if name[0] in "+-")
            yield Change(CHANGED, "ignored list", where, "ignored", how)

    def _task_changes(self) -> Iterator[Change]:
        for old, new in _woven(_by_key(self.old.tasks, self.new.tasks, lambda task: task.name), self.old.tasks):
            if old != new:
                yield Change(
                    _mark(old, new),
                    "task",
                    "",
                    _either(old, new).name,
                    "; ".join(_spans(_either(new, old), _either(old, new))),
                )


def _spans(old: TaskModel, new: TaskModel) -> Iterator[str]:
    for when in ("begins", "ends"):
        names = _signed(getattr(old, when), getattr(new, when))
        yield f"{when}: {', '.join(names)}"


def _by_key(old: Iterable[T], new: Iterable[T], key: Callable[[T], Hashable]) -> list[Pair[T]]:
    known = {key(item): item for item in old}
    return [(known.get(key(item)), item) for item in new]


def _paired(old: Iterable[EdgeModel], new: Sequence[EdgeModel]) -> list[Pair[EdgeModel]]:
    """Each edge of *new* with its twin in *old*, if it has one."""
    left, twins = list(old), dict[int, EdgeModel]()
    for alike in _ALIKE:
        for edge in (edge for edge in new if id(edge) not in twins):
            twin = next((other for other in left if alike(other) == alike(edge)), None)
            if twin:
                left.remove(twin)
                twins[id(edge)] = twin
    return [(twins.get(id(edge)), edge) for edge in new]


def _woven(pairs: list[Pair[T]], old: Sequence[T]) -> list[Pair[T]]:
    """*pairs*, and what else was in *old*: each item behind the one that it followed there."""
    woven = list(pairs)
    for before, item in pairwise((None, *old)):
        if item is not None and not any(pair[0] is item for pair in woven):
            place = next((at for at, pair in enumerate(woven) if before is not None and pair[0] is before), -1)
            woven.insert(place + 1, (item, None))
    return woven


def _position(items: Sequence[T], item: T) -> int:
    return next(at for at, other in enumerate(items) if other is item)


def _either(old: T | None, new: T | None) -> T:
    """The newer of a pair, of which one may be missing."""
    item = old if new is None else new
    assert item is not None  # noqa: S101 - never both
    return item


def _mark(old: object | None, new: object | None) -> Mark:
    if old is None:
        return ADDED
    return CHANGED if new is not None else REMOVED


def _state(old: StateModel | None, new: StateModel | None) -> tuple[StateModel, Mark | None]:
    """What the union shows of a pair."""
    if old is None or new is None or old == new:
        return _either(old, new), None if old == new else _mark(old, new)
    between = replace(
        new,
        name=new.name if old.name == new.name else f"{old.name} → {new.name}",
        entry=_signed(old.entry, new.entry),
        exit=_signed(old.exit, new.exit),
        invoke=_signed(old.invoke, new.invoke),
    )
    return between, CHANGED


def _between(old: EdgeModel, new: EdgeModel) -> EdgeModel:
    """Two transitions with the same ends as one."""
    guards = [f"{mark.sign}{edge.guard}" for mark, edge in ((REMOVED, old), (ADDED, new)) if edge.guard]
    return replace(
        new,
        guard=new.guard if old.guard == new.guard else " ".join(guards),
        actions=_signed(old.actions, new.actions),
        after=_signed(old.after, new.after),
    )


def _signed(old: Sequence[str], new: Sequence[str]) -> tuple[str, ...]:
    """Both lists as one, what is gone and what is new with its sign."""
    return tuple(_signs(old, new))


def _signs(old: Sequence[str], new: Sequence[str]) -> Iterator[str]:
    for kind, a, b, c, d in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind == "equal":
            yield from new[c:d]
        else:
            yield from (f"{REMOVED.sign}{name}" for name in old[a:b])
            yield from (f"{ADDED.sign}{name}" for name in new[c:d])


def _targets(chart: ChartModel, edge: EdgeModel) -> str:
    return ", ".join(nesting.path(chart, target) for target in edge.targets) or "stays"
