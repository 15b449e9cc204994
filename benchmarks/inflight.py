"""Throughput and the punctuality of leases and heartbeats, by the number of requests in flight: `python -m benchmarks.inflight`.

So many requests are held: their function sleeps. Meanwhile a window of 16 ordinary requests keeps the worker as busy as it can be,
and every lease is to be extended every 5 s, six times as often as the real gateway asks. Each point is measured on a new worker.
"""

import argparse
import asyncio
import contextlib
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final

from benchmarks import svg
from benchmarks.load import LEASE
from benchmarks.load_client import Load, load_gateway
from benchmarks.results import Part, conditions, measured
from benchmarks.subjects import TITLES, Subject, available, faults, joined

SUBJECTS: Final = ("official", "none", "thread", "process", "none-noop")
COUNTS: Final = (1, 10, 100, 1_000, 10_000)
WINDOW: Final = 16
HEARTBEAT, EXTENSION = 2, 5
"""Seconds between heartbeats, and between extensions. The official client ignores the first."""
RAMP, SETTLE, ACCEPT, END = 0.2, 0.05, 0.45, 0.9
"""Shares of the time for which requests are held: they are sent until RAMP; then, SETTLE later, CPU is measured; from ACCEPT to END
other requests come beside them, and the rest is measured."""


@dataclass(frozen=True)
class Sample:
    """One subject with one number of held requests. Ages of leases at their extension, and gaps, in seconds; memory in bytes."""

    subject: str
    held: int
    rate: float
    p99: float
    extensions: int
    age_p50: float
    age_p99: float
    age_max: float
    beat_gap_max: float
    whole_rss: int
    faults: list[str]
    cpu: float | None = None
    """Seconds of CPU a second, of all processes, while the requests are held and nothing else is asked. None: saved before this was
    measured."""


async def measure(subjects: Sequence[str], counts: Sequence[int], seconds: float, rounds: int) -> list[Sample]:
    async with load_gateway() as load:
        await load.call("pace", HEARTBEAT, EXTENSION)
        return [
            await _point(load, subject, f"{subject}-{held}-{number}", held, seconds)
            for number in range(rounds)
            for held in counts
            for subject in subjects
        ]


async def _point(load: Load, subject: str, name: str, held: int, seconds: float) -> Sample:
    async with contextlib.AsyncExitStack() as stack:
        worker = await joined(stack, load, subject, name)
        await load.call("hold", name, held, seconds, seconds * RAMP)
        await asyncio.sleep(seconds * SETTLE)
        before = worker.usage().whole_cpu
        await asyncio.sleep(seconds * (ACCEPT - RAMP - SETTLE))
        cpu = (worker.usage().whole_cpu - before) / (seconds * (ACCEPT - RAMP - SETTLE))
        await load.call("drive", name, WINDOW)
        await load.call("mark", name)
        await asyncio.sleep(seconds * (END - ACCEPT))
        marked, usage = await load.call("mark", name), worker.usage()
        await load.call("drive", name, 0)
        return Sample(
            subject=subject,
            held=held,
            rate=marked["replies"] / marked["seconds"],
            whole_rss=usage.whole_rss,
            cpu=cpu,
            faults=await _faults(load, worker, subject, held, marked),
            **{each: marked[each] for each in ("p99", "extensions", "age_p50", "age_p99", "age_max", "beat_gap_max")},
        )


async def _faults(load: Load, worker: Subject, subject: str, held: int, marked: dict[str, float]) -> list[str]:
    where = f"{TITLES[subject]}, {held:,} held"
    early = [f"{where}: only {marked['held']:,.0f} of them were in flight"] if marked["held"] != held else []
    return early + await faults(load, worker, where)


def section(part: Part) -> str:
    """One table, with a row for each subject and number."""
    lines = [
        "| held requests | | requests/s beside them | p99 | age of leases when extended: median | p99 | oldest "
        "| heartbeats late by at most | RSS, all processes | for each held | CPU for each held, an hour |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    samples = read(part)
    for held, subject in dict.fromkeys((each.held, each.subject) for each in samples):
        lines.append(f"| {held:,} | {TITLES[subject]} | {' | '.join(_cells(samples, subject, held))} |")
    note = f"Ages are in intervals of extension: 1 is punctual, at {LEASE} the lease is lost."
    return "\n".join([*lines, "", note, *(f"\n{fault}" for each in samples for fault in each.faults)])


def _cells(samples: Sequence[Sample], subject: str, held: int) -> list[str]:
    ages = [median(samples, subject, held, figure) / EXTENSION for figure in ("age_p50", "age_p99", "age_max")]
    late = f"{lateness(samples, subject, held) * 1e3:.0f} ms"
    return [
        f"{median(samples, subject, held, 'rate'):,.0f}",
        f"{median(samples, subject, held, 'p99') * 1e3:,.1f} ms",
        *(f"{age:.3f}" for age in ages),
        "(its own interval)" if subject == "official" else late,
        f"{median(samples, subject, held, 'whole_rss') * 2**-20:,.1f} MiB",
        *_each(samples, subject, held),
    ]


def _each(samples: Sequence[Sample], subject: str, held: int) -> tuple[str, str]:
    """Memory and CPU of one held request: what so many take, less what one takes."""
    fewest = min(each.held for each in samples if each.subject == subject)
    if held == fewest:
        return "", ""

    def of_each(figure: str) -> float:
        return (median(samples, subject, held, figure) - median(samples, subject, fewest, figure)) / (held - fewest)

    measured_cpu = all(each.cpu is not None for each in samples)
    return (
        f"{of_each('whole_rss') / 1024:,.1f} KiB",
        f"{of_each('cpu') * 3600:,.2f} s" if measured_cpu else "not measured",
    )


def lateness(samples: Sequence[Sample], subject: str, held: int) -> float:
    """By how many seconds the latest heartbeat came too late: its gap to the one before, less the interval."""
    return max(0.0, median(samples, subject, held, "beat_gap_max") - HEARTBEAT)


def median(samples: Sequence[Sample], subject: str, held: int, figure: str) -> float:
    values: list[float] = [getattr(each, figure) for each in samples if (each.subject, each.held) == (subject, held)]
    return statistics.median(values)


def plots(part: Part) -> dict[str, str]:
    samples = read(part)
    counts = list(dict.fromkeys(each.held for each in samples))

    def lines(figure: str, scale: float) -> list[svg.Series]:
        return [
            svg.Series(TITLES[each], [(held, median(samples, each, held, figure) * scale) for held in counts])
            for each in dict.fromkeys(sample.subject for sample in samples)
        ]

    rate, age = "Requests per second beside requests that are held", "The oldest lease when it was extended"
    return {
        "inflight-throughput": svg.chart(rate, "requests held", "requests/s", lines("rate", 1), log_x=True),
        "inflight-leases": svg.chart(age, "requests held", "intervals", lines("age_max", 1 / EXTENSION), log_x=True),
    }


def read(part: Part) -> list[Sample]:
    return [Sample(**each) for each in part.figures]


async def run(
    counts: Sequence[int] = COUNTS, seconds: float = 25.0, rounds: int = 1, subjects: Sequence[str] = SUBJECTS
) -> Part:
    samples = await measure(available(subjects), counts, seconds, rounds)
    command = (
        f"python -m benchmarks.inflight --counts {' '.join(map(str, counts))} --seconds {seconds:g} --rounds {rounds}"
    )
    return Part(conditions(command), [asdict(each) for each in samples])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS, help="how many requests are held")
    parser.add_argument("--seconds", type=float, default=25.0, help="for which they are held")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--subjects", nargs="+", choices=TITLES, default=SUBJECTS)
    measured("inflight", parser, run, section)


if __name__ == "__main__":
    main()
