"""The sweep extends every lease once per interval, and never so many at once that something else is late."""

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest

from connect.delivery.leases import AT_ONCE, BATCHES, Leases, seconds_left
from connect.wire import ulid

INTERVAL = 0.2


class Fleet:
    """Holders of leases, and the link that carries them. Notes which holder was extended in which turn of the loop."""

    def __init__(self, size: int, interval: float = INTERVAL) -> None:
        self.link: Any = SimpleNamespace(intervals=SimpleNamespace(extend_lease=interval))
        self.extended: list[int] = []
        self.turns: list[int] = []
        self.holders: list[Any] = [SimpleNamespace(extend=self._extender(number)) for number in range(size)]
        self._enough = asyncio.Event()
        self._wanted = 0
        self._here = False

    def _extender(self, number: int) -> Any:
        def extend(link: Any) -> None:
            assert link is self.link
            self.extended.append(number)
            if not self._here:
                self._here = True
                self.turns.append(0)
                asyncio.get_running_loop().call_soon(self._turn)
            self.turns[-1] += 1
            if len(self.extended) == self._wanted:
                self._enough.set()

        return extend

    def _turn(self) -> None:
        self._here = False

    async def wait(self, wanted: int) -> None:
        """Wait until *wanted* extensions were asked for."""
        self._wanted = wanted
        self._enough.clear()
        if len(self.extended) < wanted:
            async with asyncio.timeout(10):
                await self._enough.wait()


@pytest.mark.parametrize("size", [1, AT_ONCE, AT_ONCE + 1, 10_000])
async def test_each_lease_is_extended_once_per_sweep_and_few_at_a_time(size: int) -> None:
    """A sweep that is divided, too, extends each lease once, the oldest first."""
    fleet = Fleet(size, INTERVAL if size < 10_000 else 0.5)  # a busy machine does not come to 32 goes in half of 0.2 s
    leases = Leases(lambda: fleet.holders, lambda: fleet.link)
    leases.carry(fleet.link)
    await fleet.wait(2 * size)
    leases.leave(fleet.link)
    assert fleet.extended[:size] == fleet.extended[size : 2 * size] == list(range(size))
    assert max(fleet.turns) <= max(AT_ONCE, -(-size // BATCHES))


async def test_a_sweep_that_lost_its_link_goes_on_over_the_next() -> None:
    """The leases that are left do not wait for another interval."""
    fleet = Fleet(3 * AT_ONCE)
    leases = Leases(lambda: fleet.holders, lambda: fleet.link)
    leases.carry(fleet.link)
    await fleet.wait(AT_ONCE)
    leases.leave(fleet.link)
    assert len(fleet.extended) == AT_ONCE
    leases.carry(fleet.link)
    await fleet.wait(3 * AT_ONCE)
    leases.leave(fleet.link)
    assert fleet.extended == list(range(3 * AT_ONCE))


async def test_a_sweep_that_is_overtaken_by_the_next_leaves_none_out() -> None:
    """The loop is so late that each batch takes longer than an interval; the youngest leases are extended all the same."""
    fleet = Fleet(3 * AT_ONCE, interval=0.02)
    slow, extend = fleet.holders[AT_ONCE - 1], fleet.holders[AT_ONCE - 1].extend

    def extend_slowly(link: Any) -> None:
        extend(link)
        time.sleep(0.04)

    slow.extend = extend_slowly
    leases = Leases(lambda: fleet.holders, lambda: fleet.link)
    leases.carry(fleet.link)
    await fleet.wait(4 * AT_ONCE)
    leases.leave(fleet.link)
    assert fleet.extended[: 3 * AT_ONCE] == list(range(3 * AT_ONCE))


async def test_there_is_no_interval_and_no_sweep_while_no_link_carries_leases() -> None:
    fleet = Fleet(1, interval=0.05)
    leases = Leases(lambda: fleet.holders, lambda: fleet.link)
    assert leases.interval is None
    leases.carry(fleet.link)
    assert leases.interval == 0.05
    leases.leave(fleet.link)
    assert leases.interval is None
    await asyncio.sleep(0.2)
    assert fleet.extended == []


async def test_the_link_that_came_last_says_how_often() -> None:
    fleet = Fleet(1, interval=60.0)
    quick: Any = SimpleNamespace(intervals=SimpleNamespace(extend_lease=0.05))
    leases = Leases(lambda: fleet.holders, lambda: fleet.link)
    leases.carry(fleet.link)
    leases.carry(quick)
    assert leases.interval == 0.05
    await fleet.wait(2)
    leases.leave(quick)
    assert leases.interval == 60.0
    leases.leave(fleet.link)


async def test_links_that_come_and_go_do_not_put_the_sweep_off() -> None:
    """Each link carries the leases for less than an interval, all together for many intervals."""
    fleet = Fleet(1, interval=0.2)
    leases = Leases(lambda: fleet.holders, lambda: fleet.link)
    loop = asyncio.get_running_loop()
    end = loop.time() + 10.0
    leases.carry(fleet.link)
    await fleet.wait(1)
    while len(fleet.extended) < 4:
        assert loop.time() < end
        leases.leave(fleet.link)
        leases.carry(fleet.link)
        await asyncio.sleep(0.02)
    leases.leave(fleet.link)


async def test_while_no_link_is_current_leases_are_passed_over() -> None:
    """The next sweep extends them."""
    fleet, swept = Fleet(1, interval=0.05), asyncio.Event()
    current: list[Any] = [None]

    def holders() -> list[Any]:
        swept.set()
        return fleet.holders

    leases = Leases(holders, lambda: current[0])
    leases.carry(fleet.link)
    async with asyncio.timeout(10):
        await swept.wait()
    assert fleet.extended == []
    current[0] = fleet.link
    await fleet.wait(1)
    leases.leave(fleet.link)


@pytest.mark.parametrize(("ends_in", "left"), [(120.0, 120.0), (0.0, 0.0), (-60.0, -60.0)])
def test_the_time_left_goes_by_the_leases_own_id(ends_in: float, left: float) -> None:
    assert seconds_left(ulid.new(time.time() + ends_in)) == pytest.approx(left, abs=5.0)


def test_an_id_that_tells_no_time_has_no_time_left() -> None:
    assert seconds_left("") is None
    assert seconds_left("lease-1") is None
