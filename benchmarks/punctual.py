"""Whether heartbeats and lease extensions are on time while user code blocks its event loop: `python -m benchmarks.punctual`.

A hundred requests are held, each with a lease that is to be extended every second. Then one function blocks its loop for ten
seconds: in C code that releases the GIL, in pure Python, or in C code that holds the GIL.
"""

import argparse
import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final

from benchmarks.load import LEASE
from benchmarks.load_client import Load, load_gateway
from benchmarks.results import Part, conditions, measured
from benchmarks.subjects import TITLES, available, faults, joined

SUBJECTS: Final = ("official", "none", "thread", "process")
WAYS: Final = {
    "": "nothing",
    "sleep": "C code that lets others run (`time.sleep`)",
    "spin": "pure Python",
    "gil": "C code that holds the GIL",
}
HELD: Final = 100
INTERVAL: Final = 1
"""Seconds between heartbeats, and between extensions. The official client ignores the first."""
RAMP: Final = 1.0
"""Seconds over which the held requests are sent."""


@dataclass(frozen=True)
class Sample:
    """One subject and one way of blocking: how many heartbeats and extensions came, and by how many seconds the latest was late."""

    subject: str
    way: str
    beats: int
    beat_late: float
    extensions: int
    lease_late_p99: float
    lease_late: float
    faults: list[str]


async def measure(subjects: Sequence[str], ways: Sequence[str], seconds: float) -> list[Sample]:
    async with load_gateway() as load:
        await load.call("pace", INTERVAL, INTERVAL)
        return [await _sample(load, subject, way, seconds) for way in ways for subject in subjects]


async def _sample(load: Load, subject: str, way: str, seconds: float) -> Sample:
    async with contextlib.AsyncExitStack() as stack:
        worker = await joined(stack, load, subject, f"{subject}-{way}")
        await load.call("hold", worker.name, HELD, seconds + 3 * RAMP, RAMP)
        await asyncio.sleep(RAMP)
        await load.call("mark", worker.name)
        if way:
            await load.call("block", worker.name, way, seconds)
        # Heartbeats and extensions that the block delayed come after it: wait for them.
        await asyncio.sleep(seconds + RAMP / 2)
        marked = await load.call("mark", worker.name)
        return Sample(
            subject=subject,
            way=way,
            beats=marked["beats"],
            beat_late=max(0.0, marked["beat_gap_max"] - INTERVAL),
            extensions=marked["extensions"],
            lease_late_p99=max(0.0, marked["age_p99"] - INTERVAL),
            lease_late=max(0.0, marked["age_max"] - INTERVAL),
            faults=await faults(load, worker, f"{TITLES[subject]}, {WAYS[way]}"),
        )


def section(part: Part) -> str:
    """One table, with a row for each way and subject."""
    seconds = part.figures["seconds"]
    lines = [
        f"| a function is busy for {seconds:g} s with | | heartbeats | late by at most "
        "| lease extensions | late, p99 | late by at most |",
        "|---|---|---|---|---|---|---|",
    ]
    samples = read(part)
    lines += [f"| {WAYS[each.way]} | {TITLES[each.subject]} | {' | '.join(_cells(each))} |" for each in samples]
    note = (
        f"A lease that is extended {(LEASE - 1) * INTERVAL} s late is lost. "
        "In isolation `none` a function runs on the connection's loop: it must not block."
    )
    return "\n".join([*lines, "", note, *(f"\n{fault}" for each in samples for fault in each.faults)])


def _cells(sample: Sample) -> list[str]:
    own = sample.subject == "official"
    return [
        "(its own interval)" if own else f"{sample.beats}",
        "" if own else _late(sample.beat_late),
        f"{sample.extensions:,}",
        _late(sample.lease_late_p99),
        _late(sample.lease_late),
    ]


def _late(seconds: float) -> str:
    return f"{seconds * 1e3:,.0f} ms"


def read(part: Part) -> list[Sample]:
    return [Sample(**each) for each in part.figures["samples"]]


async def run(seconds: float = 10.0, subjects: Sequence[str] = SUBJECTS, ways: Sequence[str] = tuple(WAYS)) -> Part:
    samples = await measure(available(subjects), ways, seconds)
    command = f"python -m benchmarks.punctual --seconds {seconds:g}"
    return Part(conditions(command), {"seconds": seconds, "samples": [asdict(each) for each in samples]})


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seconds", type=float, default=10.0, help="how long the function blocks")
    parser.add_argument("--subjects", nargs="+", choices=TITLES, default=SUBJECTS)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=tuple(WAYS))
    measured("punctual", parser, run, section)


if __name__ == "__main__":
    main()
