"""Workers that one gateway drains all at once: each dials once, and keeps its link until it has another."""

from benchmarks.drain import drained, most
from connect.backoff import AT_ONCE_JITTER

WORKERS = 40


async def test_each_worker_moves_with_one_start_request_and_keeps_its_link_until_then() -> None:
    found = await drained(WORKERS)
    assert (len(found.starts), found.cut) == (WORKERS, 0)
    assert len(found.drawn) == WORKERS
    assert max(found.drawn) <= AT_ONCE_JITTER


def test_a_burst_is_the_most_in_any_window_wherever_that_begins() -> None:
    assert most([0.0, 0.04, 0.06, 0.08, 0.2]) == 3
