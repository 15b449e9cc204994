"""How long a worker is away: at its start, after a lost link, during a drain. Ours beside the official client, in one run.

`python -m benchmarks.lifecycle [--rounds N] [--drops N] [--markdown FILE]`

Everything is seen from the gateway: a worker is there when requests can be routed to it. Each client is a process of its own and
has a gateway of its own, both of which run at the same time, so what else the machine does hits both alike.
"""

import argparse
import asyncio
import contextlib
import os
import platform
import statistics
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import date
from importlib.metadata import version
from pathlib import Path

from connect.gateway import Connection, Gateway

CLIENTS = ("ours", "official")
SPACING = 3.5
"""Seconds between two drops: ours replaces three links in any ten seconds at once, and backs off after that."""
LOAD_EVERY = 0.01


@dataclass
class Figures:
    """Seconds, a value for each measurement."""

    start: list[float] = field(default_factory=list)
    drop: list[float] = field(default_factory=list)
    drain_away: list[float] = field(default_factory=list)
    drain_slowest: list[float] = field(default_factory=list)


@contextlib.asynccontextmanager
async def running(whose: str, gateway: Gateway) -> AsyncIterator[float]:
    """A worker process; yields the seconds from its start to its first request being routable."""
    began = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.worker", whose, gateway.url, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        await gateway.wait_for_worker(timeout=30)
        yield time.monotonic() - began
    finally:
        process.kill()
        await process.wait()


async def away(gateway: Gateway, gone: Connection) -> float:
    """Seconds from now until a connection other than *gone* is routable."""
    began = time.monotonic()
    await gateway.until(lambda: any(each.routable and each is not gone for each in gateway.connections), timeout=60)
    return time.monotonic() - began


async def starts(whose: str, rounds: int, figures: Figures) -> None:
    for _ in range(rounds):
        async with Gateway() as gateway, running(whose, gateway) as seconds:
            figures.start.append(seconds)


async def drops(whose: str, count: int, figures: Figures) -> None:
    async with Gateway() as gateway, running(whose, gateway):
        for _ in range(count):
            await asyncio.sleep(SPACING)
            victim = await gateway.wait_for_worker()
            victim.drop()
            figures.drop.append(await away(gateway, victim))


async def drains(whose: str, count: int, figures: Figures) -> None:
    async with Gateway(routing_timeout=60) as gateway, running(whose, gateway):
        for _ in range(count):
            await asyncio.sleep(SPACING)
            load = asyncio.create_task(under_load(gateway))
            victim = await gateway.wait_for_worker()
            await asyncio.sleep(0.5)
            absence = asyncio.create_task(absent(gateway))
            await gateway.drain()
            await away(gateway, victim)
            figures.drain_slowest.append(await load)
            figures.drain_away.append(await absence)


async def absent(gateway: Gateway) -> float:
    """Seconds, within the three that follow, in which no socket took requests.

    A draining connection does not: its un-acked requests go elsewhere, and new ones wait for one that is ready.
    """
    total, since, end = 0.0, None, time.monotonic() + 3.0
    while time.monotonic() < end:
        there = any(each.routable for each in gateway.connections)
        if there and since is not None:
            total, since = total + time.monotonic() - since, None
        elif not there and since is None:
            since = time.monotonic()
        with contextlib.suppress(TimeoutError):
            await gateway.until(lambda was=there: any(c.routable for c in gateway.connections) is not was, timeout=0.1)
    return total


async def under_load(gateway: Gateway) -> float:
    """Runs at a steady pace for three seconds; returns how long the slowest took."""

    async def one() -> float:
        began = time.monotonic()
        await gateway.invoke("bench-echo")
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
            await starts(whose, 1, figures[whose])
    await asyncio.gather(*(drops(whose, count, figures[whose]) for whose in CLIENTS))
    await asyncio.gather(*(drains(whose, 3, figures[whose]) for whose in CLIENTS))
    return figures


def table(figures: dict[str, Figures]) -> str:
    rows = [
        ("process start to routable", "start"),
        ("abrupt loss to routable again", "drop"),
        ("drain: no connection takes requests", "drain_away"),
        ("drain: slowest of 300 runs, one every 10 ms", "drain_slowest"),
    ]
    lines = ["| median (lowest … highest), seconds | ours | official | ratio |", "|---|---|---|---|"]
    for name, attribute in rows:
        ours, official = (getattr(figures[whose], attribute) for whose in CLIENTS)
        ratio = statistics.median(ours) / statistics.median(official)
        lines.append(f"| {name} | {spread(ours)} | {spread(official)} | {ratio:.3f} |")
    return "\n".join(lines)


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.3f} ({min(values):.3f} … {max(values):.3f}), n={len(values)}"


def heading() -> str:
    versions = ", ".join(
        f"{name} {version(name)}" for name in ("statechart-connect", "inngest", "aiohttp", "websockets")
    )
    machine = f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return f"{date.today()}, {machine}, {versions}; `python -m benchmarks.lifecycle`"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="process starts of each client")
    parser.add_argument("--drops", type=int, default=20, help="abrupt losses of each client's link")
    parser.add_argument("--markdown", type=Path, help="also write the result to this file")
    options = parser.parse_args()
    figures = asyncio.run(measure(options.rounds, options.drops))
    text = f"{heading()}\n\n{table(figures)}\n"
    print(text)
    if options.markdown:
        options.markdown.write_text(f"# Results\n\n{text}")


if __name__ == "__main__":
    main()
