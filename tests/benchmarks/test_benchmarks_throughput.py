"""The benchmark harness runs every subject to its end. These tests check no times."""

import pytest

from benchmarks import throughput
from benchmarks.subjects import TITLES, missing


@pytest.mark.parametrize("subject", TITLES)
async def test_every_request_is_answered_once_and_rightly(subject: str) -> None:
    if reason := missing(subject):
        pytest.skip(reason)
    result = await throughput.measure([subject], rounds=1, windows=[8], seconds=0.3)
    assert result.faults == []
    sample = result.samples[0]
    assert sample.rate > 0
    assert 0 < sample.p50 <= sample.p99
    assert sample.whole_rss >= sample.connection_rss > 0


async def test_each_round_drives_the_subjects_in_turn() -> None:
    result = await throughput.measure(["floor-noop", "floor"], rounds=2, windows=[1, 8], seconds=0.1)
    order = [(each.round, each.window, each.subject) for each in result.samples]
    assert order == [
        (number, window, subject) for number in (0, 1) for window in (1, 8) for subject in ("floor-noop", "floor")
    ]
