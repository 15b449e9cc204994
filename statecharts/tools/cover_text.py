"""Transition coverage as lines on a terminal."""

from collections.abc import Iterator, Sequence
from typing import Any

from statecharts.tools.cover import ChartCover, percent
from statecharts.tools.ways import Ways

_HEAD = ("chart", "transitions", "guards both ways", "guard outcomes", "events that moved nothing")


def table(covers: Sequence[ChartCover]) -> Iterator[str]:
    """A line for each chart, and one for all."""
    rows = [_HEAD, *(_row(cover.label, [cover]) for cover in covers)]
    rows += [_row("all", covers)] if len(covers) > 1 else []
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def missing(chart: type[Any], cover: ChartCover) -> Iterator[str]:
    """Each transition that was not taken, each guard seen one way only, and how they could be."""
    ways = Ways(chart)
    for each in cover.transitions:
        if not each.taken.count:
            yield f"not taken      {each.name}"
            yield f"               {ways.to_take(each.edge)}"
        if each.edge.guard and not each.held.count:
            yield f"never held     {each.name}"
            yield f"               {ways.to_take(each.edge)}"
        if each.edge.guard and not each.refused.count:
            yield f"never refused  {each.name}"
            yield f"               {ways.to_refuse(each.edge)}"


def _row(label: str, covers: Sequence[ChartCover]) -> tuple[str, ...]:
    transitions = [each for cover in covers for each in cover.transitions]
    guarded = [each for each in transitions if each.edge.guard]
    outcomes = [seen for cover in covers for seen in cover.outcomes]
    return (
        label,
        _part(sum(cover.taken for cover in covers), len(transitions)),
        _part(sum(all(seen.count for seen in each.outcomes) for each in guarded), len(guarded)),
        _part(sum(bool(seen.count) for seen in outcomes), len(outcomes)),
        str(sum(each.seen.count for cover in covers for each in cover.unmoved)),
    )


def _part(part: int, whole: int) -> str:
    return f"{part} of {whole} ({percent(part, whole):.1f} %)"
