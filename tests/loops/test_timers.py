"""Timers on the loop's clock."""

import asyncio

import pytest

from connect.loops.timers import Ticker


async def test_what_a_blocked_loop_missed_is_not_made_up_for_and_the_cadence_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After two and a half intervals in which the loop stood still there is one tick, and the next at three."""
    loop = asyncio.get_running_loop()
    time, ahead, ticks = loop.time, [0.0], []
    monkeypatch.setattr(loop, "time", lambda: time() + ahead[0])

    async def at(seconds: float) -> list[float]:
        ahead[0] = seconds
        for _ in range(5):
            await asyncio.sleep(0)
        return [round(tick, 1) for tick in ticks]

    start = loop.time()
    ticker = Ticker(100.0, lambda: ticks.append(loop.time() - start))
    assert await at(250.0) == [250.0]
    assert await at(299.0) == [250.0]
    assert await at(301.0) == [250.0, 301.0]
    ticker.cancel()
