"""Writes the README's tables: a few of the measured figures, ours and the official client's."""

import math
import re
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from benchmarks import lifecycle, punctual, throughput
from benchmarks.results import Part
from benchmarks.subjects import official

README: Final = Path(__file__).parent.parent / "README.md"
WINDOWS: Final = (1, 64)
SETTINGS: Final = {
    "": ("official", "thread", "none", "process"),
    ", on uvloop": ("official-uvloop", "thread-uvloop", "none-uvloop", "process-uvloop"),
    ", `python -m connect run`": ("", "command-thread", "", "command-process"),
    ", `python -m connect run` on uvloop": ("", "command-thread-uvloop", "", "command-process-uvloop"),
}
"""The subjects of the first table, by the end of a row's title; "" where there is none. The first: as users' programs start it."""
_TABLE: Final = re.compile(r"(?<=<!-- measured -->\n).*?(?=<!-- end -->)", re.DOTALL)

Row = tuple[str, ...]


def write(parts: dict[str, Part], readme: Path = README) -> None:
    """Write the tables, with a row for each figure that has results, between their marks in *readme*."""
    tables = [_busy(parts["throughput"])] if "throughput" in parts else []
    sections = {"punctual": _late, "lifecycle": _away}
    if rows := [row for name, section in sections.items() if name in parts for row in section(parts[name])]:
        tables.append([("", "here", "`inngest.connect`"), *rows])
    text = "\n".join(map(_table, tables))
    readme.write_text(_TABLE.sub(lambda _: text, readme.read_text()))


def _table(rows: list[Row]) -> str:
    """A Markdown table of *rows*, the first of which has the headings."""
    head, *rest = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([head, "|---" * len(rows[0]) + "|", *rest]) + "\n"


def _busy(part: Part) -> list[Row]:
    """Ours and the official client in every setting that was measured."""
    result = throughput.read(part)
    rows: list[Row] = [("", "`inngest.connect`", "here: `thread`", "`none`", "2 processes")]
    for setting, subjects in SETTINGS.items():
        for window in WINDOWS:
            cells = [_speed(result, each, window) for each in subjects]
            rows += [(f"{window} outstanding{setting}", *cells)] if any(cells) else []
    cpu = (_cpu(result, each) for each in SETTINGS[""])
    return [*rows, (f"CPU per request of all processes, {WINDOWS[-1]} outstanding", *cpu)]


def _speed(result: throughput.Throughput, subject: str, window: int) -> str:
    """Requests/s, what that is to the official client's on the same loop, and the median latency; empty: not measured."""
    if not result.values(subject, window, "rate"):
        return ""
    rate, p50 = result.median(subject, window, "rate"), result.median(subject, window, "p50") * 1e3
    ratio = result.ratio(subject, window, "rate", official(subject))
    more = f" (ratio {ratio:.2f})" if ratio and subject != official(subject) else ""
    return f"{rate:,.0f}/s{more}, {p50:.3g} ms"


def _cpu(result: throughput.Throughput, subject: str) -> str:
    if not result.values(subject, WINDOWS[-1], "whole_cpu"):
        return ""
    return f"{result.median(subject, WINDOWS[-1], 'whole_cpu') * 1e6:,.0f} µs"


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
