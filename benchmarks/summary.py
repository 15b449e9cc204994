"""Writes the README's table: a few of the measured figures, ours and the official client's."""

import math
import re
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from benchmarks import lifecycle, punctual, throughput
from benchmarks.results import Part

README: Final = Path(__file__).parent.parent / "README.md"
WINDOW: Final = 64
_TABLE: Final = re.compile(r"(?<=<!-- measured -->\n).*?(?=<!-- end -->)", re.DOTALL)

Row = tuple[str, str, str]


def write(parts: dict[str, Part], readme: Path = README) -> None:
    """Write the table, with a row for each figure that has results, between its marks in *readme*."""
    sections = {"throughput": _busy, "punctual": _late, "lifecycle": _away}
    rows = [row for name, section in sections.items() if name in parts for row in section(parts[name])]
    lines = ["| | here | `inngest.connect` |", "|---|---|---|", *(f"| {' | '.join(row)} |" for row in rows)]
    readme.write_text(_TABLE.sub(lambda _: "\n".join(lines) + "\n", readme.read_text()))


def _busy(part: Part) -> Iterator[Row]:
    result = throughput.read(part)
    for figure, what, scale, unit in (("rate", "requests/s", 1.0, ""), ("whole_cpu", "CPU per request", 1e6, " µs")):

        def of(subject: str, figure: str = figure, scale: float = scale, unit: str = unit) -> str:
            return f"{result.median(subject, WINDOW, figure) * scale:,.0f}{unit}"

        for subject, how in (("thread", "isolation `thread`"), ("process", "2 processes"), ("none", "`none`")):
            yield f"{what}, {WINDOW} outstanding: {how}", of(subject), of("official")


def _late(part: Part) -> Iterator[Row]:
    late = {(each.subject, each.way): f"{each.lease_late * 1e3:,.0f} ms" for each in punctual.read(part)}
    for subject, way in (("thread", "spin"), ("process", "gil")):
        what = f"leases extended late by at most, a function busy with {punctual.WAYS[way]} (`{subject}`)"
        yield what, late[subject, way], late["official", way]


def _away(part: Part) -> Iterator[Row]:
    figures = {whose: lifecycle.Figures(**part.figures[whose]) for whose in lifecycle.CLIENTS}
    for attribute, what in lifecycle.ROWS.items():
        ours, official = (_seconds(getattr(figures[whose], attribute)) for whose in lifecycle.CLIENTS)
        yield what, ours, official


def _seconds(values: list[float]) -> str:
    median = statistics.median(values)
    return f"{median:.3f} s" if math.isfinite(median) else f"not within {lifecycle.PATIENCE:g} s"
