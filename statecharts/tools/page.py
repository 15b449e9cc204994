"""A chart as a Markdown page: its question, the picture, the tables, and why it is so."""

from collections.abc import Iterator

from statecharts.model import ChartModel, StateModel
from statecharts.tools import grid, labels


def render(chart: ChartModel, ignored: grid.Ignored, prose: str) -> str:
    """The page of *chart*. *prose*: its module's docstring; the first line is the question that the chart answers."""
    question, _, reasons = prose.strip().partition("\n")
    sections = [
        f"# {chart.name}",
        f"{question} {chart.doc}",
        f"![The {chart.name} chart]({chart.name.lower()}.svg)",
        "## Transitions",
        "\n".join(_transitions(chart)),
        "## States and events",
        _HOW_TO_READ,
        "\n".join(_cells(chart, ignored)),
        "## Why",
        reasons.strip(),
    ]
    return "\n\n".join(sections) + "\n"


_HOW_TO_READ = """\
Where an event leads from each state: `stays` only runs actions, `ignored` is ignored on purpose. An empty cell is a bug: the
binding reports the event with the state and what would have been allowed. Of states active together one filled cell is enough."""


def _transitions(chart: ChartModel) -> Iterator[str]:
    yield "| state | event | guard | target | actions |"
    yield "|---|---|---|---|---|"
    for state in chart.states:
        yield _row(f"**{_path(chart, state)}**", "", "", "", _life(state))
        for edge in chart.edges:
            if edge.source == state.id:
                targets = ", ".join(_path(chart, chart.state(target)) for target in edge.targets)
                guard = labels.guard(chart, edge).strip("[]")
                yield _row("", f"`{labels.event(edge)}`", guard, targets or "stays", ", ".join(edge.actions))


def _cells(chart: ChartModel, ignored: grid.Ignored) -> Iterator[str]:
    leaves = [leaf for leaf in grid.leaves(chart) if chart.state(leaf).kind != "final"]
    yield _row("event", *(chart.state(leaf).name for leaf in leaves))
    yield "|---" * (len(leaves) + 1) + "|"
    for event in chart.events:
        yield _row(f"`{event}`", *(_cell(chart, ignored, leaf, event) for leaf in leaves))


def _cell(chart: ChartModel, ignored: grid.Ignored, leaf: str, event: str) -> str:
    """Where *event* leads from *leaf*: an inner state's transition hides its box's, unless a guard can refuse it."""
    outcomes: list[str] = []
    for edge in grid.candidates(chart, leaf, event):
        outcomes.append(" ".join(chart.state(target).name for target in edge.targets) or "stays")
        if not edge.guard:
            break
    return " or ".join(dict.fromkeys(outcomes)) or ("ignored" if grid.is_ignored(chart, ignored, leaf, event) else "")


def _path(chart: ChartModel, state: StateModel) -> str:
    return " · ".join(chart.state(box).name for box in reversed(grid.around(chart, state.id)))


def _life(state: StateModel) -> str:
    parts = [f"entry: {', '.join(state.entry)}"] if state.entry else []
    return "; ".join(parts + ([f"exit: {', '.join(state.exit)}"] if state.exit else []))


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
