"""Requests per second, latency, CPU and memory of every worker under the same load.

`python -m benchmarks.throughput [--rounds 5] [--windows 1 16 64 256] [--seconds 3] [--subjects …]`; a quick look is
`--rounds 1 --windows 64 --seconds 2`.

A window is the number of requests that are outstanding at any time. In each round every worker is started anew. For each window the
workers are driven one after the other, A B C A B C, so that other load on the machine affects all alike. Ratios are taken within a
round, between workers on the same loop.
"""

import argparse
import asyncio
import contextlib
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Final

from benchmarks import svg
from benchmarks.load_client import Load, load_gateway
from benchmarks.results import Part, conditions, measured, spread
from benchmarks.subjects import ANSWER, TITLES, UVLOOP, Subject, available, faults, floor, joined, official
from benchmarks.usage import cpu_seconds

WINDOWS: Final = (1, 16, 64, 256)
WARM_UP: Final = 0.5
"""Seconds before each measurement that do not count; at most as long as the measurement."""


@dataclass(frozen=True)
class Sample:
    """One subject, window and round: latencies in seconds, CPU in seconds per request, memory in bytes.

    `switches` are the context switches per request, of all processes. `load_cpu` is how much of a core the load gateway used.
    """

    subject: str
    round: int
    window: int
    rate: float
    p50: float
    p99: float
    connection_cpu: float
    whole_cpu: float
    switches: float
    connection_rss: int
    whole_rss: int
    load_cpu: float


@dataclass
class Throughput:
    """All samples, and the faults that make them doubtful."""

    samples: list[Sample] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def subjects(self) -> list[str]:
        return list(dict.fromkeys(sample.subject for sample in self.samples))

    def windows(self) -> list[int]:
        return list(dict.fromkeys(sample.window for sample in self.samples))

    def values(self, subject: str, window: int, figure: str) -> list[float]:
        """The value of *figure* in each round."""
        return [getattr(each, figure) for each in self.samples if (each.subject, each.window) == (subject, window)]

    def median(self, subject: str, window: int, figure: str) -> float:
        return statistics.median(self.values(subject, window, figure))

    def ratios(self, subject: str, window: int, figure: str, base: str) -> list[float]:
        """The ratio of *subject* to *base* in each round; empty if *base* was not measured."""
        pairs = zip(self.values(subject, window, figure), self.values(base, window, figure), strict=False)
        return [above / below for above, below in pairs if below]

    def ratio(self, subject: str, window: int, figure: str, base: str) -> float | None:
        """The median of `ratios`; None if *base* was not measured."""
        ratios = self.ratios(subject, window, figure, base)
        return statistics.median(ratios) if ratios else None


async def measure(subjects: Sequence[str], *, rounds: int, windows: Sequence[int], seconds: float) -> Throughput:
    """Measure each subject at each window, in each round."""
    result = Throughput()
    async with load_gateway() as load:
        for number in range(rounds):
            async with contextlib.AsyncExitStack() as stack:
                workers = {each: await joined(stack, load, each, f"{each}-{number}") for each in subjects}
                for window in windows:
                    for subject, worker in workers.items():
                        result.samples.append(await _sample(load, worker, subject, number, window, seconds))
                for subject, worker in workers.items():
                    result.faults += await faults(load, worker, f"{TITLES[subject]}, round {number + 1}")
    return result


async def _sample(load: Load, worker: Subject, subject: str, number: int, window: int, seconds: float) -> Sample:
    await load.call("drive", worker.name, window)
    await asyncio.sleep(min(WARM_UP, seconds))
    await load.call("mark", worker.name)
    before, load_before = worker.usage(), cpu_seconds(load.process.pid)
    await asyncio.sleep(seconds)
    marked = await load.call("mark", worker.name)
    after, load_after = worker.usage(), cpu_seconds(load.process.pid)
    await load.call("stop", worker.name, ANSWER)
    replies = max(1, marked["replies"])
    return Sample(
        subject=subject,
        round=number,
        window=window,
        rate=marked["replies"] / marked["seconds"],
        p50=marked["p50"],
        p99=marked["p99"],
        connection_cpu=(after.connection_cpu - before.connection_cpu) / replies,
        whole_cpu=(after.whole_cpu - before.whole_cpu) / replies,
        switches=(after.switches - before.switches) / replies,
        connection_rss=after.connection_rss,
        whole_rss=after.whole_rss,
        load_cpu=(load_after - load_before) / marked["seconds"],
    )


# -- the section of the page --------------------------------------------------------------------------------------------------

_HEADINGS: Final = (
    *("requests/s", "to official", "to the floor", "p50", "to official", "p99"),
    *("CPU per request: connection process", "all processes", "context switches per request"),
    *("RSS: connection process", "all processes"),
)
_PLOTTED: Final = ("official", f"official{UVLOOP}", "none", "thread", "process", "floor")


def table(result: Throughput, window: int) -> str:
    """A Markdown table, with a row for each subject."""
    lines = [f"| window {window} | {' | '.join(_HEADINGS)} |", "|---" * (len(_HEADINGS) + 1) + "|"]
    lines += [f"| {TITLES[each]} | {' | '.join(_cells(result, each, window))} |" for each in result.subjects()]
    return "\n".join(lines)


def _cells(result: Throughput, subject: str, window: int) -> list[str]:
    def of(figure: str, scale: float, unit: str) -> str:
        return f"{result.median(subject, window, figure) * scale:,.3g} {unit}".rstrip()

    def to(base: str, figure: str) -> str:
        return "" if subject == base else spread(result.ratios(subject, window, figure, base))

    rates = result.values(subject, window, "rate")
    return [
        f"{statistics.median(rates):,.0f} ({min(rates):,.0f} … {max(rates):,.0f})",
        *(to(official(subject), "rate"), to(floor(subject), "rate")),
        *(of("p50", 1e3, "ms"), to(official(subject), "p50"), of("p99", 1e3, "ms")),
        *(of("connection_cpu", 1e6, "µs"), of("whole_cpu", 1e6, "µs"), of("switches", 1, "")),
        *(of("connection_rss", 2**-20, "MiB"), of("whole_rss", 2**-20, "MiB")),
    ]


COMMAND: Final = "The command is started with its defaults: it logs a line for each execution, which the others do not."


def section(part: Part) -> str:
    """The tables, what the official client gains from uvloop, and how busy the load gateway was."""
    result = read(part)
    notes = [COMMAND, _best_official(result), _load(result)]
    return "\n\n".join([*(table(result, window) for window in result.windows()), *filter(None, notes), *result.faults])


def _best_official(result: Throughput) -> str:
    """How the official client compares with itself on uvloop; empty: not measured."""
    best = f"official{UVLOOP}"
    gains = {window: result.ratios(best, window, "rate", "official") for window in result.windows()}
    said = ", ".join(f"{spread(ratios)} at window {window}" for window, ratios in gains.items() if ratios)
    return (
        said
        and f"The best setting of the official client is uvloop's policy: its requests/s to those on the default loop are {said}."
    )


def _load(result: Throughput) -> str:
    """How much of a core the load gateway used."""
    busiest = max(result.samples, key=lambda sample: sample.load_cpu)
    others = statistics.median(sample.load_cpu for sample in result.samples)
    return (
        f"The load gateway shares the machine's cores with the workers. At its busiest it used {busiest.load_cpu:.0%} of a core, "
        f"with {TITLES[busiest.subject]} at window {busiest.window}; the median is {others:.0%}."
    )


def plots(part: Part) -> dict[str, str]:
    result = read(part)
    lines = [
        svg.Series(TITLES[each], [(window, result.median(each, window, "rate")) for window in result.windows()])
        for each in _PLOTTED
        if each in result.subjects()
    ]
    title = "Requests per second, one async function, medians"
    return {"throughput": svg.chart(title, "requests outstanding", "requests/s", lines, log_x=True)}


def read(part: Part) -> Throughput:
    return Throughput([Sample(**each) for each in part.figures["samples"]], part.figures["faults"])


async def run(
    rounds: int = 5, windows: Sequence[int] = WINDOWS, seconds: float = 3.0, subjects: Sequence[str] = tuple(TITLES)
) -> Part:
    result = await measure(available(subjects), rounds=rounds, windows=windows, seconds=seconds)
    shown = f"--rounds {rounds} --windows {' '.join(map(str, windows))} --seconds {seconds:g}"
    return Part(conditions(f"python -m benchmarks.throughput {shown}"), asdict(result))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--windows", type=int, nargs="+", default=WINDOWS, help="how many requests are outstanding")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--subjects", nargs="+", choices=TITLES, default=list(TITLES))
    measured("throughput", parser, run, section)


if __name__ == "__main__":
    main()
