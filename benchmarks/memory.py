"""Memory of a worker over many requests: `python -m benchmarks.memory [--requests 200000]`.

The worker answers that many requests, at a window of 64. Every half second the RSS of all its processes together is read.
"""

import argparse
import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final

from benchmarks import svg
from benchmarks.load_client import Load, load_gateway
from benchmarks.results import Part, conditions, measured
from benchmarks.subjects import TITLES, Subject, available, faults, joined

SUBJECTS: Final = ("official", "none", "thread", "process")
WINDOW: Final = 64
EVERY: Final = 0.5
WARM: Final = 0.1
"""The share of all requests after which memory should be flat."""


@dataclass(frozen=True)
class Curve:
    """RSS in bytes, by the number of requests answered."""

    subject: str
    points: list[tuple[int, int]]
    faults: list[str]


async def measure(subjects: Sequence[str], requests: int) -> list[Curve]:
    curves = []
    async with load_gateway() as load:
        for subject in subjects:
            async with contextlib.AsyncExitStack() as stack:
                worker = await joined(stack, load, subject, subject)
                points = await _points(load, worker, requests)
                curves.append(Curve(subject, points, await faults(load, worker, TITLES[subject])))
    return curves


async def _points(load: Load, worker: Subject, requests: int) -> list[tuple[int, int]]:
    points, answered = [(0, worker.usage().whole_rss)], 0
    await load.call("drive", worker.name, WINDOW)
    while answered < requests:
        await asyncio.sleep(EVERY)
        answered += (await load.call("mark", worker.name))["replies"]
        points.append((answered, worker.usage().whole_rss))
    return points


def section(part: Part) -> str:
    """One table."""
    warm = int(WARM * part.figures["requests"])
    lines = [
        f"| {part.figures['requests']:,} requests | RSS at the start | after {warm:,} | at the end | growth since {warm:,} |",
        "|---|---|---|---|---|",
    ]
    for curve in read(part):
        start, middle, end = curve.points[0][1], at(curve, warm), curve.points[-1][1]
        cells = (f"{rss * 2**-20:,.1f} MiB" for rss in (start, middle, end, end - middle))
        lines.append(f"| {TITLES[curve.subject]} | {' | '.join(cells)} |")
    return "\n".join(["\n".join(lines), *(f"\n{each}" for curve in read(part) for each in curve.faults)])


def at(curve: Curve, requests: int) -> int:
    """RSS once *requests* were answered."""
    return next((rss for answered, rss in curve.points if answered >= requests), curve.points[-1][1])


def growth(part: Part, subject: str) -> float:
    """By what share RSS grows from the point where it should be flat to the end."""
    warm = int(WARM * part.figures["requests"])
    curve = next(each for each in read(part) if each.subject == subject)
    return curve.points[-1][1] / at(curve, warm) - 1


def plots(part: Part) -> dict[str, str]:
    lines = [
        svg.Series(TITLES[curve.subject], [(answered, rss * 2**-20) for answered, rss in curve.points])
        for curve in read(part)
    ]
    return {"memory": svg.chart("Memory of all of a worker's processes", "requests answered", "RSS, MiB", lines)}


def read(part: Part) -> list[Curve]:
    return [Curve(**each) for each in part.figures["curves"]]


async def run(requests: int = 200_000, subjects: Sequence[str] = SUBJECTS) -> Part:
    curves = await measure(available(subjects), requests)
    command = f"python -m benchmarks.memory --requests {requests}"
    return Part(conditions(command), {"requests": requests, "curves": [asdict(each) for each in curves]})


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--requests", type=int, default=200_000)
    parser.add_argument("--subjects", nargs="+", choices=TITLES, default=SUBJECTS)
    measured("memory", parser, run, section)


if __name__ == "__main__":
    main()
