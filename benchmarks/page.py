"""Writes docs/performance.md and its plots from the saved results: `python -m benchmarks.page`. No number is typed by hand."""

import argparse
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks import drain, idle, imports, inflight, lifecycle, memory, punctual, soak, summary, throughput
from benchmarks.results import FOLDER, Part, load
from benchmarks.subjects import TITLES

DOCS: Final = Path(__file__).parent.parent / "docs"

INTRODUCTION: Final = """\
# Performance

Ours beside the official Python client (`inngest.connect`) and beside a *floor*: one loop of 60 lines that only decodes,
acknowledges, calls the SDK's request handler and replies. The floor has no leases, does not reconnect and does not shut down. It
writes each frame by itself, and has the SDK and the garbage collector as they are: ours can be faster where requests overlap.
Ours and the official client start alike, as a user's program does: `asyncio.run(connect(APPS).start())`, without uvloop. A row says
where all of it ran on uvloop, or where our command started it.

`make bench` measures everything anew, in about two hours, and writes this page; [benchmarks/README.md](../benchmarks/README.md)
says how each figure comes about. Times depend on the machine, and on what else it does. So look at the ratios: each is taken within
one run, on the same loop."""


MISSED: Final = """\
Where aims are missed, why, and what would be next:

- *One request at a time, in a thread or in processes*: the request crosses from the connection's thread to the user's, or to a
  process, and back. The official client crosses threads, too. Each crossing wakes what sleeps: four context switches for each
  request, where one loop has one or two. Measured apart, two bare asyncio loops take 20 µs there and back where both threads are
  on one core, and up to 100 µs where the other core has to be woken; and code that has just slept runs two to three times as long
  as in a batch, as the CPU for each request at windows 1 and 64 shows. Next: functions on the connection's loop
  (`isolation="none"`), or a Python without the interpreter's lock.
- *One request at a time, to the floor*: a worker steps a chart, keeps the lease, holds the reply until it is acknowledged, and
  remembers it for a redelivery. One request shares none of that with another. Next: aiohttp's reading and framing in larger pieces.
- *Start of processes*: each imports the SDK, which is three quarters of its time, after the worker has done so. A fork server would
  save that: [processes](decisions/processes.md) says what was measured.
- *10,000 leases, p99*: where this is measured over 10 s, half of the extensions are those of the first sweep, which comes while
  10,000 requests are being taken. Over 20 s, the default, the p99 was 1.000 intervals.
- *Memory while idle*: aiohttp, protobuf and the charts come besides the SDK (*What importing costs*)."""


@dataclass(frozen=True)
class Chapter:
    """A chapter of the page, made from one part of the results."""

    title: str
    section: Callable[[Part], str]
    plots: Callable[[Part], dict[str, str]] = lambda _: {}


CHAPTERS: Final = {
    "throughput": Chapter("Throughput", throughput.section, throughput.plots),
    "idle": Chapter("Starting, and idling", idle.section),
    "imports": Chapter("What importing costs", imports.section),
    "punctual": Chapter("Punctual, whatever user code does", punctual.section),
    "inflight": Chapter("Many requests in flight", inflight.section, inflight.plots),
    "memory": Chapter("Memory over time", memory.section, memory.plots),
    "lifecycle": Chapter("Being away", lifecycle.section),
    "drain": Chapter("200 workers, one gateway that drains", drain.section),
    "soak": Chapter("Under continuous faults", soak.section),
}


def write(docs: Path = DOCS, folder: Path = FOLDER) -> None:
    """Write the page and its plots, from all parts that have results."""
    parts = measured_so_far(folder)
    docs.mkdir(exist_ok=True)
    for name, part in parts.items():
        for plot, drawing in CHAPTERS[name].plots(part).items():
            (docs / f"{plot}.svg").write_text(drawing)
    chapters = [_chapter(CHAPTERS[name], part) for name, part in parts.items()]
    (docs / "performance.md").write_text("\n\n".join([INTRODUCTION, *_aims(parts), MISSED, *chapters]) + "\n")


def measured_so_far(folder: Path = FOLDER) -> dict[str, Part]:
    """The parts that have results."""
    return {name: part for name in CHAPTERS if (part := load(name, folder))}


def _chapter(chapter: Chapter, part: Part) -> str:
    pictures = [f"![{plot}]({plot}.svg)" for plot in chapter.plots(part)]
    of = part.conditions
    where = f"{of['date']}; {of['machine']}; load {of['load']}; {of['versions']}; `{of['command']}`"
    return "\n\n".join([f"## {chapter.title}", *pictures, chapter.section(part), f"*{where}*"])


# -- aims ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Aim:
    """A figure, its aim and its measured value. *above*: the value should be at least the aim; else at most."""

    what: str
    above: bool
    aim: float
    value: float | None
    unit: str = ""

    def row(self) -> str:
        sign = "≥" if self.above else "≤"
        if self.value is None:
            return f"| {self.what} | {sign} {self.aim:g}{self.unit} | not measured | |"
        met = self.value >= self.aim if self.above else self.value <= self.aim
        verdict = "met" if met else "**missed**"
        return f"| {self.what} | {sign} {self.aim:g}{self.unit} | {self.value:.3g}{self.unit} | {verdict} |"


def _aims(parts: dict[str, Part]) -> list[str]:
    asked = {"throughput": _busy, "idle": _idle, "punctual": _blocked, "inflight": _many, "memory": _long}
    rows = [aim.row() for name, aims in asked.items() if name in parts for aim in aims(parts[name])]
    return ["\n".join(["## Aims", "", "| figure | aim | measured | |", "|---|---|---|---|", *rows])] if rows else []


_BUSY: Final = (
    ("floor", "official", "rate", 64, True, 1.5),
    ("thread", "official", "rate", 64, True, 1.5),
    ("thread", "official", "p50", 1, False, 0.8),
    ("process", "official", "rate", 64, True, 3.0),
    ("process", "official", "rate", 1, True, 1.3),
    ("none", "floor", "rate", 64, True, 0.95),
    ("none", "floor", "rate", 1, True, 0.85),
    ("none-uvloop", "floor-uvloop", "rate", 64, True, 0.95),
    ("none-uvloop", "floor-uvloop", "rate", 1, True, 0.85),
)
"""Of a ratio: the subject, what it is compared with, the figure, the window, whether the aim is a least value, and the aim."""


def _busy(part: Part) -> Iterator[Aim]:
    result = throughput.read(part)
    for subject, base, figure, window, above, aim in _BUSY:
        what = "requests/s" if figure == "rate" else figure
        ratio = result.ratio(subject, window, figure, base)
        yield Aim(f"{what} at window {window}: {TITLES[subject]}, to {TITLES[base]}", above, aim, ratio)


_STARTS: Final = (("thread", "official", 1.25), ("process", "thread", 2.0))
"""Subjects, what their start is compared with, and the aim of the ratio."""


def _idle(part: Part) -> Iterator[Aim]:
    found = idle.read(part)
    for subject, base, aim in _STARTS:
        if ratios := found.start_ratios(subject, base) if subject in found.starts else []:
            what = f"process start to routable: {TITLES[subject]}, to {TITLES[base]}"
            yield Aim(what, False, aim, statistics.median(ratios))
    if {"official", "thread"} <= found.starts.keys():
        for what, figure, aim in (("CPU while idle", "whole_cpu", 1.0), ("RSS while idle", "whole_rss", 1.1)):
            ratio = found.median("thread", figure) / found.median("official", figure)
            yield Aim(f"{what}: {TITLES['thread']}, to {TITLES['official']}", False, aim, ratio)


def _blocked(part: Part) -> Iterator[Aim]:
    for subject, way in (("thread", "sleep"), ("thread", "spin"), ("process", "gil")):
        for sample in punctual.read(part):
            if (sample.subject, sample.way) == (subject, way):
                busy = f"isolation `{subject}`, busy with {punctual.WAYS[way]}"
                yield Aim(f"{busy}: heartbeats late by at most", False, 100, sample.beat_late * 1e3, " ms")
                yield Aim(f"{busy}: lease extensions late, p99", False, 100, sample.lease_late_p99 * 1e3, " ms")


def _many(part: Part) -> Iterator[Aim]:
    samples, held = inflight.read(part), 10_000
    if any((each.subject, each.held) == ("none-noop", held) for each in samples):
        where = f"{held:,} requests held, executing nothing"
        late = inflight.lateness(samples, "none-noop", held) * 1e3
        yield Aim(f"{where}: heartbeats late by at most", False, 100, late, " ms")
        rss = inflight.median(samples, "none-noop", held, "whole_rss") / 1e6
        yield Aim(f"{where}: RSS", False, 250, rss, " MB")
        oldest = inflight.median(samples, "none-noop", held, "age_max") / inflight.EXTENSION
        yield Aim(f"{where}: oldest lease when it was extended, in intervals", False, 2, oldest)
        extended = inflight.median(samples, "none-noop", held, "age_p99") - inflight.EXTENSION
        yield Aim(f"{where}: lease extensions late, p99", False, 100, max(0.0, extended) * 1e3, " ms")


def _long(part: Part) -> Iterator[Aim]:
    for subject in (curve.subject for curve in memory.read(part) if curve.subject != "official"):
        what = f"growth of RSS over {part.figures['requests']:,} requests, the first tenth apart: `{subject}`"
        yield Aim(what, False, 5, memory.growth(part, subject) * 100, " %")


def main() -> None:
    argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0]).parse_args()
    write()
    summary.write(measured_so_far())


if __name__ == "__main__":
    main()
