"""A fleet that loses its server: who is back when, and what that asks of the server. In simulation, with the worker's own code.

`python -m benchmarks.fleet [--workers 10000] [--scenarios outage drain]`; benchmarks/scale.py writes docs/scale.md of it. It takes
an hour and a half of CPU, a tenth of that with `--workers 1000`. Some scenarios take a part of the workers: see scenarios.py.
"""

import argparse
import asyncio
import gc
import logging
import math
import os
import random
import resource
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from itertools import product
from typing import Final

from benchmarks.results import Part, conditions, measured
from benchmarks.simulation.clock import VirtualLoop
from benchmarks.simulation.fleet import Fleet
from benchmarks.simulation.policies import POLICIES, SWEEP
from benchmarks.simulation.record import Record
from benchmarks.simulation.region import Strength
from benchmarks.simulation.scenarios import SCENARIOS, Scenario

EACH: Final = 2
"""Executions that every worker has in flight when a scenario begins."""
LONGEST: Final = 20.0
"""Seconds that such an execution takes, at most."""
LOAD, RATE = 0.7, 10.0
"""The part of the fleet that the arriving requests keep busy, and the requests a second that one worker serves."""
SWEPT: Final = "blip"
"""The scenario in which other constants are tried: short enough that ours are the same all the time."""
SHARES: Final = (0.5, 0.95, 0.99, 0.999)
SHOWN: Final = 70.0
"""Seconds of a plot."""


def strength(workers: int) -> Strength:
    """What the server of so many workers can take: see the introduction of the page."""
    return Strength(starts=1.0 * workers, flushes=2.0 * workers, accepts=0.4 * workers)


@dataclass(frozen=True)
class Run:
    """What one policy made of one scenario. Times are seconds; counts are those of all workers together.

    *away*: seconds without a route of the worker at 50, 95, 99 and 99.9 %. *start_peak*, *flush_peak*: the most a second, in a
    tenth of one. *backlog*: the most requests that waited; *caught_up*: for how many seconds some did. *routable*, *starts*: plots.
    """

    policy: str
    scenario: str
    workers: int
    away: list[float]
    never: int
    start_peak: float
    start_total: int
    flush_peak: float
    refused: int
    backlog: float
    caught_up: float
    owed: int
    lost: int
    given_up: int
    routable: list[tuple[float, float]]
    starts: list[tuple[float, float]]
    cpu: float
    rss: int
    lived: float


def simulate(policy: str, scenario: str, workers: int, seed: int = 1) -> Run:
    """Run *scenario*, in this process. Takes up to 15 minutes of CPU for 10,000 workers."""
    began = time.process_time()
    random.seed(seed)  # tenacity draws from this one
    logging.disable(logging.CRITICAL)  # the worker's lines about each attempt
    try:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            fleet, begin = runner.run(_lived(policy, SCENARIOS[scenario], workers, seed))
    finally:
        logging.disable(logging.NOTSET)
        gc.unfreeze()
    return _figures(fleet, begin, policy, scenario, time.process_time() - began)


async def _lived(policy: str, scenario: Scenario, workers: int, seed: int) -> tuple[Fleet, float]:
    fleet = Fleet(workers, (POLICIES | SWEEP)[policy], strength(workers), seed)
    async with fleet.running():
        gc.freeze()  # the collector would walk through all workers again and again
        fleet.work(EACH, LONGEST)
        await asyncio.sleep(1.0)
        begin = asyncio.get_running_loop().time()
        happening = asyncio.create_task(scenario.happens(fleet))
        await asyncio.sleep(scenario.lasts)
        await happening
    return fleet, begin


def _figures(fleet: Fleet, begin: float, policy: str, scenario: str, cpu: float) -> Run:
    plan, record, size = SCENARIOS[scenario], fleet.record, fleet.size
    since, end = begin + plan.since, begin + plan.lasts
    away = record.away(size, since, end)
    backlog, caught_up = record.backlog(size, since, end, load=LOAD, rate=RATE)
    from_ = max(begin, since - 5.0)
    return Run(
        policy=policy,
        scenario=scenario,
        workers=size,
        away=[away[math.ceil(size * share) - 1] for share in SHARES],
        never=sum(map(math.isinf, away)),
        start_peak=record.peak("start requests", begin),
        start_total=record.total("start requests", begin),
        flush_peak=record.peak("flushes", begin),
        refused=record.total("503", begin) + record.total("limit reached", begin),
        backlog=backlog,
        caught_up=caught_up,
        owed=len(fleet.owed),
        lost=len(set(fleet.owed) - record.replies),
        given_up=fleet.given_up,
        routable=_shown(record, size, from_, end),
        starts=record.rates("start requests", from_, min(end, from_ + _span(plan))),
        cpu=cpu,
        rss=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        lived=end,
    )


def _shown(record: Record, size: int, begin: float, end: float) -> list[tuple[float, float]]:
    span = min(SHOWN, end - begin)
    return record.share(size, begin, begin + span, span / 280)


def _span(plan: Scenario) -> float:
    return SHOWN if plan.since else plan.lasts


async def run(
    workers: int = 10_000,
    scenarios: Sequence[str] = tuple(SCENARIOS),
    policies: Sequence[str] = tuple(POLICIES | SWEEP),
) -> Part:
    """Simulate each policy in each scenario, as many at once as there are cores; `SWEEP` in one."""
    runs = [
        (policy, name, max(1, round(workers * SCENARIOS[name].part)))
        for name in scenarios
        for policy in (*SCENARIOS[name].policies, *(SWEEP if name == SWEPT else ()))
        if policy in policies
    ]
    loop = asyncio.get_running_loop()
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), max_tasks_per_child=1) as pool:
        found = await asyncio.gather(*(loop.run_in_executor(pool, simulate, *each) for each in runs))
    return Part(conditions(f"python -m benchmarks.fleet --workers {workers}"), [asdict(each) for each in found])


def section(part: Part) -> str:
    """A table for each scenario, with what each policy made of it."""
    runs = [Run(**each) for each in part.figures]
    groups = [
        [each for each in runs if (each.scenario, each.policy in SWEEP) == group]
        for group in product(SCENARIOS, (False, True))
    ]
    return "\n\n".join(f"{_heading(group[0])}\n\n{table(group)}" for group in groups if group)


def _heading(run: Run) -> str:
    other = ", other constants" if run.policy in SWEEP else ""
    return f"{run.scenario}: {SCENARIOS[run.scenario].title}, {run.workers:,} workers{other}"


def table(runs: Sequence[Run]) -> str:
    """One scenario: a row for each policy."""
    head = (
        "| waits | without a route at 50 % | 95 % | 99 % | 99.9 % | never back | start requests: most/s | in all "
        "| flushes: most/s | refused | requests that waited: most | until | replies lost |"
    )
    return "\n".join([head, "|---" * head.count(" | ") + "|---|", *(_row(each) for each in runs)])


def _row(run: Run) -> str:
    cells = (
        (POLICIES | SWEEP)[run.policy].title,
        *map(seconds, run.away),
        f"{run.never:,}",
        *(f"{count:,.0f}" for count in (run.start_peak, run.start_total, run.flush_peak, run.refused, run.backlog)),
        f"{run.caught_up:.0f} s" if run.backlog else "",
        f"{run.lost:,}",
    )
    return f"| {' | '.join(cells)} |"


def seconds(away: float) -> str:
    """For a table; infinity: the worker has not come back."""
    return "never" if math.isinf(away) else f"{away:.1f} s"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--workers", type=int, default=10_000, help="some scenarios take a part of them")
    parser.add_argument("--scenarios", nargs="+", choices=SCENARIOS, default=tuple(SCENARIOS))
    parser.add_argument("--policies", nargs="+", choices=POLICIES | SWEEP, default=tuple(POLICIES | SWEEP))
    measured("fleet", parser, run, section)


if __name__ == "__main__":
    main()
