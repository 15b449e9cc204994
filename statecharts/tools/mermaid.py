"""A chart as Mermaid text, which code hosts draw in place: states and events only.

Actions, entry and exit, and what happens without leaving a state are in the DOT picture and in the table.
"""

from collections.abc import Iterator

from statecharts.model import ChartModel, StateModel
from statecharts.tools import labels, nesting
from statecharts.tools.marks import Mark, Marks

_RESERVED = {"choice", "class", "classdef", "direction", "end", "fork", "join", "note", "state", "style"}

# Mermaid's way of writing the characters that its grammar reads as its own.
_ENTITIES = {ord(c): f"#{ord(c)};" for c in '#;:"{}<>'}


def render(chart: ChartModel, marks: Marks | None = None) -> str:
    """*chart* as the text of a Mermaid file. Marks: signs on everything, colour on states (Mermaid colours no arrow)."""
    marks = marks or {}
    finals = [f"    {_id(state.id)} --> [*]" for state in chart.states if state.kind == "final" and not state.parent]
    lines = ["stateDiagram-v2", *_inside(chart, None, "    ", marks), *finals, *_classes(chart, marks)]
    return "\n".join(lines) + "\n"


def _inside(chart: ChartModel, parent: str | None, indent: str, marks: Marks) -> Iterator[str]:
    for position, state in enumerate(nesting.children(chart, parent)):
        if state.kind == "region" and position:
            yield f"{indent}--"
        if nesting.is_start(state):
            yield f"{indent}[*] --> {_id(state.id)}"
        yield from _state(chart, state, indent, marks)
    for (source, target), edges in nesting.arrows(chart, parent).items():
        lines = [
            labels.signed(marks.get(edge), labels.join(labels.event(edge), labels.guard(chart, edge))) for edge in edges
        ]
        yield f"{indent}{_id(source)} --> {_id(target)} : {'<br/>'.join(map(_text, lines))}"


def _state(chart: ChartModel, state: StateModel, indent: str, marks: Marks) -> Iterator[str]:
    declared = f'{indent}state "{_text(labels.signed(marks.get(state), nesting.title(state)))}" as {_id(state.id)}'
    inner = list(_inside(chart, state.id, indent + "    ", marks))
    yield from [f"{declared} {{", *inner, f"{indent}}}"] if inner else [declared]


def _classes(chart: ChartModel, marks: Marks) -> Iterator[str]:
    """A class for each mark in use. A box of several states keeps its own colours: Mermaid would colour what it holds."""
    leaves = [state for state in chart.states if not nesting.children(chart, state.id)]
    used: dict[Mark, list[str]] = {}
    for state in leaves:
        if state in marks:
            used.setdefault(marks[state], []).append(_id(state.id))
    for number, (mark, ids) in enumerate(used.items()):
        dashes = ",stroke-dasharray:5 3" if mark.dashed else ""
        yield f"    classDef mark{number} fill:{mark.fill},stroke:{mark.ink},color:{mark.ink}{dashes}"
        yield f"    class {','.join(ids)} mark{number}"


def _id(state_id: str) -> str:
    return f"{state_id}_" if state_id.lower() in _RESERVED else state_id


def _text(text: str) -> str:
    return text.translate(_ENTITIES)
