"""What transition coverage leaves in a folder: JSON, a page, and the pictures coloured by coverage."""

import json
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from statecharts.tools.coverage import page
from statecharts.tools.coverage.cover import ChartCover, Seen
from statecharts.tools.coverage.ways import Gap
from statecharts.tools.drawing import dot, mermaid, picture
from statecharts.tools.load import UnusableError


def write(covers: Sequence[ChartCover], gaps: Sequence[Sequence[Gap]], folder: Path) -> str:
    """Write every file; returns why there is no SVG, if there is none. Raises: OSError."""
    pictures, why = {}, ""
    for cover in covers:
        drawing = dot.render(cover.chart, cover.marks)
        text = mermaid.render(cover.chart, cover.marks)
        _write(folder / f"{_stem(cover)}.dot", drawing)
        _write(folder / f"{_stem(cover)}.mmd", text)
        try:
            svg = picture.svg(drawing)
            _write(folder / f"{_stem(cover)}.svg", svg)
            pictures[cover.label] = _inline(svg)
        except UnusableError as error:
            why = str(error)
            (folder / f"{_stem(cover)}.svg").unlink(missing_ok=True)  # an older one
            pictures[cover.label] = f"<pre>{escape(text)}</pre>"
    _write(folder / "coverage.json", to_json(covers))
    _write(folder / "index.html", page.render(covers, gaps, pictures))
    return why


def to_json(covers: Sequence[ChartCover]) -> str:
    """Counts and tests of every transition, of both outcomes of every guard, and of every event that moved nothing."""
    charts = {cover.label: _chart(cover) for cover in covers}
    return json.dumps({"charts": charts}, indent=2, ensure_ascii=False) + "\n"


def _chart(cover: ChartCover) -> dict[str, Any]:
    return {
        "chart": cover.identity,
        "transitions": [{"wording": each.name, **_seen("taken", each.taken)} for each in cover.transitions],
        "guards": [
            {
                "wording": each.name,
                "guard": each.edge.guard,
                **_seen("held", each.held, "held_by"),
                **_seen("refused", each.refused, "refused_by"),
            }
            for each in cover.transitions
            if each.edge.guard
        ],
        "refused": [
            {"states": each.states, "event": each.event, "ignored": each.ignored, **_seen("count", each.seen)}
            for each in cover.unmoved
        ],
    }


def _seen(name: str, seen: Seen, tests: str = "tests") -> dict[str, Any]:
    return {name: seen.count, tests: seen.tests}


def _stem(cover: ChartCover) -> str:
    return re.sub(r"\W+", "_", cover.label).lower()


def _inline(svg: str) -> str:
    """*svg* as a part of a page that has several: without its head, and without ids, which would meet their like."""
    return re.sub(r' id="[^"]*"', "", svg[svg.index("<svg") :])


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")
