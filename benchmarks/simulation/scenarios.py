"""What happens to a fleet: drains, outages, a brown-out, a plan's limit, a deploy."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.simulation.fleet import Fleet
from benchmarks.simulation.policies import POLICIES

OUTAGE: Final = 122.3
"""Two minutes, and no multiple of five seconds: a fixed wait would look punctual."""
BLIP: Final = 21.3
FAILING: Final = 41.3
BROWN_OUT: Final = 60.0
UNNOTICED: Final = 10.0
"""Seconds for which the API still offers a gateway that has crashed: until its heartbeat is older than that (PROTOCOL.md §11.4)."""
BETWEEN_DRAINS: Final = 40.0
WAVES: Final = 4
"""Of a deploy: a quarter of the workers at once, as Kubernetes does by default."""
BETWEEN_WAVES: Final = 20.0
BOOT: Final = (2.0, 6.0)
"""Seconds for a worker's process to start."""


@dataclass(frozen=True)
class Scenario:
    """*happens* begins at 0. Seconds without a route count from *since* on, when the server is back, until the end, *lasts*.

    *policies*: those that are tried. *part*: of the fleet, where fewer workers show as much.
    """

    title: str
    happens: Callable[[Fleet], Coroutine[Any, Any, None]]
    since: float
    lasts: float
    policies: tuple[str, ...] = tuple(POLICIES)
    part: float = 1.0


async def _rolling_drain(fleet: Fleet) -> None:
    for group in fleet.region.groups:
        draining = asyncio.create_task(group.drain())
        await asyncio.sleep(BETWEEN_DRAINS)
        await draining
        group.renew()


def _outage(seconds: float, *, silent: bool) -> Callable[[Fleet], Coroutine[Any, Any, None]]:
    async def happens(fleet: Fleet) -> None:
        fleet.region.go_away(silent=silent)
        await asyncio.sleep(seconds)
        fleet.region.come_back()

    return happens


async def _brown_out(fleet: Fleet) -> None:
    fleet.region.slow_down(1 / 20)
    await _crash(fleet)
    await asyncio.sleep(BROWN_OUT - UNNOTICED)
    fleet.region.slow_down(1)


async def _limit(fleet: Fleet) -> None:
    fleet.region.limit = fleet.size * 9 // 10
    await _crash(fleet)
    await asyncio.sleep(OUTAGE - UNNOTICED)
    fleet.region.limit = None


async def _failing(fleet: Fleet) -> None:
    fleet.region.is_failing = True
    for group in fleet.region.groups:
        group.drop_all()
    await asyncio.sleep(FAILING)
    fleet.region.is_failing = False


async def _weak(fleet: Fleet) -> None:
    fleet.region.slow_down(1 / 10)
    await _outage(BLIP, silent=False)(fleet)


async def _crash(fleet: Fleet) -> None:
    group = fleet.region.groups[0]
    group.crash()
    await asyncio.sleep(UNNOTICED)
    group.is_listed = False


async def _deploy(fleet: Fleet) -> None:
    workers = list(range(fleet.size))
    fleet.rng.shuffle(workers)
    for wave in range(WAVES):
        for worker in workers[wave::WAVES]:
            fleet.restart(worker, fleet.rng.uniform(*BOOT))
        await asyncio.sleep(BETWEEN_WAVES)


_MAIN: Final = ("ours", "fixed-for-ever", "javascript")

SCENARIOS: Final = {
    "drain": Scenario("rolling drain of 4 gateway groups", _rolling_drain, 0.0, 200.0, _MAIN),
    "outage": Scenario("region away for 2 min, connections refused", _outage(OUTAGE, silent=False), OUTAGE, 420.0),
    "blip": Scenario("region away for 20 s, connections refused", _outage(BLIP, silent=False), BLIP, 140.0, part=0.1),
    "silence": Scenario(
        "region away for 2 min, nothing answers", _outage(OUTAGE, silent=True), OUTAGE, 420.0, part=0.1
    ),
    "weak": Scenario("region away for 20 s, and an API that takes a tenth", _weak, BLIP, 140.0, part=0.1),
    "failing": Scenario("all links lost, API answers 503 for 40 s", _failing, FAILING, 200.0),
    "brown-out": Scenario("API at a 20th for 1 min, as a gateway group crashes", _brown_out, 0.0, 240.0, part=0.2),
    "limit": Scenario("plan's limit at 90 %, raised after 2 min, as a group crashes", _limit, OUTAGE, 420.0, part=0.2),
    "deploy": Scenario("deploy of all workers, a quarter at a time", _deploy, 0.0, 120.0, part=0.2),
}
