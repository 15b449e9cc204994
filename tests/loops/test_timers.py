"""Timers on the loop's clock, which the test moves: when they expire, when they do not, and what a blocked loop missed."""

import asyncio
from collections.abc import Callable

import pytest

from connect.loops.timers import Ticker, Timer


class Clock:
    """The running loop's clock, which the test moves. `seconds` have passed since the test began; `note` notes them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        loop = asyncio.get_running_loop()
        self._time, self._ahead, self._start = loop.time, 0.0, loop.time()
        monkeypatch.setattr(loop, "time", lambda: self._time() + self._ahead)
        self.noted: list[float] = []

    @property
    def seconds(self) -> float:
        return self._time() + self._ahead - self._start

    def note(self) -> None:
        self.noted.append(round(self.seconds, 1))

    async def at(self, seconds: float) -> list[float]:
        """Set the clock and let the loop turn; what was noted so far."""
        self._ahead = seconds
        for _ in range(5):
            await asyncio.sleep(0)
        return self.noted


@pytest.fixture
async def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


# -- again and again -------------------------------------------------------------------------------------------------------------


async def test_a_ticker_ticks_once_per_interval_until_it_is_cancelled(clock: Clock) -> None:
    ticker = Ticker(100.0, clock.note)
    assert await clock.at(99.0) == []
    assert await clock.at(101.0) == [101.0]
    assert await clock.at(199.0) == [101.0]
    assert await clock.at(200.0) == [101.0, 200.0]
    ticker.cancel()
    ticker.cancel()
    assert await clock.at(500.0) == [101.0, 200.0]


async def test_what_a_blocked_loop_missed_is_not_made_up_for_and_the_cadence_is_kept(clock: Clock) -> None:
    """The loop stands still for two and a half intervals: one tick follows at once, and the next at three intervals."""
    ticker = Ticker(100.0, clock.note)
    assert await clock.at(250.0) == [250.0]
    assert await clock.at(299.0) == [250.0]
    assert await clock.at(301.0) == [250.0, 301.0]
    ticker.cancel()


@pytest.mark.parametrize("first", [0.0, 30.0])
async def test_the_first_tick_may_come_sooner_and_sets_the_cadence(clock: Clock, first: float) -> None:
    ticker = Ticker(100.0, clock.note, first=first)
    assert await clock.at(first + 1) == [first + 1]
    assert await clock.at(first + 99) == [first + 1]
    assert await clock.at(first + 102) == [first + 1, first + 102]
    ticker.cancel()


async def test_a_tick_may_cancel_its_ticker(clock: Clock) -> None:
    def tick() -> None:
        clock.note()
        ticker.cancel()

    ticker = Ticker(100.0, tick)
    assert await clock.at(101.0) == [101.0]
    assert await clock.at(300.0) == [101.0]


# -- once ------------------------------------------------------------------------------------------------------------------------


async def test_a_timer_expires_once_at_its_deadline(clock: Clock) -> None:
    timer = Timer(clock.note)
    assert not timer.armed
    timer.arm(100.0)
    assert timer.armed
    assert await clock.at(99.0) == []
    assert await clock.at(101.0) == [101.0]
    assert await clock.at(300.0) == [101.0]
    assert timer.armed, "it stays so until it is disarmed"


async def test_arming_anew_replaces_the_deadline(clock: Clock) -> None:
    timer = Timer(clock.note)
    timer.arm(100.0)
    await clock.at(50.0)
    timer.arm(100.0)
    assert await clock.at(101.0) == []
    assert await clock.at(151.0) == [151.0]
    timer.arm(10.0)
    assert await clock.at(162.0) == [151.0, 162.0]


@pytest.mark.parametrize("disarm", [Timer.disarm, lambda timer: timer.arm(None)])
async def test_a_disarmed_timer_does_not_expire(clock: Clock, disarm: Callable[[Timer], None]) -> None:
    timer = Timer(clock.note)
    disarm(timer)
    timer.arm(100.0)
    disarm(timer)
    assert not timer.armed
    timer.hasten()
    assert await clock.at(300.0) == []


async def test_a_hastened_timer_expires_on_the_next_turn(clock: Clock) -> None:
    timer = Timer(clock.note)
    timer.arm(100.0)
    timer.hasten()
    assert clock.noted == []
    assert await clock.at(0.0) == [0.0]
    assert await clock.at(300.0) == [0.0]
