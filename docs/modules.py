"""Draws diagrams/modules.svg: which room of the code imports which. `python -m docs.modules`, or `make diagrams`.

The rooms and their floors are `docs.layers`'. Drawn are one box for each room, but only one for the charts and one for their tools,
and of the arrows those that no other arrows imply.
"""

import html
import itertools
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from typing import Final

from docs import layers
from statecharts.tools.drawing import picture

TEXT: Final = layers.ROOT / "diagrams" / "modules.dot"
PICTURE: Final = TEXT.with_suffix(".svg")
COMMAND: Final = "python -m docs.modules"

ENTRIES: Final = {
    "connect/__main__.py": "python -m connect",
    "connect/__init__.py": "from connect import connect",
    "connect/testing.py": "fixtures for pytest",
    "statecharts/__main__.py": "python -m statecharts",
}
"""Where one comes in from outside."""

_INK: Final = "#1b1f24"
_SOFT: Final = "#57606a"
_LINE: Final = "#57606a"
_PAPER: Final = "#ffffff"
_FILL: Final = {"connect": "#ddf4ff", "statecharts": "#fff8c5"}
_COMMON: Final = "#f6f8fa"
_WIDTH: Final = 36
"""Letters to a line of module names."""

_BELOW_ALL: Final = "the lowest floor: every room may import it, so those arrows are left out"
# White paper under dark ink, as the charts have it: it reads the same on a light and on a dark page.
_FRAME: Final = f'STYLE="ROUNDED" BORDER="1" CELLBORDER="0" CELLSPACING="0" CELLPADDING="3" COLOR="{_LINE}"'
_HEAD: Final = f"""\
  graph [rankdir=TB, newrank=true, bgcolor="{_PAPER}", pad=0.25, nodesep=0.35, ranksep=0.45]
  graph [fontname="DejaVu Sans", fontsize=9, fontcolor="{_SOFT}"]
  node [shape=plain, fontname="DejaVu Sans", fontsize=9, fontcolor="{_INK}"]
  edge [color="{_LINE}", arrowsize=0.6]"""


class Boxes:
    """What is drawn: the rooms, and what they import."""

    def __init__(self) -> None:
        self.floor: dict[str, int] = {}
        """On which each box stands; the highest floor is 0."""
        for number, rooms in enumerate(layers.floors()):
            for name in rooms:
                self.floor.setdefault(_box(name), number)
        self.modules: dict[str, list[str]] = {name: [] for name in self.floor}
        self.below: dict[str, set[str]] = {name: set() for name in self.floor}
        """What each box imports from floors below its own."""
        for path in layers.modules():
            self._add(path)

    def _add(self, path: str) -> None:
        source = self._known(path)
        self.modules[source].append(path)
        targets = {self._known(each.target) for each in layers.imports(path)}
        self.below[source] |= {target for target in targets if self.floor[source] < self.floor[target]}

    def _known(self, path: str) -> str:
        """The box of the module *path*."""
        box = _box(layers.room(path))
        if box not in self.floor:
            raise LookupError(f"{path} stands on no floor: name it in [tool.layers] of pyproject.toml")
        return box

    def rows(self) -> list[list[str]]:
        """The boxes of each floor that has any, the highest floor first."""
        level = self.floor.__getitem__
        return [list(boxes) for _, boxes in itertools.groupby(sorted(self.floor, key=level), level)]

    def arrows(self, names: Iterable[str]) -> Iterator[tuple[str, str]]:
        """From box to box among *names*, without those that shorten a way which other arrows show."""
        for source in names:
            below = self.below[source] & set(names)
            shown = set().union(*map(self._reach, below))
            yield from ((source, target) for target in sorted(below - shown))

    def _reach(self, start: str) -> set[str]:
        """All that *start* imports, and all that this imports."""
        found: set[str] = set()
        waiting = [start]
        while waiting:
            new = self.below[waiting.pop()] - found
            found |= new
            waiting += new
        return found


def render() -> str:
    """The picture as DOT text, the same on every run."""
    return "\n".join(["digraph modules {", _HEAD, *_lines(Boxes()), "}"]) + "\n"


def _box(name: str) -> str:
    """The box in which the room *name* is drawn."""
    return name if name.startswith("connect/") or name in ENTRIES else f"{PurePosixPath(name).parent}/"


def _lines(boxes: Boxes) -> Iterator[str]:
    *upper, common = boxes.rows()
    for row in upper:
        yield from _row(boxes, row, "  ")
    yield "  subgraph cluster_common {"
    yield f'    graph [style="rounded,filled", fillcolor="{_COMMON}", color="{_LINE}", margin=10, labelloc=b, label="{_BELOW_ALL}"]'
    yield from _row(boxes, common, "    ")
    yield "  }"
    for source, target in boxes.arrows(list(itertools.chain(*upper))):
        yield f'  "{source}" -> "{target}"'
    for source, target in itertools.product(upper[-1], common):
        yield f'  "{source}" -> "{target}" [style=invis]'


def _row(boxes: Boxes, names: list[str], indent: str) -> Iterator[str]:
    """One floor."""
    yield from (f'{indent}"{name}" [label=<{_card(name, boxes.modules[name])}>]' for name in names)
    yield indent + "{ rank=same " + " ".join(f'"{name}"' for name in names) + " }"


def _card(name: str, paths: list[str]) -> str:
    """A box with the name of the room, and small in it its modules, or what it is the way in for."""
    if name in ENTRIES:
        small, ink, soft, fill = [ENTRIES[name]], _PAPER, _PAPER, _INK
    else:
        small, ink, soft, fill = _inside(name, paths), _INK, _SOFT, _FILL[name.partition("/")[0]]
    rows = [f'<B><FONT POINT-SIZE="11" COLOR="{ink}">{html.escape(name.removeprefix("connect/"))}</FONT></B>']
    rows += [f'<FONT COLOR="{soft}">{html.escape(line)}</FONT>' for line in small]
    body = "".join(f'<TR><TD ALIGN="LEFT">{row}</TD></TR>' for row in rows)
    return f'<TABLE {_FRAME} BGCOLOR="{fill}">{body}</TABLE>'


def _inside(name: str, paths: list[str]) -> list[str]:
    """Lines with the modules and folders that lie directly in the folder *name*."""
    parts = {path.removeprefix(name).split("/")[0].removesuffix(".py") for path in paths if name.endswith("/")}
    return textwrap.wrap("   ".join(sorted(parts - {"__init__"})), _WIDTH)


def stale() -> list[str]:
    """Names of the files that do not show the code as it is."""
    wanted = {TEXT: render(), PICTURE: picture.stamp(render())}
    return [
        path.name for path, text in wanted.items() if not path.exists() or text not in path.read_text(encoding="utf-8")
    ]


def main() -> None:
    """Write both files, the picture last. Raises: UnusableError: Graphviz is missing."""
    TEXT.write_text(render(), encoding="utf-8")
    PICTURE.write_text(picture.svg(render()), encoding="utf-8")


if __name__ == "__main__":
    main()
