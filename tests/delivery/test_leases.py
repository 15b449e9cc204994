"""The sweep: every lease once per interval, and never so many in one go that something else is late."""

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest

from connect.delivery.leases import AT_ONCE, BATCHES, Leases
from connect.wire import ulid

INTERVAL = 0.2


class Fleet:
    """Holders that note in which turn of the loop they were extended, and a link that carries them."""

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
        """Until so many extensions were asked for."""
        self._wanted = wanted
        self._enough.clear()
        if len(self.extended) < wanted:
            async with asyncio.timeout(10):
                await self._enough.wait()


@pytest.mark.parametrize("size", [1, AT_ONCE, AT_ONCE + 1, 10_000])
async def test_each_lease_is_extended_once_per_sweep_and_few_at_a_time(size: int) -> None:
    """Also where a sweep is divided: none is left out, none asked for twice, in the order of their age."""
    fleet = Fleet(size, INTERVAL if size < 10_000 else 0.5)  # a busy machine does not come to 32 goes in half of 0.2 s
    leases = Leases(lambda: fleet.holders, lambda: fleet.link)
    leases.carry(fleet.link)
    await fleet.wait(2 * size)
    leases.leave(fleet.link)
    assert fleet.extended[:size] == fleet.extended[size : 2 * size] == list(range(size))
    assert max(fleet.turns) <= max(AT_ONCE, -(-size // BATCHES))


async def test_a_sweep_that_lost_its_link_goes_on_over_the_next() -> None:
    """What was not extended yet does not wait for another interval."""
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
    """On a loop so late that each go takes longer than an interval: the youngest have their turn all the same."""
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


@pytest.mark.parametrize(
    ("lease_id", "ends"),
    [
        ("01ARZ3NDEKTSV4RRFFQ69G5FAV", 1469922850.259),
        ("01arz3ndektsv4rrffq69g5fav", 1469922850.259),
        ("7ZZZZZZZZZZZZZZZZZZZZZZZZZ", 281474976710.655),
        ("00000000000000000000000000", 0.0),
        ("01ARZ3NDEKTSV4RRFFQ69G5FA", None),
        ("O1ARZ3NDEKTSV4RRFFQ69G5FAV", None),
        ("+1ARZ3NDEKTSV4RRFFQ69G5FAV", None),
        ("0_ARZ3NDEKTSV4RRFFQ69G5FAV", None),
        ("٣1ARZ3NDEKTSV4RRFFQ69G5FAV", None),
        ("", None),
    ],
)
def test_a_lease_ends_when_its_ulid_says(lease_id: str, ends: float | None) -> None:
    """In either case; what is no ULID says nothing."""
    assert ulid.timestamp(lease_id) == ends
