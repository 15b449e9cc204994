"""How 200 workers spread their start requests when the one gateway that has them all drains.

`python -m benchmarks.drain [--workers 200] [--rounds 3]`. Workers and gateway are real, and share one process and its loop: what
they do takes CPU time, so the gateway's clock shows them spread a little more than they are.
"""

import argparse
import asyncio
import statistics
from collections import defaultdict
from dataclasses import asdict, dataclass
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
    """One drain. *starts*: seconds from GATEWAY_CLOSING to each start request. *cut*: workers that did not make one new link and
    then close the old one with 1000.
    """

    workers: int
    starts: list[float]
    cut: int
    moved: float
    """Seconds until every worker had moved."""

    @property
    def most(self) -> int:
        """The most start requests in any `WINDOW` seconds."""
        return max(sum(begin <= other < begin + WINDOW for other in self.starts) for begin in self.starts)


async def drained(workers: int) -> Drained:
    """Start so many, drain their gateway once, and wait until all have moved."""
    async with Gateway(heartbeat_interval="60s", extend_lease_interval="60s", log_capacity=100 * workers) as gateway:
        apps = _apps(gateway)
        made = [
            connect(apps, instance_id=f"worker-{number}", isolation="none", shutdown_signals=[])
            for number in range(workers)
        ]
        running = [asyncio.create_task(each.start()) for each in made]
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*(each.wait_for_state(ConnectionState.ACTIVE) for each in made))
            await gateway.wait_for_worker(count=workers, timeout=PATIENCE)
            mark, began = gateway.mark, asyncio.get_running_loop().time()
            await gateway.drain(window=PATIENCE)
            await gateway.until(lambda: _moved(gateway, mark) == workers, timeout=PATIENCE)
            moved = asyncio.get_running_loop().time() - began
        found = _read(gateway, mark, workers, began, moved)
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


def _moved(gateway: Gateway, mark: int) -> int:
    """How many links have ended since *mark*."""
    return sum(isinstance(each, Ended) for each in gateway.log.since(mark))


def _read(gateway: Gateway, mark: int, workers: int, began: float, moved: float) -> Drained:
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
    return Drained(workers, starts, workers - kept, moved)


def _has_moved(end: Ended, ready: float) -> bool:
    """Whether this old link ended as it should, after its successor was *ready*."""
    return end.by == "worker" and end.code == 1000 and end.at >= ready


async def run(workers: int = 200, rounds: int = 3) -> Part:
    found = [await drained(workers) for _ in range(rounds)]
    figures = [{**asdict(each), "most": each.most} for each in found]
    return Part(conditions(f"python -m benchmarks.drain --workers {workers} --rounds {rounds}"), figures)


def section(part: Part) -> str:
    """A table: one row for each drain."""
    lines = [
        f"| workers | start requests | in any {WINDOW * 1e3:g} ms, at most | half of them after | all moved after | links cut |",
        "|---|---|---|---|---|---|",
    ]
    for each in part.figures:
        half = statistics.median(each["starts"])
        lines.append(
            f"| {each['workers']} | {len(each['starts'])} | {each['most']} | {half:.2f} s | {each['moved']:.2f} s | {each['cut']} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--workers", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    measured("drain", parser, run, section)


if __name__ == "__main__":
    main()
