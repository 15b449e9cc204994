"""What transition coverage leaves in a folder: JSON, a page, and the pictures coloured by coverage."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from statecharts.tools.cover import ChartCover, Seen


def write(covers: Iterable[ChartCover], folder: Path) -> None:
    """Write every file. Raises: OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "coverage.json").write_text(to_json(covers), encoding="utf-8", newline="\n")


def to_json(covers: Iterable[ChartCover]) -> str:
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
