"""The soak: every fault there is, at random, under load, and then the books of both sides are compared."""

import asyncio
import contextlib
import json
import random
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from connect.gateway import HANG, Answer, Gateway, Kind

HERE = Path(__file__).parent
RUNS_AT_ONCE = 64
LONG = 30.0
"""Seconds from which a soak counts as a long one."""


class Chaos:
    """Does to the gateway what the world does, each kind of fault equally often."""

    def __init__(self, gateway: Gateway, chance: random.Random) -> None:
        self._gateway = gateway
        self._chance = chance
        self.done: Counter[str] = Counter()
        faults = gateway.faults
        self._kinds: dict[str, Callable[[], Any]] = {
            "drop": lambda: self._connection().drop(),
            "close": lambda: (
                self._gateway.connections and self._connection().close_after(0, 1011, "connect_internal_error")
            ),
            "drain": lambda: gateway.drain(window=0.5),
            "stall": self._stall,
            "silence": lambda: self._connection().mute(),
            "lost request ACK": lambda: faults.lose(Kind.WORKER_REQUEST_ACK),
            "lost reply": lambda: faults.lose(Kind.WORKER_REPLY),
            "lost reply ACK": lambda: faults.lose(Kind.WORKER_REPLY_ACK),
            "lost lease ACK": lambda: faults.lose(Kind.WORKER_REQUEST_EXTEND_LEASE_ACK),
            "nack": lambda: faults.nack(),
            "redelivery": self._redeliver,
            "flush error": lambda: gateway.flushes.push(self._chance.choice((500, 401, HANG, Answer(delay=0.2)))),
        }
        self._deck: list[str] = []

    async def wreak(self, pause: float) -> None:
        """One fault after the other, *pause* seconds apart, until cancelled."""
        while True:
            await asyncio.sleep(pause)
            self._deck = self._deck or self._chance.sample(sorted(self._kinds), len(self._kinds))
            kind = self._deck.pop()
            try:
                result = self._kinds[kind]()
                if asyncio.iscoroutine(result):
                    await result
                self.done[kind] += 1
            except LookupError:  # nobody is connected just now, or nothing is in flight
                self._deck.insert(0, kind)

    def _connection(self) -> Any:
        return self._chance.choice(self._gateway.connections)

    async def _stall(self) -> None:
        connection = self._connection()
        connection.stall()
        asyncio.get_running_loop().call_later(0.3, connection.resume)

    async def _redeliver(self) -> None:
        """Only what was never nacked: its execution was cancelled, and a second start of it would be right."""
        open_ones = [r for r in list(self._gateway.ledger)[-500:] if r.acked and not r.nacked and r.status == "waiting"]
        request = self._chance.choice(open_ones)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._gateway.redeliver(request.id), 0.5)


@pytest.fixture
async def gw() -> AsyncIterator[Gateway]:
    async with Gateway(
        heartbeat_interval="60ms",
        extend_lease_interval="60ms",
        ack_timeout=0.4,
        forwards=50,
        lease_duration=1.5,
        routing_timeout=30.0,
        close_timeout=0.5,
        log_capacity=10_000,
        ledger_capacity=1_000_000,
    ) as gateway:
        yield gateway


async def load(gateway: Gateway, until: float) -> list[str]:
    """Run after run, `RUNS_AT_ONCE` at a time; returns how each ended."""

    async def one_after_the_other() -> list[str]:
        ends = []
        while asyncio.get_running_loop().time() < until:
            ends.append((await gateway.invoke("soak-work")).status)
        return ends

    return [end for ends in await asyncio.gather(*(one_after_the_other() for _ in range(RUNS_AT_ONCE))) for end in ends]


@pytest.mark.timeout(240)
async def test_nothing_is_lost_and_nothing_is_done_twice(
    gw: Gateway, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Every accepted request ends as one accepted reply, one reported lost lease, or one reported discard."""
    seconds = request.config.getoption("--soak-seconds")
    seed = request.config.getoption("--soak-seed") or random.SystemRandom().randrange(1_000_000)
    print(f"\nsoak of {seconds:g} s, --soak-seed {seed}")
    worker = await asyncio.create_subprocess_exec(
        sys.executable, str(HERE / "soaked.py"), gw.url, str(tmp_path / "book"), stdout=asyncio.subprocess.PIPE
    )
    assert worker.stdout
    try:
        await gw.wait_for_worker(timeout=30)
        chaos = Chaos(gw, random.Random(seed))
        wreaking = asyncio.create_task(chaos.wreak(seconds / (300 if seconds >= LONG else 80)))
        ends = await load(gw, asyncio.get_running_loop().time() + seconds)
        wreaking.cancel()
        gw.faults.clear()
        gw.flushes.clear()
        worker.send_signal(signal.SIGTERM)
        told = json.loads((await asyncio.wait_for(worker.stdout.read(), 60)).decode())
    finally:
        with contextlib.suppress(ProcessLookupError):
            worker.kill()
        await worker.wait()

    books = read(tmp_path / "book")
    judge(gw, books, told, ends)
    least, requests = (20, 20_000) if seconds >= LONG else (5, 2_000)
    report(gw, books, told, chaos, ends)
    assert all(count >= least for count in chaos.done.values()), chaos.done
    assert len(chaos.done) == len(chaos._kinds)
    assert len(gw.ledger) >= requests
    if seconds >= LONG:
        early, late = told["memory"]
        assert late <= early * 1.2, f"{early} bytes after ten seconds, {late} at the end"


def read(book: Path) -> dict[str, Counter[str]]:
    """What the worker noted, by request id."""
    books: dict[str, Counter[str]] = {}
    for line in book.read_text().splitlines():
        request_id, what = line.split()
        books.setdefault(request_id, Counter())[what] += 1
    return books


def judge(gw: Gateway, books: dict[str, Counter[str]], told: dict[str, Any], ends: list[str]) -> None:
    """The gateway's ledger against what the worker told and the function noted."""
    accepted = {request.id for request in gw.ledger.accepted}
    assert accepted <= books.keys(), "acknowledged, but never told of"
    for request_id, book in books.items():
        request = gw.ledger[request_id]
        fates = bool(request.reply) + book["lease-lost"] + book["discarded"]
        # One that lost its lease and comes again is served again: its first execution was cancelled, and that was reported.
        again = book["lease-lost"] and len(request.dispatched) > 1
        assert fates == 1 or again, f"{request_id}: {book}, {request}"
        assert book["executed"] <= 1 or again, f"{request_id}: done twice"
    assert set(ends) == {"completed"}, Counter(ends)
    assert told["bugs"] == []
    assert told["unexpected"] == 0
    assert (told["outbox"], told["in_flight"]) == (0, 0)
    assert told["tasks_left"] <= 0
    assert told["threads_left"] <= 0


def report(gw: Gateway, books: dict[str, Counter[str]], told: dict[str, Any], chaos: Chaos, ends: list[str]) -> None:
    summary = gw.ledger.summary()
    # The ledger calls lost what has no reply; what the worker reported is accounted for.
    summary["without a reply"] = summary.pop("lost")
    noted = sum(books.values(), Counter())
    rows = {
        "runs": len(ends),
        **summary,
        **{f"worker: {what}": count for what, count in noted.items()},
        **{f"fault: {kind}": count for kind, count in chaos.done.items()},
    }
    rows["memory MiB"] = [round(size / 2**20, 1) for size in told["memory"]]
    print("\n".join(f"  {name:<24} {value}" for name, value in rows.items()))
