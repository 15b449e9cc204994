"""A chart as a Markdown page: its question, the picture, what to see first, the tables, and why it is so."""

from collections.abc import Iterator

from statecharts.model import ChartModel, StateModel
from statecharts.tools.drawing import labels, nesting, strip
from statecharts.tools.drawing.markdown import row, rule


def render(chart: ChartModel, *, picture: str = "", more: str = "") -> str:
    """The page of *chart*. The first line of its module's docstring is the question that it answers, its own docstring says what
    to see first. *picture*: an image's address; *more*: a line of links under it."""
    question, _, reasons = chart.prose.partition("\n")
    sections = [
        f"# {chart.name}",
        question,
        picture and f"![The {chart.name} chart]({picture})",
        chart.doc,
        more,
        "## Transitions",
        transitions(chart),
        *_strip(chart),
        *(["## Why", reasons.strip()] if reasons.strip() else []),
    ]
    return "\n\n".join(filter(None, sections)) + "\n"


def transitions(chart: ChartModel) -> str:
    """The table of all transitions, under each state's own line."""
    return "\n".join(_transitions(chart))


def _transitions(chart: ChartModel) -> Iterator[str]:
    yield row("state", "event", "guard", "target", "actions")
    yield rule(5)
    for state in chart.states:
        yield row(f"**{nesting.path(chart, state.id)}**", "", "", "", _life(state))
        for edge in chart.edges:
            if edge.source == state.id:
                targets = ", ".join(nesting.path(chart, target) for target in edge.targets)
                guard = labels.guard(chart, edge).strip("[]")
                yield row(
                    "", f"`{labels.event(edge)}`", guard, targets or "stays", labels.actions(edge).removeprefix("/ ")
                )


def _strip(chart: ChartModel) -> Iterator[str]:
    bars = strip.render(chart)
    if bars:
        yield from ("## Tasks and timers", _HOW_TO_READ, bars)


_HOW_TO_READ = f"""\
What is alive in which state, followed along every arrow from the beginning: {strip.ALWAYS} always, {strip.SOMETIMES} at times,
nothing: never. A bar in a state that should not have it is a leak."""


def _life(state: StateModel) -> str:
    life = {"entry": state.entry, "exit": state.exit, "invoke": state.invoke}
    return "; ".join(f"{when}: {', '.join(names)}" for when, names in life.items() if names)
