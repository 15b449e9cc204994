"""How long a worker is not routable: at its start, after a lost link, during a drain, after an outage.

`python -m benchmarks.lifecycle [--rounds N] [--drops N]` measures ours beside the official client, in about two minutes.

The gateway measures: a worker is back when requests can be routed to it. Only ACTIVE is reported by the worker. Each client is a
process and has a gateway of its own; both run at the same time, so that other load on the machine affects both alike. README.md
explains each figure.
"""

import argparse
import asyncio
import contextlib
import math
import statistics
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass, field
from typing import cast

from benchmarks.app import SLUG
from benchmarks.results import Part, conditions, measured
from benchmarks.subjects import end_group, spawn
from connect.gateway import Connection, Gateway, Phase

SUBJECTS = {"ours": "thread", "official": "official"}
CLIENTS = tuple(SUBJECTS)
SPACING = 3.5
"""Seconds from one drop to the next. In any ten seconds, ours replaces three links at once and then backs off."""
LOAD_EVERY = 0.01
DRAINS = 3
OUTAGES = 3
OUTAGE = 30.0
PATIENCE = 35.0
"""Seconds to wait for a worker after an outage: ours waits up to 30 s between the attempts that fall into the outage."""


@dataclass
class Figures:
    """Seconds, one value for each measurement; infinity: the worker did not come back."""

    start_to_active: list[float] = field(default_factory=list)
    process_to_routable: list[float] = field(default_factory=list)
    drop: list[float] = field(default_factory=list)
    drain_unlinked: list[float] = field(default_factory=list)
    drain_away: list[float] = field(default_factory=list)
    drain_slowest: list[float] = field(default_factory=list)
    outage: list[float] = field(default_factory=list)


ROWS = {
    "start_to_active": "`start()` to ACTIVE",
    "process_to_routable": "process start to routable",
    "drop": "abrupt loss to routable again",
    "drain_unlinked": "drain: no connection at all",
    "drain_away": "drain: no connection takes new requests",
    "drain_slowest": "drain: slowest of 300 runs, one every 10 ms",
    "outage": f"API and gateway away for {OUTAGE:g} s: from their return to routable",
}


@dataclass(frozen=True)
class Began:
    """When a worker's process was started, when it was routable (monotonic seconds), and its output."""

    output: asyncio.StreamReader
    at: float
    routable: float

    async def to_active(self) -> float:
        """Seconds from its `start()` to its ACTIVE."""
        called, active = [float(await self.output.readline()) for _ in range(2)]
        return active - called


@contextlib.asynccontextmanager
async def running(whose: str, gateway: Gateway) -> AsyncIterator[Began]:
    """A worker process that is connected to *gateway* and routable; killed at the end."""
    at = time.monotonic()
    process = await spawn(SUBJECTS[whose], gateway.url, whose, "report")
    try:
        await gateway.wait_for_worker(timeout=30)
        yield Began(cast(asyncio.StreamReader, process.stdout), at, time.monotonic())
    finally:
        await end_group(process)


async def away(gateway: Gateway, gone: Connection | None, patience: float = 60.0) -> float:
    """Seconds from now until a connection other than *gone* is routable; infinity after *patience* seconds."""
    began = time.monotonic()
    try:
        await gateway.until(
            lambda: any(each.routable and each is not gone for each in gateway.connections), timeout=patience
        )
    except TimeoutError:
        return math.inf
    return time.monotonic() - began


async def starts(whose: str, figures: Figures) -> None:
    async with Gateway() as gateway, running(whose, gateway) as began:
        figures.process_to_routable.append(began.routable - began.at)
        figures.start_to_active.append(await began.to_active())


async def drops(whose: str, count: int, figures: Figures) -> None:
    async with Gateway() as gateway, running(whose, gateway):
        loop = asyncio.get_running_loop()
        first = loop.time() + SPACING
        for number in range(count):
            await asyncio.sleep(first + number * SPACING - loop.time())
            victim = await gateway.wait_for_worker()
            victim.drop()
            figures.drop.append(await away(gateway, victim))


async def outage(whose: str, figures: Figures) -> None:
    async with Gateway() as gateway, running(whose, gateway):
        await gateway.stop()
        await asyncio.sleep(OUTAGE)
        await gateway.start()
        figures.outage.append(await away(gateway, None, PATIENCE))


async def drains(whose: str, figures: Figures) -> None:
    async with Gateway(routing_timeout=60) as gateway, running(whose, gateway):
        for _ in range(DRAINS):
            await asyncio.sleep(SPACING)
            load = asyncio.create_task(under_load(gateway))
            await asyncio.sleep(0.5)
            absences = [asyncio.create_task(absent(gateway, there)) for there in (is_linked, is_routable)]
            await gateway.drain()
            figures.drain_slowest.append(await load)
            unlinked, unroutable = await asyncio.gather(*absences)
            figures.drain_unlinked.append(unlinked)
            figures.drain_away.append(unroutable)


def is_routable(connection: Connection) -> bool:
    """Whether it takes new requests: from WORKER_READY until GATEWAY_CLOSING is sent."""
    return connection.routable


def is_linked(connection: Connection) -> bool:
    """Whether it carries acknowledgements, extensions and replies: from GATEWAY_CONNECTION_READY until its socket ends."""
    return connection.connected and connection.phase < Phase.DISCONNECTING


async def absent(gateway: Gateway, there: Callable[[Connection], bool]) -> float:
    """For how many of the next three seconds *there* was true of no connection."""

    def any_there() -> bool:
        return any(map(there, gateway.connections))

    total, end = 0.0, time.monotonic() + 3.0
    while (began := time.monotonic()) < end:
        wanted = not any_there()
        with contextlib.suppress(TimeoutError):
            await gateway.until(any_there if wanted else lambda: not any_there(), timeout=end - began)
        total += time.monotonic() - began if wanted else 0.0
    return total


async def under_load(gateway: Gateway) -> float:
    """Start a run every 10 ms for three seconds. Returns how many seconds the slowest one took."""

    async def one() -> float:
        began = time.monotonic()
        await gateway.invoke(SLUG)
        return time.monotonic() - began

    runs = []
    for _ in range(int(3.0 / LOAD_EVERY)):
        runs.append(asyncio.create_task(one()))
        await asyncio.sleep(LOAD_EVERY)
    return max(await asyncio.gather(*runs))


async def measure(rounds: int, count: int) -> dict[str, Figures]:
    figures = {whose: Figures() for whose in CLIENTS}
    for _ in range(rounds):
        for whose in CLIENTS:
            await starts(whose, figures[whose])
    # The outages run beside the drops: they are mostly waiting, and take no CPU from them.
    await asyncio.gather(
        *(drops(whose, count, figures[whose]) for whose in CLIENTS),
        *(outage(whose, figures[whose]) for whose in CLIENTS for _ in range(OUTAGES)),
    )
    await asyncio.gather(*(drains(whose, figures[whose]) for whose in CLIENTS))
    return figures


def table(figures: dict[str, Figures]) -> str:
    lines = ["| median (lowest … highest), seconds | ours | official | ratio |", "|---|---|---|---|"]
    for attribute, name in ROWS.items():
        ours, official = (getattr(figures[whose], attribute) for whose in CLIENTS)
        lines.append(f"| {name} | {spread(ours)} | {spread(official)} | {ratio(ours, official)} |")
    return "\n".join(lines)


def ratio(ours: list[float], official: list[float]) -> str:
    """The ratio of the medians; "-" if it is not finite."""
    above, below = statistics.median(ours), statistics.median(official)
    return f"{above / below:.2f}" if below and math.isfinite(below) else "-"


def spread(values: list[float]) -> str:
    if math.isinf(min(values)):
        return f"not within {PATIENCE:g}, n={len(values)}"
    return f"{statistics.median(values):.3f} ({min(values):.3f} … {max(values):.3f}), n={len(values)}"


def section(part: Part) -> str:
    """One table."""
    return table({whose: Figures(**part.figures[whose]) for whose in CLIENTS})


async def run(rounds: int = 5, drops: int = 20) -> Part:
    figures = await measure(rounds, drops)
    command = f"python -m benchmarks.lifecycle --rounds {rounds} --drops {drops}"
    return Part(conditions(command), {whose: asdict(each) for whose, each in figures.items()})


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="process starts of each client")
    parser.add_argument("--drops", type=int, default=20, help="abrupt losses of each client's link")
    measured("lifecycle", parser, run, section)


if __name__ == "__main__":
    main()
