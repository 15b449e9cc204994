"""A chart as DOT text, for Graphviz: the same bytes for the same chart, and every state in its own box.

The library's own writer drags targets into boxes, drops arrows and shows no actions. Here every arrow is written beside the states
of the box that holds both its ends, never deeper, from leaf to leaf; one that ends at a compound is clipped at its box. The order
of declaration is the layout: an arrow to an earlier state is written reversed with `dir=back`, so ranks follow the file.
Transitions with the same ends share one arrow, and its label is a node on it, so Graphviz lets nothing cross it.
Entry, exit and transitions that stay are lines inside the state.
"""

import html
from collections.abc import Iterable, Iterator

from statecharts.model import ChartModel, EdgeModel, StateModel
from statecharts.tools.drawing import labels, nesting
from statecharts.tools.drawing.marks import Mark, Marks

_INK = "#1b1f24"
_SOFT = "#57606a"
_LINE = "#57606a"
_ALARM = "#a40e26"
_TIGHT = 'CELLPADDING="1"'
_LEAF = {"atomic": "#ddf4ff", "final": "#eaeef2", "history": "#ffffff", "deep history": "#ffffff"}
_BOX = {"compound": "#f6f8fa", "parallel": "#f6f8fa", "region": "#ffffff"}

# White paper under dark ink, so that the picture reads the same on a light and on a dark page.
_HEAD = f"""\
  graph [rankdir=TB, compound=true, bgcolor="white", pad=0.2, nodesep=0.4, ranksep=0.45]
  graph [fontname="DejaVu Sans", fontsize=9, labeljust=l, fontcolor="{_INK}"]
  node [shape=plain, fontname="DejaVu Sans", fontsize=9, fontcolor="{_INK}", color="{_LINE}"]
  edge [fontname="DejaVu Sans", fontsize=9, fontcolor="{_INK}", color="{_LINE}", arrowsize=0.7]"""


def render(chart: ChartModel, marks: Marks | None = None) -> str:
    """*chart* as the text of a DOT file, with the signs and colours of *marks*, and a key to them."""
    return "\n".join([f'digraph "{chart.name}" {{', _HEAD, *_Writer(chart, marks or {}).lines(), "}"]) + "\n"


class _Writer:
    """Writes one chart."""

    def __init__(self, chart: ChartModel, marks: Marks) -> None:
        self.chart = chart
        self.marks = marks

    def lines(self) -> Iterator[str]:
        yield from self._key()
        yield from self._inside(None, "  ")

    def _key(self) -> Iterator[str]:
        """What the signs mean, under the picture."""
        used = sorted({(mark.sign, mark.ink, mark.meaning) for mark in self.marks.values()})
        if used:
            words = "   ".join(
                f'<FONT COLOR="{ink}">{sign} {html.escape(meaning)}</FONT>' for sign, ink, meaning in used
            )
            yield f"  graph [labelloc=b, label=<{words}>]"

    def _inside(self, parent: str | None, indent: str) -> Iterator[str]:
        """What lies directly in *parent*: its states, then the arrows that it holds whole."""
        for state in nesting.children(self.chart, parent):
            if nesting.is_start(state):
                yield f'{indent}{_start(parent)} [shape=circle, width=0.11, label="", style=filled, fillcolor="{_LINE}"]'
            if nesting.children(self.chart, state.id):
                yield from self._cluster(state, indent)
            else:
                yield f'{indent}"{state.id}" [label=<{self._card(state)}>]'
        yield from (f"{indent}{arrow}" for arrow in self._arrows(parent))

    def _cluster(self, state: StateModel, indent: str) -> Iterator[str]:
        mark = self.marks.get(state)
        dashed = state.kind == "region" or (mark and mark.dashed)
        style = "rounded,filled,dashed" if dashed else "rounded,filled"
        fill, line = (mark.fill, mark.ink) if mark else (_BOX.get(state.kind, _BOX["compound"]), _LINE)
        yield f'{indent}subgraph "cluster_{state.id}" {{'
        yield f'{indent}  graph [style="{style}", fillcolor="{fill}", color="{line}", margin=12, labelloc=t]'
        title = _table(self._rows(state, box=True), 'CELLPADDING="2"')
        yield f"{indent}  graph [label=<{title}>]"
        yield from self._inside(state.id, indent + "  ")
        yield f"{indent}}}"

    def _card(self, state: StateModel) -> str:
        mark = self.marks.get(state)
        fill, line = (mark.fill, mark.ink) if mark else (_LEAF.get(state.kind, _LEAF["atomic"]), _LINE)
        style = "ROUNDED,DASHED" if mark and mark.dashed else "ROUNDED"
        frame = f'STYLE="{style}" BORDER="1" CELLBORDER="0" COLOR="{line}" BGCOLOR="{fill}"'
        card = _table(self._rows(state, box=False), f'{frame} CELLPADDING="4"')
        return _table(f"<TR><TD>{card}</TD></TR>", f'{frame} CELLPADDING="2"') if state.kind == "final" else card

    def _rows(self, state: StateModel, *, box: bool) -> str:
        """Name, entry, exit, and what happens in *state* without leaving it."""
        mark = self.marks.get(state)
        align = ' ALIGN="LEFT"' if box else ""
        title = html.escape(labels.signed(mark, nesting.title(state)))
        name = f'<TR><TD{align}><B><FONT POINT-SIZE="11"{_ink(mark)}>{title}</FONT></B></TD></TR>'
        life = {"entry": state.entry, "exit": state.exit, "invoke": state.invoke}
        lines = [html.escape(f"{when} / {', '.join(names)}") for when, names in life.items() if names]
        lines += [self._stay(edge) for edge in self.chart.edges if edge.source == state.id and not edge.targets]
        return name + "".join(f'<TR><TD ALIGN="LEFT">{line}</TD></TR>' for line in lines)

    def _stay(self, edge: EdgeModel) -> str:
        mark = self.marks.get(edge)
        line = labels.join(labels.event(edge), labels.guard(self.chart, edge), labels.actions(edge))
        text = html.escape(labels.signed(mark, line))
        return f"<FONT{_ink(mark)}>{text}</FONT>" if mark else text

    def _arrows(self, parent: str | None) -> Iterator[str]:
        for state in filter(nesting.is_start, nesting.children(self.chart, parent)):
            clip = self._clip(lhead=state.id)
            yield f"{_start(parent)} -> {self._top(state.id)} [{_attributes(clip, clip and 'minlen=2')}]"
        for (source, target), edges in nesting.arrows(self.chart, parent).items():
            yield from self._arrow(source, target, edges)

    def _arrow(self, source: str, target: str, edges: list[EdgeModel]) -> Iterator[str]:
        """A line from *source* to the label, an arrow from there to *target*. The label is a node, so nothing is drawn over it."""
        order = [state.id for state in self.chart.states]
        label, line = f'"{source} to {target}"', self._line_style(edges)
        yield f"{label} [label=<{self._sheet(edges)}>]"
        if order.index(target) < order.index(source):
            yield f"{self._bottom(target)} -> {label} [{_attributes('dir=back', line, self._clip(ltail=target))}]"
            yield f"{label} -> {self._top(source)} [{_attributes('dir=none', line, self._clip(lhead=source))}]"
        else:
            yield f"{self._bottom(source)} -> {label} [{_attributes('dir=none', line, self._clip(ltail=source))}]"
            yield f"{label} -> {self._top(target)} [{_attributes(line, self._clip(lhead=target))}]"

    def _line_style(self, edges: Iterable[EdgeModel]) -> str:
        """The line is coloured where everything on it has the same mark."""
        marks = {self.marks.get(edge) for edge in edges}
        mark = marks.pop() if len(marks) == 1 else None
        return f'color="{mark.ink}", style={"dashed" if mark.dashed else "bold"}' if mark else ""

    def _sheet(self, edges: list[EdgeModel]) -> str:
        """An arrow's label: events on the left, and the guard and actions that they share on the right."""
        groups: dict[str, list[EdgeModel]] = {}
        for edge in edges:
            doing = labels.join(labels.guard(self.chart, edge), labels.actions(edge))
            groups.setdefault(doing, []).append(edge)
        lines = "".join(f'<TR><TD ALIGN="LEFT">{self._line(doing, group)}</TD></TR>' for doing, group in groups.items())
        return _table(f'<TR><TD WIDTH="3"></TD><TD>{_table(lines, _TIGHT)}</TD><TD WIDTH="3"></TD></TR>', "")

    def _line(self, doing: str, edges: list[EdgeModel]) -> str:
        """Several events stacked before a bracket that holds what they do alike, a single one on a line with it."""
        what = f'<FONT COLOR="{_SOFT}">{html.escape(doing)}</FONT>' if doing else ""
        events = [self._event(edge) for edge in edges]
        if len(events) == 1 or not doing:
            # A second blank: a viewer's letters may be wider than those that the place of the next text was reckoned with.
            gap = "&#160;" if doing else ""
            return "".join(f'{labels.join(event + gap, what)}<BR ALIGN="LEFT"/>' for event in events)
        stacked = "".join(f'{event}<BR ALIGN="LEFT"/>' for event in events)
        bracket = f'<TD BORDER="1" SIDES="L" COLOR="{_LINE}"> {what}</TD>'
        return _table(f'<TR><TD ALIGN="LEFT" BALIGN="LEFT">{stacked}</TD>{bracket}</TR>', _TIGHT)

    def _event(self, edge: EdgeModel) -> str:
        """The event in its mark's colour; without one in red where it says that an action raised; the name says so too."""
        mark = self.marks.get(edge)
        alarm = f' COLOR="{_ALARM}"' if edge.event.startswith("error_") else ""
        ink = _ink(mark) or alarm
        text = html.escape(labels.signed(mark, labels.event(edge)))
        return f"<FONT{ink}>{text}</FONT>" if ink else text

    def _top(self, state_id: str) -> str:
        """The node highest up in a state: where arrows that enter its box aim."""
        inner = nesting.children(self.chart, state_id)
        if not inner:
            return f'"{state_id}"'
        return _start(state_id) if nesting.is_start(inner[0]) else self._top(inner[0].id)

    def _bottom(self, state_id: str) -> str:
        """The node furthest down in a state: where arrows that leave its box begin."""
        inner = [state for state in nesting.children(self.chart, state_id) if not state.is_history]
        return self._bottom(inner[-1].id) if inner else f'"{state_id}"'

    def _clip(self, **ends: str) -> str:
        boxes = ((end, state) for end, state in ends.items() if nesting.children(self.chart, state))
        return ", ".join(f'{end}="cluster_{state}"' for end, state in boxes)


def _start(parent: str | None) -> str:
    return f'"start of {parent}"' if parent else '"the start"'


def _attributes(*attributes: str) -> str:
    return ", ".join(filter(None, attributes))


def _ink(mark: Mark | None) -> str:
    return f' COLOR="{mark.ink}"' if mark else ""


def _table(rows: str, attributes: str) -> str:
    border = "" if " BORDER=" in f" {attributes}" else 'BORDER="0" '
    return f'<TABLE {border}CELLSPACING="0" {attributes}>{rows}</TABLE>'
