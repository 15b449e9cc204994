"""A chart as Mermaid text, which code hosts draw in place: states and events only.

Actions, entry and exit, and what happens without leaving a state are in the DOT picture and in the table.
"""

from collections.abc import Iterator

from statecharts.model import ChartModel, StateModel
from statecharts.tools import labels, nesting


def render(chart: ChartModel) -> str:
    """*chart* as the text of a Mermaid file."""
    finals = [f"    {state.id} --> [*]" for state in chart.states if state.kind == "final" and not state.parent]
    return "\n".join(["stateDiagram-v2", *_inside(chart, None, "    "), *finals]) + "\n"


def _inside(chart: ChartModel, parent: str | None, indent: str) -> Iterator[str]:
    for position, state in enumerate(nesting.children(chart, parent)):
        if state.kind == "region" and position:
            yield f"{indent}--"
        if nesting.is_start(state):
            yield f"{indent}[*] --> {state.id}"
        yield from _state(chart, state, indent)
    for (source, target), edges in nesting.arrows(chart, parent).items():
        lines = [labels.join(labels.event(edge), labels.guard(chart, edge)) for edge in edges]
        yield f"{indent}{source} --> {target} : {'<br/>'.join(lines)}"


def _state(chart: ChartModel, state: StateModel, indent: str) -> Iterator[str]:
    declared = f'{indent}state "{state.name}" as {state.id}'
    inner = list(_inside(chart, state.id, indent + "    "))
    yield from [f"{declared} {{", *inner, f"{indent}}}"] if inner else [declared]
