"""The task strip: which tasks and timers live in which state.

Followed through the chart from its beginning, arrow by arrow: exits, actions, entries, and the events that end something. States
active together are followed each for itself. A bar that goes on in a state which should not have it is a leak.
"""

from collections.abc import Iterator

from statecharts import model
from statecharts.model import ChartModel, EdgeModel, StateModel, TaskModel
from statecharts.tools.drawing import grid, nesting
from statecharts.tools.drawing.markdown import row, rule

ALWAYS, SOMETIMES, NEVER = "████", "░░░░", ""

_PAIRS = (
    ("arm", "disarm"),
    ("start", "stop"),
    ("begin", "end"),
    ("open", "close"),
    ("watch", "unwatch"),
    ("acquire", "release"),
    ("subscribe", "unsubscribe"),
    ("schedule", "cancel"),
)


def tasks(chart: ChartModel) -> tuple[TaskModel, ...]:
    """What the chart declares as its tasks; without a declaration, actions in pairs such as `arm_x` and `disarm_x`."""
    return chart.tasks or tuple(_guessed(chart))


def lives(chart: ChartModel, task: TaskModel) -> dict[str, frozenset[bool]]:
    """For each leaf that can be reached: whether *task* may be alive there, and whether it may not."""
    return _Walk(chart, task).lives


def render(chart: ChartModel) -> str:
    """The strip as a Markdown table; "" for a chart without tasks."""
    return "\n".join(_rows(chart))


def _rows(chart: ChartModel) -> Iterator[str]:
    columns = grid.leaves(chart)
    bars = {task.name: [_bar(lives(chart, task).get(leaf)) for leaf in columns] for task in tasks(chart)}
    bars.update({name: _invoked(chart, name, columns) for state in chart.states for name in state.invoke})
    if bars:
        yield row("", *(chart.state(leaf).name for leaf in columns))
        yield rule(len(columns) + 1)
    for name, cells in bars.items():
        yield row(name, *cells)


def _bar(alive: frozenset[bool] | None) -> str:
    if not alive or alive == {False}:
        return NEVER
    return ALWAYS if alive == {True} else SOMETIMES


def _invoked(chart: ChartModel, name: str, columns: list[str]) -> list[str]:
    owners = {state.id for state in chart.states if name in state.invoke}
    return [ALWAYS if owners.intersection(grid.around(chart, leaf)) else NEVER for leaf in columns]


def _guessed(chart: ChartModel) -> Iterator[TaskModel]:
    names = model.actions(chart)
    for name in sorted(names):
        verb, _, thing = name.partition("_")
        for begin, end in _PAIRS:
            if verb == begin and thing and f"{end}_{thing}" in names:
                yield TaskModel(thing.replace("_", " "), (name,), (f"{end}_{thing}",))


class _Walk:
    """One task through the whole chart, until nothing new is learnt."""

    def __init__(self, chart: ChartModel, task: TaskModel) -> None:
        self.chart = chart
        self.task = task
        self.lives: dict[str, frozenset[bool]] = {}
        self._enter([state for state in nesting.children(chart, None) if state.initial], alive=False)
        while self._step():
            pass

    def _step(self) -> bool:
        """Every arrow from what is known; whether something was learnt."""
        before = dict(self.lives)
        for leaf, alive in before.items():
            for source in grid.around(self.chart, leaf):
                for edge in self.chart.edges:
                    if edge.source == source:
                        for here in alive:
                            self._take(leaf, edge, alive=here)
        return before != self.lives

    def _take(self, leaf: str, edge: EdgeModel, *, alive: bool) -> None:
        if not edge.targets:
            self._learn(leaf, self._after(alive, (edge.event, *edge.actions)))
            return
        for target in edge.targets:
            around = grid.around(self.chart, target)
            shared = self._domain(edge, target)
            left = [name for name in grid.around(self.chart, leaf) if name not in shared]
            exits = [action for name in left for action in self.chart.state(name).exit]
            entered = [self.chart.state(name) for name in reversed(around) if name not in shared]
            entries = [action for state in entered[:-1] for action in state.entry]
            words = (edge.event, *exits, *edge.actions, *entries)
            self._enter(entered[-1:], alive=self._after(alive, words))

    def _domain(self, edge: EdgeModel, target: str) -> list[str]:
        """The boxes that *edge* does not leave."""
        outside = nesting.ancestors(self.chart, edge.source)
        if edge.internal and edge.source in nesting.ancestors(self.chart, target):
            outside = grid.around(self.chart, edge.source)
        return [box for box in outside if box in nesting.ancestors(self.chart, target)]

    def _enter(self, states: list[StateModel], *, alive: bool) -> None:
        for state in states:
            here = self._after(alive, state.entry)
            if state.is_history and state.parent:
                beside = nesting.children(self.chart, state.parent)
                self._enter([other for other in beside if not other.is_history], alive=here)
                continue
            inner = nesting.children(self.chart, state.id)
            if inner:
                self._enter([child for child in inner if child.initial], alive=here)
            else:
                self._learn(state.id, here)

    def _after(self, alive: bool, words: tuple[str, ...]) -> bool:
        for word in words:
            alive = word in self.task.begins or (alive and word not in self.task.ends)
        return alive

    def _learn(self, leaf: str, alive: bool) -> None:
        self.lives[leaf] = self.lives.get(leaf, frozenset()) | {alive}
