"""The books of the soak: what contradicts is found, and requests that are final are forgotten."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from books import FINAL, Books

from connect.gateway import Request, Run
from connect.wire import GatewayExecutorRequestData, SDKResponse


class Clock:
    """The time of a loop."""

    def __init__(self) -> None:
        self.now = 0.0

    def time(self) -> float:
        return self.now


class Gateway:
    """A gateway of which only the ledger is asked."""

    def __init__(self) -> None:
        self.ledger: dict[str, Request] = {}


class Bench:
    """Books of a gateway and a worker that a test writes."""

    def __init__(self, file: Path, clock: Clock) -> None:
        self.clock = clock
        self._gateway: Any = Gateway()
        self._file = file
        self._file.touch()
        self.books = Books(self._gateway, file)

    def note(self, request_id: str, *happenings: str) -> None:
        with self._file.open("a") as file:
            file.writelines(f"{request_id} {each}\n" for each in happenings)

    def ended(self, request_id: str, *happenings: str, replied: bool = True, sent: int = 1) -> None:
        """A run of one request has ended, which a worker acknowledged; *happenings* are in the worker's book."""
        self.note(request_id, *happenings)
        request = Request(GatewayExecutorRequestData(request_id=request_id), asyncio.Future(loop=LOOP))
        request.acked, request.dispatched = [0.0], [(0.0, 1)] * sent
        request.reply = SDKResponse() if replied else None
        self._gateway.ledger[request_id] = request
        self.books.add(Run(request_id, "soak-work", {}, status="completed", requests=[request_id]))


LOOP = asyncio.new_event_loop()
LOOP.close()


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    clock = Clock()
    monkeypatch.setattr("books.asyncio.get_running_loop", lambda: clock)
    return Bench(tmp_path / "book", clock)


@pytest.mark.parametrize(
    ("happenings", "replied", "sent", "found"),
    [
        (["accepted", "executed"], True, 1, ""),
        (["accepted", "executed", "lease-lost"], False, 1, ""),
        (["accepted", "executed", "lease-lost", "executed"], True, 2, ""),
        (["accepted", "executed", "discarded"], False, 1, ""),
        (["accepted", "executed"], False, 1, "lost"),
        (["accepted", "executed", "executed"], True, 1, "twice"),
        (["accepted", "executed", "executed"], True, 2, "twice"),
        (["accepted", "executed", "discarded"], True, 1, "wrong"),
        ([], True, 1, "wrong"),
    ],
)
def test_each_contradiction_is_found(bench: Bench, happenings: list[str], replied: bool, sent: int, found: str) -> None:
    bench.ended("request", *happenings, replied=replied, sent=sent)
    bench.books.close()
    named = [name for name in ("lost", "twice", "wrong", "late") if getattr(bench.books, name)]
    assert named == ([found] if found else [])


def test_what_is_noted_after_a_request_was_compared_is_late(bench: Bench) -> None:
    bench.ended("early", "accepted", "executed")
    bench.clock.now = 2 * FINAL
    bench.ended("other", "accepted", "executed")
    bench.note("early", "executed")
    bench.books.close()
    assert list(bench.books.late) == ["early"]


def test_requests_are_forgotten_once_they_are_final_however_many_there_are(bench: Bench) -> None:
    kept = []
    for number in range(1000):
        bench.clock.now = float(number)
        bench.ended(str(number), "accepted", "executed")
        kept.append(bench.books.kept)
    assert max(kept) <= 2 * FINAL + 1
    bench.books.close()
    assert (bench.books.requests, bench.books.kept, bench.books.late) == (1000, 0, {})
    assert bench.books.totals["worker: executed"] == 1000
