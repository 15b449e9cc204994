"""Records docs/demo.svg: the real demo in a terminal of 80 by 24, as a picture that moves. `python -m docs.demo`, or `make docs`.

A row of the terminal is drawn once for each text that it shows, and seen while it does. Who wants no motion, or has nothing
that can show it, sees one moment (`STILL`).
"""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from rich.text import Text

ROOT: Final = Path(__file__).parents[1]
PICTURE: Final = ROOT / "docs" / "demo.svg"

COLUMNS, ROWS = 80, 24
CELL: Final = (8.4, 16.4)
MARGIN: Final = 14.0
STEP: Final = 0.45
"""Seconds between two pictures that are kept."""
LAST: Final = 6.0
"""Seconds for which the report stays."""
STILL: Final = "DRAINING → ACTIVE"
"""The first picture with this on it stands for all where nothing moves."""

GROUND: Final = "#161b22"
COLOURS: Final = ("#484f58", "#ff7b72", "#3fb950", "#d29922", "#58a6ff", "#bc8cff", "#39c5cf", "#e6edf3")
"""The terminal's eight, by number."""

_FRAME: Final = "\x1b[H"
_PIECE: Final = re.compile(r"\S+( \S+)*")
_CONTROL: Final = re.compile(r"\x1b\[\?\d+[hl]")


@dataclass(frozen=True)
class Frame:
    """The screen from *at* seconds on, by rows."""

    at: float
    rows: tuple[str, ...]


def play() -> list[tuple[float, str]]:
    """Run the demo; what it writes, and when."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    command = [sys.executable, "-m", "connect", "demo"]
    env = {**os.environ, "TERM": "xterm-256color", "COLORTERM": ""}
    with subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, cwd=ROOT, env=env) as demo:  # noqa: S603
        os.close(slave)
        written = list(_read(master))
    if demo.returncode:
        raise SystemExit(f"the demo ended with {demo.returncode}")
    return written


def _read(master: int) -> Iterator[tuple[float, str]]:
    began, rest = time.monotonic(), b""
    while True:
        try:
            rest += os.read(master, 1 << 16)
        except OSError:  # the demo has ended
            return
        whole = rest[: rest.rfind(b"\n") + 1]  # letters of several bytes are not cut
        rest = rest[len(whole) :]
        yield time.monotonic() - began, whole.decode()


def frames(written: list[tuple[float, str]]) -> list[Frame]:
    """What was on the screen, and at last the report under its command."""
    stage, _, report = "".join(text for _, text in written).partition("\x1b[?1049l")
    began, *_ = times = _times(written)
    shown = [
        Frame(at - began, _rows(text)) for at, text in zip(times, stage.split(_FRAME)[1:], strict=False) if text.strip()
    ]
    kept = [frame for before, frame in zip([None, *shown], shown, strict=False) if not before or _beat(before, frame)]
    return [*kept, Frame(shown[-1].at + STEP, _rows("$ python -m connect demo\n" + report.lstrip()))]


def _beat(before: Frame, frame: Frame) -> bool:
    return int(before.at / STEP) != int(frame.at / STEP)


def _times(written: list[tuple[float, str]]) -> list[float]:
    """When each picture came. One that begins at the end of what was read, without a whole line, came with the next."""
    return [at for at, text in written for _ in range(text.count(_FRAME))]


def _rows(text: str) -> tuple[str, ...]:
    lines = _CONTROL.sub("", text).replace("\r", "").split("\n")
    return tuple((lines + [""] * ROWS)[:ROWS])


# -- the picture


def draw(shown: list[Frame]) -> str:
    """The SVG."""
    ends = [*(frame.at for frame in shown[1:]), shown[-1].at + LAST]
    still = next(number for number, frame in enumerate(shown) if any(STILL in _plain(row) for row in frame.rows))
    width, height = COLUMNS * CELL[0] + 2 * MARGIN, ROWS * CELL[1] + 2 * MARGIN
    spans: dict[tuple[int, int], str] = {}
    body = []
    for row in range(ROWS):
        for first, last in _stays([frame.rows[row] for frame in shown]):
            name = spans.setdefault((first, last), f"s{len(spans)}")
            kind = f"{name} still" if first <= still <= last else name
            if drawn := _row(row, shown[first].rows[row]):
                body.append(f'<g class="{kind}">{drawn}</g>')
    rules = [
        _rule(name, 0.0 if not first else shown[first].at, ends[last], ends[-1])
        for (first, last), name in spans.items()
    ]
    colours = "".join(f".c{number}{{fill:{colour}}}" for number, colour in enumerate(COLOURS))
    head = _HEAD.format(width=f"{width:g}", height=f"{height:g}", rules="".join(rules), colours=colours, ground=GROUND)
    return "\n".join([head, *body, "</svg>", ""])


_HEAD: Final = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">
<title>python -m connect demo: a worker's life in ten seconds</title>
<style>
text{{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace}}
.ground{{fill:{ground}}}
g{{visibility:hidden}}.still{{visibility:visible}}.bold{{font-weight:bold}}.dim{{opacity:.6}}
{colours}
@media (prefers-reduced-motion:no-preference){{{rules}}}
</style>
<rect width="100%" height="100%" rx="8" fill="{ground}" stroke="#30363d"/>"""


def _stays(rows: list[str]) -> Iterator[tuple[int, int]]:
    """From which picture to which a row stays the same."""
    first = 0
    for number in range(1, len(rows) + 1):
        if number == len(rows) or rows[number] != rows[first]:
            yield first, number - 1
            first = number


def _rule(name: str, begin: float, end: float, whole: float) -> str:
    shows, hides = f"{100 * begin / whole:.2f}%", f"{100 * end / whole:.2f}%"
    hidden = "visibility:hidden"
    steps = ("" if begin == 0 else f"0%{{{hidden}}}") + f"{shows}{{visibility:visible}}"
    steps += "" if end == whole else f"{hides}{{{hidden}}}"
    return f".{name}{{animation:{name} {whole:.2f}s step-end infinite}}@keyframes {name}{{{steps}}}"


def _row(number: int, text: str) -> str:
    left, parts = MARGIN, []
    for words, style, _ in _segments(text):
        parts.append(_words(words, style or Style(), left, MARGIN + number * CELL[1]))
        left += len(words) * CELL[0]
    return "".join(parts)


def _segments(text: str) -> list[Segment]:
    console = Console(width=COLUMNS * 2, force_terminal=True, color_system="standard", legacy_windows=False)
    return [segment for segment in console.render(Text.from_ansi(text)) if segment.text.strip("\n")]


def _plain(text: str) -> str:
    return Text.from_ansi(text).plain


def _words(words: str, style: Style, left: float, top: float) -> str:
    """Words of one style; each piece is held to the terminal's cells, whatever the font."""
    number = style.color.number if style.color else None
    colour = f"c{7 if number is None else number}"
    width = len(words) * CELL[0]
    place = f'<rect x="{left:g}" y="{top:g}" width="{width:g}" height="{CELL[1]:g}" class="{colour}"/>'
    look = "ground" if style.reverse else colour
    look += " bold" * bool(style.bold) + " dim" * bool(style.dim and not style.reverse)
    pieces = (_piece(found[0], left + found.start() * CELL[0], top, look) for found in _PIECE.finditer(words))
    return (place if style.reverse else "") + "".join(pieces)


def _piece(words: str, left: float, top: float, look: str) -> str:
    held = f'textLength="{len(words) * CELL[0]:g}"' + (' lengthAdjust="spacingAndGlyphs"' if "─" in words else "")
    return f'<text x="{left:g}" y="{top + 12.5:g}" {held} class="{look}">{escape(words)}</text>'


def main() -> None:
    """Record it."""
    PICTURE.write_text(draw(frames(play())), encoding="utf-8")


if __name__ == "__main__":
    main()
