"""How long a worker takes to start, and what CPU and memory it uses while idle.

`python -m benchmarks.idle [--rounds 3] [--seconds 30]`. In each round the workers start one after the other; then all of them idle
at the same time, with nothing but heartbeats.
"""

import argparse
import asyncio
import contextlib
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final

from benchmarks.load_client import Load, load_gateway
from benchmarks.results import Part, conditions, measured
from benchmarks.subjects import TITLES, Subject, available, joined

SUBJECTS: Final = ("official", "drop-in", "official-uvloop", "none", "thread", "process", "floor")
START_UP: Final = 3.0
"""Seconds after the last start that are not measured."""


@dataclass(frozen=True)
class Sample:
    """One subject in one round: seconds from spawning its process until it is routable, shares of a core, bytes of memory."""

    subject: str
    start: float
    connection_cpu: float
    whole_cpu: float
    connection_rss: int
    whole_rss: int


async def measure(subjects: Sequence[str], *, rounds: int, seconds: float) -> list[Sample]:
    samples: list[Sample] = []
    async with load_gateway() as load:
        for number in range(rounds):
            async with contextlib.AsyncExitStack() as stack:
                started = {each: await _started(stack, load, each, f"{each}-{number}") for each in subjects}
                await asyncio.sleep(min(START_UP, seconds))
                before = {subject: worker.usage() for subject, (worker, _) in started.items()}
                await asyncio.sleep(seconds)
                for subject, (worker, start) in started.items():
                    now, then = worker.usage(), before[subject]
                    connection, whole = now.connection_cpu - then.connection_cpu, now.whole_cpu - then.whole_cpu
                    shares = connection / seconds, whole / seconds
                    samples.append(Sample(subject, start, *shares, now.connection_rss, now.whole_rss))
    return samples


async def _started(stack: contextlib.AsyncExitStack, load: Load, subject: str, name: str) -> tuple[Subject, float]:
    began = time.monotonic()
    worker = await joined(stack, load, subject, name)
    return worker, await load.call("joins", name, 0.0) - began


def section(part: Part) -> str:
    """One table."""
    lines = [
        "| nothing to do | process start to routable | CPU: connection process | all processes "
        "| RSS: connection process | all processes |",
        "|---|---|---|---|---|---|",
    ]
    for subject in dict.fromkeys(each["subject"] for each in part.figures):
        cells = (
            f"{part.median('start', subject=subject) * 1e3:,.0f} ms",
            *(f"{part.median(figure, subject=subject) * 1e3:.2f} ms/s" for figure in ("connection_cpu", "whole_cpu")),
            *(f"{part.median(figure, subject=subject) * 2**-20:.1f} MiB" for figure in ("connection_rss", "whole_rss")),
        )
        lines.append(f"| {TITLES[subject]} | {' | '.join(cells)} |")
    return "\n".join(lines)


async def run(rounds: int = 3, seconds: float = 30.0, subjects: Sequence[str] = SUBJECTS) -> Part:
    samples = await measure(available(subjects), rounds=rounds, seconds=seconds)
    command = f"python -m benchmarks.idle --rounds {rounds} --seconds {seconds:g}"
    return Part(conditions(command), [asdict(each) for each in samples])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=30.0, help="how long the workers idle")
    parser.add_argument("--subjects", nargs="+", choices=TITLES, default=SUBJECTS)
    measured("idle", parser, run, section)


if __name__ == "__main__":
    main()
