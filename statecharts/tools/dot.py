"""A chart as DOT text, for Graphviz: the same bytes for the same chart, and every state in its own box.

The library's own writer drags targets into boxes, drops arrows and shows no actions. Here every arrow is written beside the states
of the box that holds both its ends, never deeper, from leaf to leaf; one that ends at a compound is clipped at its box. The order
of declaration is the layout: an arrow to an earlier state is written reversed with `dir=back`, so ranks follow the file.
Transitions with the same ends share one arrow, and its label is a node on it, so Graphviz lets nothing cross it.
Entry, exit and transitions that stay are lines inside the state.
"""

import html
from collections.abc import Iterator

from statecharts.model import ChartModel, EdgeModel, StateModel
from statecharts.tools import labels, nesting

_INK = "#1b1f24"
_SOFT = "#57606a"
_LINE = "#57606a"
_ALARM = "#a40e26"
_TIGHT = 'CELLPADDING="1"'
_LEAF = {"atomic": "#ddf4ff", "final": "#eaeef2"}
_BOX = {"compound": "#f6f8fa", "parallel": "#f6f8fa", "region": "#ffffff"}

# White paper under dark ink, so that the picture reads the same on a light and on a dark page.
_HEAD = f"""\
  graph [rankdir=TB, compound=true, bgcolor="white", pad=0.2, nodesep=0.4, ranksep=0.45]
  graph [fontname="DejaVu Sans", fontsize=9, labeljust=l, fontcolor="{_INK}"]
  node [shape=plain, fontname="DejaVu Sans", fontsize=9, fontcolor="{_INK}", color="{_LINE}"]
  edge [fontname="DejaVu Sans", fontsize=9, fontcolor="{_INK}", color="{_LINE}", arrowsize=0.7]"""


def render(chart: ChartModel) -> str:
    """*chart* as the text of a DOT file."""
    return "\n".join([f"digraph {chart.name} {{", _HEAD, *_inside(chart, None, "  "), "}"]) + "\n"


def _inside(chart: ChartModel, parent: str | None, indent: str) -> Iterator[str]:
    """What lies directly in *parent*: its states, then the arrows that it holds whole."""
    for state in nesting.children(chart, parent):
        if nesting.is_start(state):
            yield f'{indent}{_start(parent)} [shape=circle, width=0.11, label="", style=filled, fillcolor="{_LINE}"]'
        if state.kind in _BOX:
            yield from _cluster(chart, state, indent)
        else:
            yield f"{indent}{state.id} [label=<{_card(chart, state)}>]"
    yield from (f"{indent}{arrow}" for arrow in _arrows(chart, parent))


def _cluster(chart: ChartModel, state: StateModel, indent: str) -> Iterator[str]:
    style = "rounded,filled,dashed" if state.kind == "region" else "rounded,filled"
    yield f"{indent}subgraph cluster_{state.id} {{"
    yield f'{indent}  graph [style="{style}", fillcolor="{_BOX[state.kind]}", color="{_LINE}", margin=12]'
    title = _table(_rows(chart, state), 'CELLPADDING="2"')
    yield f"{indent}  graph [label=<{title}>]"
    yield from _inside(chart, state.id, indent + "  ")
    yield f"{indent}}}"


def _card(chart: ChartModel, state: StateModel) -> str:
    frame = f'STYLE="ROUNDED" BORDER="1" CELLBORDER="0" COLOR="{_LINE}" BGCOLOR="{_LEAF[state.kind]}"'
    card = _table(_rows(chart, state), f'{frame} CELLPADDING="4"')
    return _table(f"<TR><TD>{card}</TD></TR>", f'{frame} CELLPADDING="2"') if state.kind == "final" else card


def _rows(chart: ChartModel, state: StateModel) -> str:
    """Name, entry, exit, and what happens in *state* without leaving it."""
    align = ' ALIGN="LEFT"' if state.kind in _BOX else ""
    name = f'<TR><TD{align}><B><FONT POINT-SIZE="11">{html.escape(state.name)}</FONT></B></TD></TR>'
    lines = [f"entry / {', '.join(state.entry)}"] if state.entry else []
    lines += [f"exit / {', '.join(state.exit)}"] if state.exit else []
    for edge in chart.edges:
        if edge.source == state.id and not edge.targets:
            lines.append(labels.join(labels.event(edge), labels.guard(chart, edge), labels.actions(edge)))
    return name + "".join(f'<TR><TD ALIGN="LEFT">{html.escape(line)}</TD></TR>' for line in lines)


def _arrows(chart: ChartModel, parent: str | None) -> Iterator[str]:
    for state in filter(nesting.is_start, nesting.children(chart, parent)):
        clip = _clip(chart, lhead=state.id)
        yield f"{_start(parent)} -> {_top(chart, state.id)} [{_attributes(clip, clip and 'minlen=2')}]"
    for (source, target), edges in nesting.arrows(chart, parent).items():
        yield from _arrow(chart, source, target, edges)


def _arrow(chart: ChartModel, source: str, target: str, edges: list[EdgeModel]) -> Iterator[str]:
    """A line from *source* to the label, an arrow from there to *target*. The label is a node, so nothing is drawn over it."""
    order = [state.id for state in chart.states]
    label = f"{source}_to_{target}"
    yield f"{label} [label=<{_sheet(chart, edges)}>]"
    if order.index(target) < order.index(source):
        yield f"{_bottom(chart, target)} -> {label} [{_attributes('dir=back', _clip(chart, ltail=target))}]"
        yield f"{label} -> {_top(chart, source)} [{_attributes('dir=none', _clip(chart, lhead=source))}]"
    else:
        yield f"{_bottom(chart, source)} -> {label} [{_attributes('dir=none', _clip(chart, ltail=source))}]"
        yield f"{label} -> {_top(chart, target)} [{_attributes(_clip(chart, lhead=target))}]"


def _attributes(*attributes: str) -> str:
    return ", ".join(filter(None, attributes))


def _sheet(chart: ChartModel, edges: list[EdgeModel]) -> str:
    """An arrow's label: events on the left, and the guard and actions that they share on the right."""
    groups: dict[str, list[str]] = {}
    for edge in edges:
        doing = labels.join(labels.guard(chart, edge), labels.actions(edge))
        groups.setdefault(doing, []).append(labels.event(edge))
    lines = "".join(f'<TR><TD ALIGN="LEFT">{_line(doing, events)}</TD></TR>' for doing, events in groups.items())
    return _table(f'<TR><TD WIDTH="3"></TD><TD>{_table(lines, _TIGHT)}</TD><TD WIDTH="3"></TD></TR>', "")


def _line(doing: str, events: list[str]) -> str:
    """Several events stacked before a bracket that holds what they do alike, a single one on a line with it."""
    what = f'<FONT COLOR="{_SOFT}">{html.escape(doing)}</FONT>' if doing else ""
    if len(events) == 1 or not doing:
        return '<BR ALIGN="LEFT"/>'.join(labels.join(_coloured(event), what) for event in events) + '<BR ALIGN="LEFT"/>'
    stacked = "".join(f'{_coloured(event)}<BR ALIGN="LEFT"/>' for event in events)
    bracket = f'<TD BORDER="1" SIDES="L" COLOR="{_LINE}"> {what}</TD>'
    return _table(f'<TR><TD ALIGN="LEFT" BALIGN="LEFT">{stacked}</TD>{bracket}</TR>', _TIGHT)


def _coloured(event: str) -> str:
    """*event*, in red where it says that an action raised; the name says so too."""
    return f'<FONT COLOR="{_ALARM}">{event}</FONT>' if event.startswith("error_") else html.escape(event)


def _table(rows: str, attributes: str) -> str:
    border = "" if " BORDER=" in f" {attributes}" else 'BORDER="0" '
    return f'<TABLE {border}CELLSPACING="0" {attributes}>{rows}</TABLE>'


def _start(parent: str | None) -> str:
    return f"start_{parent or 'chart'}"


def _top(chart: ChartModel, state_id: str) -> str:
    """The node highest up in a state: where arrows that enter its box aim."""
    inner = nesting.children(chart, state_id)
    if not inner:
        return state_id
    return _start(state_id) if nesting.is_start(inner[0]) else _top(chart, inner[0].id)


def _bottom(chart: ChartModel, state_id: str) -> str:
    """The node furthest down in a state: where arrows that leave its box begin."""
    inner = nesting.children(chart, state_id)
    return _bottom(chart, inner[-1].id) if inner else state_id


def _clip(chart: ChartModel, **ends: str) -> str:
    return ", ".join(f"{end}=cluster_{state}" for end, state in ends.items() if chart.state(state).kind in _BOX)
