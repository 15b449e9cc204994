"""Transition coverage as lines on a terminal."""

from collections.abc import Iterable, Iterator, Sequence

from statecharts.tools.coverage.cover import ChartCover, part
from statecharts.tools.coverage.ways import Gap

_HEAD = ("chart", "transitions", "guard outcomes", "guards both ways", "events refused", "ignored")


def table(covers: Sequence[ChartCover]) -> Iterator[str]:
    """A line for each chart, and one for all."""
    rows = [_HEAD, *(_row(cover.label, [cover]) for cover in covers)]
    rows += [_row("all", covers)] if len(covers) > 1 else []
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def missing(gaps: Iterable[Gap]) -> Iterator[str]:
    """Two lines for each gap."""
    for gap in gaps:
        yield f"{gap.what:<13}  {gap.name}"
        yield f"{'':<13}  {gap.way}"


def _row(label: str, covers: Sequence[ChartCover]) -> tuple[str, ...]:
    transitions = [each for cover in covers for each in cover.transitions]
    guarded = [each for each in transitions if each.edge.guard]
    unmoved = [each for cover in covers for each in cover.unmoved]
    return (
        label,
        part([bool(each.taken.count) for each in transitions]),
        part([bool(seen.count) for each in guarded for seen in each.outcomes]),
        f"{sum(all(seen.count for seen in each.outcomes) for each in guarded)} of {len(guarded)}",
        str(sum(each.seen.count for each in unmoved if not each.ignored)),
        str(sum(each.seen.count for each in unmoved if each.ignored)),
    )
