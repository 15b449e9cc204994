"""The demo's drawing of the connection's lifecycle, with one state lit."""

from collections.abc import Sequence
from typing import Final

from rich.text import Text

from connect.status import ConnectionState

STYLES: Final = {
    ConnectionState.CONNECTING: "cyan",
    ConnectionState.ACTIVE: "green",
    ConnectionState.DRAINING: "yellow",
    ConnectionState.RECONNECTING: "magenta",
    ConnectionState.CLOSED: "blue",
}

_LINES: Final = """\
╭────────────╮      ╭────────────╮ drain  ╭────────────╮      ╭────────────╮
│ CONNECTING ├─────▸│   ACTIVE   ├───────▸│  DRAINING  ├─────▸│   CLOSED   │
│            │      │            │◂───────┤            │      │            │
╰────────────╯      ╰──┬──────▴──╯ moved  ╰────────────╯      ╰────────────╯
                   lost│      │ready
                    ╭──▾──────┴──╮
                    │RECONNECTING│
                    ╰────────────╯""".splitlines()

_BOXES: Final = {
    ConnectionState.CONNECTING: (0, 3, 0),
    ConnectionState.ACTIVE: (0, 3, 20),
    ConnectionState.DRAINING: (0, 3, 42),
    ConnectionState.CLOSED: (0, 3, 62),
    ConnectionState.RECONNECTING: (5, 7, 20),
}
"""By state: its box's first row, last row and first column."""
_WIDTH: Final = 14
_FACTS: Final = (5, 42)
"""The first row and column of the room for facts."""
_SUBSTATES: Final = {"gateway_closing": "replacing", "shutdown": "stopping"}
"""The substate of DRAINING, by the event that leads to it."""

HEIGHT: Final = len(_LINES)
WIDTH: Final = max(len(line) for line in _LINES)


def draw(lit: ConnectionState, event: str, facts: Sequence[str] = ()) -> Text:
    """The lifecycle with the state *lit* highlighted; *event* led to it. *facts*, at most three, are written beside it."""
    rows = [Text(line, "dim") for line in _LINES]
    top, bottom, left = _BOXES[lit]
    inside = (left + 1, left + _WIDTH - 1)
    if lit is ConnectionState.DRAINING and event in _SUBSTATES:
        line = _LINES[top + 2]
        rows[top + 2] = Text(line[: inside[0]] + _SUBSTATES[event].center(_WIDTH - 2) + line[inside[1] :], "dim")
    for row in range(top, bottom + 1):
        rows[row].stylize(f"not dim bold {STYLES[lit]}", left, left + _WIDTH)
        if top < row < bottom:
            rows[row].stylize("reverse", *inside)
    for row, fact in enumerate(facts, _FACTS[0]):
        rows[row].pad_right(_FACTS[1] - len(rows[row]))
        rows[row].append(fact, "not dim")
    return Text("\n", no_wrap=True).join(rows)
