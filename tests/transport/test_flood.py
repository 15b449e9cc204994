"""What is a flood, and what is not."""

import pytest

from connect.errors import LinkLost
from connect.transport.flood import FRAME_BYTES, FRAMES, SECONDS, WORTH, Flood


@pytest.fixture
def clock() -> list[float]:
    """The loop's clock stands, unless a test moves it."""
    return [0.0]


@pytest.fixture
async def flood(clock: list[float]) -> Flood:
    made = Flood()
    made._loop = type("Loop", (), {"time": lambda _: clock[0]})()  # type: ignore[assignment]
    return made


async def test_too_many_frames_that_mean_nothing_are_one(flood: Flood) -> None:
    for _ in range(FRAMES - 1):
        flood.note(2, meant=False)
    with pytest.raises(LinkLost, match="floods the link"):
        flood.note(2, meant=False)


async def test_a_large_frame_counts_by_its_size(flood: Flood) -> None:
    flood.note(FRAMES // 2 * FRAME_BYTES, meant=False)
    with pytest.raises(LinkLost):
        flood.note(FRAMES // 2 * FRAME_BYTES, meant=False)


async def test_as_many_over_a_longer_time_are_none(flood: Flood, clock: list[float]) -> None:
    for _ in range(10 * FRAMES):
        clock[0] += 1.01 * SECONDS / FRAMES
        flood.note(2, meant=False)


async def test_ten_with_each_frame_that_means_something_are_none(flood: Flood) -> None:
    for _ in range(FRAMES):
        for _ in range(WORTH):
            flood.note(2, meant=False)
        flood.note(2, meant=True)


async def test_frames_that_mean_something_are_never_one(flood: Flood) -> None:
    for _ in range(2 * FRAMES):
        flood.note(100 * FRAME_BYTES, meant=True)
