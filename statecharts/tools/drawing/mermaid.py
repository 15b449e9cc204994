"""A chart as Mermaid text, which code hosts draw in place: states and events only.

Actions, entry and exit, and transitions that stay in their state are in the DOT picture and in the table. A transition that stays
is shown here only if it is marked.
"""

from collections.abc import Iterator

from statecharts.model import ChartModel, EdgeModel, StateModel
from statecharts.tools.drawing import labels, nesting
from statecharts.tools.drawing.marks import Mark, Marks

# Words that Mermaid does not take as a state's id, in any case of letters; `root` is its own name for the whole picture.
_RESERVED = {
    *(
        "accdescr",
        "acctitle",
        "as",
        "choice",
        "class",
        "classdef",
        "click",
        "default",
        "direction",
        "end",
        "fork",
        "href",
    ),
    *("join", "note", "root", "scale", "state", "statediagram", "style"),
}

# Mermaid's way of writing the characters that its grammar reads as its own.
_ENTITIES = {ord(c): f"#{ord(c)};" for c in '#;:"{}<>%'}


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
        lines = [_label(chart, edge, marks) for edge in edges]
        yield f"{indent}{_id(source)} --> {_id(target)} : {'<br/>'.join(lines)}"


def _state(chart: ChartModel, state: StateModel, indent: str, marks: Marks) -> Iterator[str]:
    declared = f'{indent}state "{_text(labels.signed(marks.get(state), nesting.title(state)))}" as {_id(state.id)}'
    inner = list(_inside(chart, state.id, indent + "    ", marks))
    if inner:
        yield from (f"{declared} {{", *inner, f"{indent}}}")
        return
    yield declared
    for edge in chart.edges:  # Mermaid lets a box say nothing but its name
        if edge.source == state.id and not edge.targets and edge in marks:
            yield f"{indent}{_id(state.id)} : {_label(chart, edge, marks)}"


def _label(chart: ChartModel, edge: EdgeModel, marks: Marks) -> str:
    return _text(labels.signed(marks.get(edge), labels.join(labels.event(edge), labels.guard(chart, edge))))


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
    plain = "".join(letter if letter.isascii() else f"u{ord(letter):x}" for letter in state_id)
    return f"{plain}_" if plain.lower() in _RESERVED else plain


def _text(text: str) -> str:
    return text.translate(_ENTITIES)
