"""How 200 workers spread their start requests when the one gateway that has them all drains.

`python -m benchmarks.drain [--workers 200] [--rounds 3]`. Workers and gateway are real, and share one process and its loop: what
they do takes CPU time, seconds in all. So the waits that the workers draw are noted, too: each on a machine of its own
would keep to them.
"""

import argparse
import asyncio
import statistics
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, TypeAlias, cast

import inngest

from benchmarks.results import Part, conditions, measured
from connect import ConnectionState, connect
from connect.gateway import Call, Ended, Frame, Gateway, Kind
from connect.wire import WorkerConnectRequestData

Apps: TypeAlias = list[tuple[inngest.Inngest, list[inngest.Function[Any]]]]
START: Final = "/v0/connect/start"
WINDOW: Final = 0.05
"""Seconds over which start requests are counted together."""
PATIENCE: Final = 60.0


@dataclass(frozen=True)
class Drained:
    """One drain. *starts*: seconds from GATEWAY_CLOSING to each start request; *drawn*: the waits before them. *cut*: workers
    that did not make one new link and then close the old one with 1000.
    """

    workers: int
    starts: list[float]
    drawn: list[float]
    cut: int
    moved: float
    """Seconds until every worker had moved."""


def most(times: Sequence[float]) -> int:
    """The most of *times* in any `WINDOW` seconds."""
    return max(sum(begin <= other < begin + WINDOW for other in times) for begin in times)


async def drained(workers: int) -> Drained:
    """Start so many, drain their gateway once, and wait until all have moved."""
    async with Gateway(heartbeat_interval="60s", extend_lease_interval="60s", log_capacity=100 * workers) as gateway:
        apps = _apps(gateway)
        made = [
            connect(apps, instance_id=f"worker-{number}", isolation="none", shutdown_signals=[])
            for number in range(workers)
        ]
        drawn: list[float] = []
        for each in made:
            each._known = replace(each._known, sleep=_noting(drawn))
        running = [asyncio.create_task(each.start()) for each in made]
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*(each.wait_for_state(ConnectionState.ACTIVE) for each in made))
            await gateway.wait_for_worker(count=workers, timeout=PATIENCE)
            drawn.clear()
            mark, began = gateway.mark, asyncio.get_running_loop().time()
            await gateway.drain(window=PATIENCE)
            await gateway.until(lambda: _moved(gateway, mark) == workers, timeout=PATIENCE)
            moved = asyncio.get_running_loop().time() - began
        found = _read(gateway, mark, workers, began, moved, drawn[:workers])
        for each in made:
            await each.close()
        await asyncio.gather(*running)
    return found


def _apps(gateway: Gateway) -> Apps:
    client = inngest.Inngest(app_id="drained", is_production=False, api_base_url=gateway.url)

    @client.create_function(fn_id="nothing", trigger=inngest.TriggerEvent(event="nothing"))
    async def nothing(ctx: inngest.Context) -> None:
        """Never called."""

    return [(client, [nothing])]


def _noting(drawn: list[float]) -> Callable[[float], Awaitable[None]]:
    async def sleep(seconds: float) -> None:
        drawn.append(seconds)
        await asyncio.sleep(seconds)

    return sleep


def _moved(gateway: Gateway, mark: int) -> int:
    """How many links have ended since *mark*."""
    return sum(isinstance(each, Ended) for each in gateway.log.since(mark))


def _read(gateway: Gateway, mark: int, workers: int, began: float, moved: float, drawn: list[float]) -> Drained:
    starts = [each.at - began for each in gateway.log.since(mark) if isinstance(each, Call) and each.path == START]
    links, ready, ends = defaultdict[str, list[int]](list), dict[int, float](), dict[int, Ended]()
    for each in gateway.log:
        if isinstance(each, Ended):
            ends[each.connection] = each
        elif isinstance(each, Frame) and each.kind == Kind.WORKER_CONNECT:
            links[cast(WorkerConnectRequestData, each.message).instance_id].append(each.connection)
        elif isinstance(each, Frame) and each.kind == Kind.WORKER_READY:
            ready[each.connection] = each.at
    kept = sum(
        len(links[worker]) == 2 and _has_moved(ends[links[worker][0]], ready[links[worker][1]]) for worker in links
    )
    return Drained(workers, starts, drawn, workers - kept, moved)


def _has_moved(end: Ended, ready: float) -> bool:
    """Whether this old link ended as it should, after its successor was *ready*."""
    return end.by == "worker" and end.code == 1000 and end.at >= ready


async def run(workers: int = 200, rounds: int = 3) -> Part:
    found = [await drained(workers) for _ in range(rounds)]
    command = f"python -m benchmarks.drain --workers {workers} --rounds {rounds}"
    return Part(conditions(command), [asdict(each) for each in found])


def section(part: Part) -> str:
    """A table: one row for each drain."""
    lines = [
        f"| workers | start requests | waits drawn: in any {WINDOW * 1e3:g} ms, at most | latest "
        "| as they came: at most | half after | all moved after | links cut |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for each in part.figures:
        half = statistics.median(each["starts"])
        cells = (
            *(
                each["workers"],
                len(each["starts"]),
                most(each["drawn"]),
                f"{max(each['drawn']):.2f} s",
                most(each["starts"]),
            ),
            *(f"{half:.2f} s", f"{each['moved']:.2f} s", each["cut"]),
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--workers", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    measured("drain", parser, run, section)


if __name__ == "__main__":
    main()
