"""The benchmark harness runs every subject to its end. These tests check no times."""

import subprocess
import sys

import pytest

from benchmarks import throughput
from benchmarks.subjects import UVLOOP, WORKERS, environment, floor, missing, official


@pytest.mark.parametrize("worker", WORKERS)
async def test_every_request_is_answered_once_and_rightly(worker: str) -> None:
    subjects = [each for each in (worker, f"{worker}{UVLOOP}") if not missing(each)]
    result = await throughput.measure(subjects, rounds=1, windows=[8], seconds=0.1)
    assert result.faults == []
    assert result.subjects() == subjects
    for sample in result.samples:
        assert sample.rate > 0
        assert 0 < sample.p50 <= sample.p99
        assert sample.whole_rss >= sample.connection_rss > 0
        assert sample.switches > 0


def test_a_worker_that_is_to_have_no_uvloop_cannot_import_it() -> None:
    code, where = [sys.executable, "-c", "import uvloop"], environment("", uvloop=False)
    tried = subprocess.run(code, env=where, capture_output=True, text=True, check=False)  # noqa: S603
    assert "without uvloop" in tried.stderr


@pytest.mark.parametrize(
    ("subject", "base", "least"),
    [
        ("thread", "official", "floor"),
        ("process-uvloop", "official-uvloop", "floor-uvloop"),
        ("none-noop", "official", "floor-noop"),
        ("none-noop-uvloop", "official-uvloop", "floor-noop-uvloop"),
    ],
)
def test_a_subject_is_compared_with_others_on_its_loop(subject: str, base: str, least: str) -> None:
    assert (official(subject), floor(subject)) == (base, least)


async def test_each_round_drives_the_subjects_in_turn() -> None:
    result = await throughput.measure(["floor-noop", "floor"], rounds=2, windows=[1, 8], seconds=0.1)
    order = [(each.round, each.window, each.subject) for each in result.samples]
    assert order == [
        (number, window, subject) for number in (0, 1) for window in (1, 8) for subject in ("floor-noop", "floor")
    ]
