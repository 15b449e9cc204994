"""What each state does with each event: every pair has a cell."""

from collections.abc import Iterator

from statecharts.model import ChartModel, EdgeModel
from statecharts.tools.drawing import nesting
from statecharts.tools.drawing.markdown import row, rule


def leaves(chart: ChartModel) -> list[str]:
    """Ids of the states without substates. History states do not count: a chart is never in one."""
    parents = {state.parent for state in chart.states}
    return [state.id for state in chart.states if state.id not in parents and not state.is_history]


def around(chart: ChartModel, state_id: str) -> list[str]:
    """*state_id* and the states that enclose it, innermost first: the order in which the engine asks them."""
    return [state_id, *nesting.ancestors(chart, state_id)]


def candidates(chart: ChartModel, leaf: str, event: str) -> list[EdgeModel]:
    """The transitions that *event* may take while *leaf* is active, in the order in which they are tried."""
    return [
        edge for source in around(chart, leaf) for edge in chart.edges if (edge.source, edge.event) == (source, event)
    ]


def is_ignored(chart: ChartModel, leaf: str, event: str) -> bool:
    """Whether *event* means nothing in *leaf*, on purpose."""
    return any({event, "*"}.intersection(chart.ignored.get(source, ())) for source in around(chart, leaf))


def allowed(chart: ChartModel, leaf: str) -> list[str]:
    """The events that *leaf* has a transition for, its boxes' included."""
    return [event for event in chart.events if candidates(chart, leaf, event)]


def render(chart: ChartModel) -> str:
    """The grid as a Markdown page."""
    sections = [f"# {chart.name}: every state, every event", _HOW_TO_READ, "\n".join(_cells(chart))]
    return "\n\n".join([*sections, "## What a refusal would allow", "\n".join(_allowances(chart))]) + "\n"


_HOW_TO_READ = """\
Where an event leads from each state. `stays`: only actions run. `ignored`: on purpose, and listed in the chart. **refused**: no
transition and not ignored: a bug of the sender, which is reported with the state, the event and what would have been allowed.
`·`: decided in another region, which is active at the same time."""


def _cells(chart: ChartModel) -> Iterator[str]:
    columns = _columns(chart)
    yield row("event", *(chart.state(leaf).name for leaf in columns))
    yield rule(len(columns) + 1)
    for event in chart.events:
        yield row(f"`{event}`", *(_cell(chart, leaf, event) for leaf in columns))


def _columns(chart: ChartModel) -> list[str]:
    """The states in which something is left to happen."""
    return [leaf for leaf in leaves(chart) if chart.state(leaf).kind != "final" or chart.state(leaf).parent]


def _cell(chart: ChartModel, leaf: str, event: str) -> str:
    """An inner state's transition hides its box's, unless a guard can refuse it."""
    outcomes: list[str] = []
    for edge in candidates(chart, leaf, event):
        where = " ".join(chart.state(target).name for target in edge.targets) or "stays"
        outcomes.append(f"{where} [{edge.guard}]" if edge.guard else where)
        if not edge.guard:
            break
    else:
        outcomes.append(_last(chart, leaf, event))
    return ", else ".join(outcomes)


def _last(chart: ChartModel, leaf: str, event: str) -> str:
    """What becomes of *event* where no transition of *leaf* took it."""
    if is_ignored(chart, leaf, event):
        return "ignored"
    elsewhere = (other for other in leaves(chart) if nesting.together(chart, leaf, other))
    return "·" if any(candidates(chart, other, event) for other in elsewhere) else "**refused**"


def _allowances(chart: ChartModel) -> Iterator[str]:
    yield row("state", "events")
    yield rule(2)
    for leaf in _columns(chart):
        names = (f"`{event}`" for event in sorted(allowed(chart, leaf)))
        yield row(nesting.path(chart, leaf), ", ".join(names) or "none")
