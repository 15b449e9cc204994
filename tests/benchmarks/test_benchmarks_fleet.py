"""The simulated fleet: its clock, its server and its books are right, and real workers live in it."""

import asyncio
import math
from dataclasses import asdict, replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks import fleet, scale
from benchmarks.fleet import Run, simulate
from benchmarks.results import Part, conditions, save
from benchmarks.simulation.clock import VirtualLoop
from benchmarks.simulation.policies import POLICIES, SWEEP
from benchmarks.simulation.record import Record
from benchmarks.simulation.region import Queue
from benchmarks.simulation.scenarios import SCENARIOS

WORKERS = 12


def virtually(coroutine: object) -> object:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(coroutine)  # type: ignore[arg-type]


def test_an_hour_passes_at_once_and_in_order() -> None:
    async def live() -> list[float]:
        loop, seen = asyncio.get_running_loop(), []
        for seconds in (3600.0, 1.0, 60.0):
            loop.call_later(seconds, lambda: seen.append(loop.time()))
        await asyncio.sleep(7200)
        return [*seen, loop.time()]

    assert virtually(live()) == [1.0, 60.0, 3600.0, 7200.0]


def test_a_simulation_in_which_nothing_can_happen_any_more_ends() -> None:
    with pytest.raises(RuntimeError, match="would last for ever"):
        virtually(asyncio.Event().wait())


def test_work_that_waits_is_done_faster_by_a_server_that_has_recovered() -> None:
    async def live() -> tuple[float, float]:
        queue = Queue(rate=1)
        before = queue.take(8)
        queue.change(4)
        return before, queue.wait

    assert virtually(live()) == (8.0, 2.0)


def test_work_that_comes_faster_than_it_is_done_waits() -> None:
    async def live() -> list[float]:
        queue = Queue(rate=10)
        waits = [round(queue.take(), 2) for _ in range(3)]
        await asyncio.sleep(10)
        return [*waits, round(queue.take(), 2)]

    assert virtually(live()) == [0.1, 0.2, 0.3, 0.1]


def test_the_books_say_who_was_away_for_how_long_and_what_waited() -> None:
    async def live() -> Record:
        record = Record()
        for worker in range(4):
            record.routable(worker, 1)
        await asyncio.sleep(10)
        record.routable(0, 1)  # a replacement: no change
        record.routable(0, -1)
        for worker in (1, 2):
            record.routable(worker, -1)
        for _ in range(30):
            record.note("start requests")
        await asyncio.sleep(4)
        record.routable(1, 1)
        await asyncio.sleep(4)
        record.routable(2, 1)
        await asyncio.sleep(100)
        record.routable(3, -1)  # and never again
        await asyncio.sleep(100)
        for worker in range(3):
            record.routable(worker, -1)  # the end
        return record

    record = virtually(live())
    assert isinstance(record, Record)
    assert record.away(4, 12.0, 100.0) == [0.0, 0.0, 2.0, 6.0]
    assert record.away(4, 10.0, 15.0) == [0.0, 0.0, 4.0, math.inf]
    assert record.away(4, 10.0, 200.0) == [0.0, 4.0, 8.0, math.inf]
    assert (record.peak("start requests"), record.peak("start requests", since=11.0)) == (300.0, 0.0)
    assert record.total("start requests") == 30
    # Three quarters of four workers are busy. 3 - 2 = 1 worker lacks for 4 s, none for 4 s, then one is spare.
    assert record.backlog(4, 10.0, 100.0, load=0.75, rate=10.0) == (40.0, 12.0)
    assert record.share(4, 10.0, 20.0, 3.0) == [(0.0, 50.0), (3.0, 50.0), (6.0, 75.0), (9.0, 100.0)]


@pytest.fixture(scope="module")
def outage() -> Run:
    return simulate("ours", "blip", WORKERS)


def test_real_workers_come_back_by_themselves_and_lose_no_reply(outage: Run) -> None:
    """Whatever the constants are: all are back, each asked once, and nothing that was in flight is lost."""
    assert (outage.never, outage.lost, outage.given_up) == (0, 0, 0)
    assert outage.owed == WORKERS * fleet.EACH
    assert outage.start_total == WORKERS
    assert outage.away[-1] < 2.0
    assert outage.routable[0][1] == 0.0
    assert outage.routable[-1][1] == 100.0


def test_a_simulation_can_be_repeated(outage: Run) -> None:
    again = simulate("ours", "blip", WORKERS)
    assert replace(again, cpu=outage.cpu, rss=outage.rss) == outage
    assert simulate("ours", "blip", WORKERS, seed=2).away != outage.away


@pytest.mark.parametrize("scenario", [each for each in SCENARIOS if each not in ("outage", "blip")])
def test_nothing_that_happens_to_a_fleet_keeps_a_worker_away_or_loses_a_reply(scenario: str) -> None:
    run = simulate("ours", scenario, WORKERS)
    assert (run.never, run.lost) == (0, 0)


def test_a_worker_that_gives_up_is_told_from_one_that_comes_back() -> None:
    """The official Python client closes for good after five tries."""
    run = simulate("fixed", "outage", WORKERS)
    assert (run.never, run.given_up) == (WORKERS, WORKERS)
    assert run.lost > 0


def test_a_plans_limit_is_kept_and_costs_few_start_requests() -> None:
    """Ours asks every 45 s or so, the fixed policy every 5 s."""
    ours, fixed = (simulate(policy, "limit", 40) for policy in ("ours", "fixed-for-ever"))
    assert 0 < ours.refused < fixed.refused / 3


def test_the_page_has_every_figure_of_every_run(outage: Run, tmp_path: Path) -> None:
    names = [*POLICIES, *SWEEP]
    runs = [asdict(replace(outage, policy=policy, scenario=scenario)) for scenario in SCENARIOS for policy in names]
    save("fleet", Part(conditions("python -m this"), runs), tmp_path / "results")
    scale.write(tmp_path, tmp_path / "results")
    text = (tmp_path / "scale.md").read_text()
    assert all(each.title in text for each in (*POLICIES.values(), *SWEEP.values()))
    assert all(f"(*{name}*)" in text for name in SCENARIOS)
    assert f"{outage.away[2]:.1f} s" in text
    pictures = sorted(tmp_path.glob("*.svg"))
    assert len(pictures) == 2 * len(scale.PLOTTED)
    for picture in pictures:
        assert f"({picture.name})" in text
        ElementTree.parse(picture)  # noqa: S314 - our own
