"""How long a worker takes to start, and what CPU and memory it uses while idle.

`python -m benchmarks.idle [--rounds 3] [--seconds 30] [--starts 10]`. In each round all workers idle at the same time, with nothing
but heartbeats. Then, as often as asked, each starts alone and ends again, one after the other: A B C A B C.
"""

import argparse
import asyncio
import contextlib
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from benchmarks.load_client import Load, load_gateway
from benchmarks.results import Part, conditions, measured, spread
from benchmarks.subjects import TITLES, UVLOOP, available, joined, official

_WORKERS: Final = ("official", "thread", "none", "process", "floor", "command-thread", "command-process")
SUBJECTS: Final = (*_WORKERS, *(f"{each}{UVLOOP}" for each in _WORKERS))
START_UP: Final = 3.0
"""Seconds after the last start that are not measured."""


@dataclass(frozen=True)
class Idle:
    """One idle subject in one round: shares of a core, bytes of memory."""

    subject: str
    connection_cpu: float
    whole_cpu: float
    connection_rss: int
    whole_rss: int


@dataclass(frozen=True)
class Idling:
    """What was measured. `starts`: for each subject, seconds from spawning its process until it is routable, in each round."""

    idle: list[Idle]
    starts: dict[str, list[float]]

    def subjects(self) -> list[str]:
        return list(self.starts)

    def median(self, subject: str, figure: str) -> float:
        return statistics.median([float(getattr(each, figure)) for each in self.idle if each.subject == subject])

    def start_ratios(self, subject: str, base: str) -> list[float]:
        """The ratio of *subject*'s start to *base*'s in each round; empty if *base* was not measured."""
        return [above / below for above, below in zip(self.starts[subject], self.starts.get(base, []), strict=False)]


async def measure(subjects: Sequence[str], *, rounds: int, seconds: float, starts: int) -> Idling:
    """Measure the starts last: the first start of all may compile what it imports."""
    async with load_gateway() as load:
        idle = [each for number in range(rounds) for each in await _idle(load, subjects, number, seconds)]
        found: dict[str, list[float]] = {subject: [] for subject in subjects}
        for number in range(starts):
            for subject in subjects:
                found[subject].append(await _start(load, subject, f"{subject}-start-{number}"))
    return Idling(idle, found)


async def _idle(load: Load, subjects: Sequence[str], number: int, seconds: float) -> list[Idle]:
    async with contextlib.AsyncExitStack() as stack:
        workers = {each: await joined(stack, load, each, f"{each}-{number}") for each in subjects}
        await asyncio.sleep(min(START_UP, seconds))
        before = {subject: worker.usage() for subject, worker in workers.items()}
        await asyncio.sleep(seconds)
        samples = []
        for subject, worker in workers.items():
            now, then = worker.usage(), before[subject]
            connection, whole = now.connection_cpu - then.connection_cpu, now.whole_cpu - then.whole_cpu
            shares = connection / seconds, whole / seconds
            samples.append(Idle(subject, *shares, now.connection_rss, now.whole_rss))
    return samples


async def _start(load: Load, subject: str, name: str) -> float:
    async with contextlib.AsyncExitStack() as stack:
        began = time.monotonic()
        await joined(stack, load, subject, name)
        routable: float = await load.call("joins", name, 0.0)
    return routable - began


def section(part: Part) -> str:
    """One table."""
    lines = [
        "| nothing to do | process start to routable | to official | CPU: connection process | all processes "
        "| RSS: connection process | all processes |",
        "|---|---|---|---|---|---|---|",
    ]
    found = read(part)
    lines += [f"| {TITLES[subject]} | {' | '.join(_cells(found, subject))} |" for subject in found.subjects()]
    return "\n".join(lines)


def _cells(found: Idling, subject: str) -> Iterator[str]:
    starts = [seconds * 1e3 for seconds in found.starts[subject]]
    yield f"{statistics.median(starts):,.0f} ms ({min(starts):,.0f} … {max(starts):,.0f})"
    yield "" if subject == official(subject) else spread(found.start_ratios(subject, official(subject)))
    yield from (f"{found.median(subject, figure) * 1e3:.2f} ms/s" for figure in ("connection_cpu", "whole_cpu"))
    yield from (f"{found.median(subject, figure) * 2**-20:.1f} MiB" for figure in ("connection_rss", "whole_rss"))


def read(part: Part) -> Idling:
    return Idling([Idle(**each) for each in part.figures["idle"]], part.figures["starts"])


async def run(rounds: int = 3, seconds: float = 30.0, starts: int = 10, subjects: Sequence[str] = SUBJECTS) -> Part:
    found = await measure(available(subjects), rounds=rounds, seconds=seconds, starts=starts)
    command = f"python -m benchmarks.idle --rounds {rounds} --seconds {seconds:g} --starts {starts}"
    return Part(conditions(command), asdict(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=30.0, help="how long the workers idle")
    parser.add_argument("--starts", type=int, default=10, help="how often each worker starts")
    parser.add_argument("--subjects", nargs="+", choices=TITLES, default=SUBJECTS)
    measured("idle", parser, run, section)


if __name__ == "__main__":
    main()
