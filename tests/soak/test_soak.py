"""The soak: every kind of fault, at random, under load; meanwhile the books of both sides are compared.

Two books are kept apart: the gateway's ledger in this process; in the worker's, what user functions count and the worker reports.
A lost request would show as one that the gateway saw accepted and that ends in neither book.
"""

import asyncio
import contextlib
import json
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from books import EACH, Books
from chaos import Chaos
from group_kit import end_group
from runs import AT_ONCE, Load

from benchmarks import results
from connect.gateway import Gateway

HERE = Path(__file__).parent
LONG = 30.0
"""Seconds from which a soak counts as a long one."""
SPACE, REQUESTS = 0.15, 55
"""Seconds and new requests between two faults, at least, if requests are counted."""
LEAST = 5000
"""Requests for which each kind of fault must have taken effect once more, if requests are counted."""
WARM = 10
"""Seconds after which the memory that a worker needs is taken."""
CAPACITY = 100_000
"""Requests that the gateway's ledger holds: far more than come in while a request is still to be compared."""
FULL = 2 * CAPACITY // EACH
"""Measurements of this process after which its memory is to grow no more: every ledger is full."""


@dataclass(frozen=True)
class Plan:
    """What a soak must come to: seconds, requests, and faults of each kind. Faults are made at a pace, in time and in requests."""

    seconds: float
    requests: float
    least: float
    pause: float
    between: float

    @classmethod
    def of(cls, config: pytest.Config, share: float) -> "Plan":
        """*share*: of the whole, if that is given in seconds."""
        seconds, requests = config.getoption("--soak-seconds"), config.getoption("--soak-requests")
        if requests:
            return cls(0.0, requests, requests // LEAST, SPACE, REQUESTS)
        least, requests, faults = (20, 20_000, 360) if seconds >= LONG else (5, 2_000, 84)
        return cls(seconds * share, requests * share, least * share, seconds / faults, requests / faults)


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
        ledger_capacity=CAPACITY,
        record_bytes=2**30,
    ) as gateway:
        yield gateway


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("isolation", "share"), [("thread", 1.0), ("none", 0.5), ("process", 0.5)])
async def test_nothing_is_lost_and_nothing_is_done_twice(
    gw: Gateway, request: pytest.FixtureRequest, tmp_path: Path, isolation: str, share: float
) -> None:
    """Every accepted request ends as one accepted reply, one reported lost lease, or one reported discard.

    With processes these are relieved, and killed, all the while.
    """
    plan = Plan.of(request.config, share)
    seed = request.config.getoption("--soak-seed")
    seed = random.SystemRandom().randrange(1_000_000) if seed is None else seed
    print(f"\nsoak of {plan.seconds:g} s and {plan.requests:g} requests, isolation {isolation}, --soak-seed {seed}")
    books = Books(gw, tmp_path / "book")
    load = Load(gw, books)
    chaos = Chaos(gw, load, random.Random(seed))
    began = asyncio.get_running_loop().time()
    until = began + plan.seconds

    def enough() -> bool:
        # A slow machine gets the time that it needs: how fast it is must decide nothing.
        late = asyncio.get_running_loop().time() >= until
        return late and load.requests >= plan.requests and min(chaos.counts.values()) >= plan.least

    async with soaked(gw, tmp_path / "book", isolation) as stop:
        wreaking = asyncio.create_task(chaos.wreak(plan.pause, plan.between))
        await load.run(enough)
        lasted = asyncio.get_running_loop().time() - began
        wreaking.cancel()
        await asyncio.wait([wreaking])
        gw.faults.clear()
        gw.flushes.clear()
        told = await stop()

    books.close()
    found = figures(books, told, chaos, isolation, lasted)
    report(books, told, found)
    assert wreaking.cancelled(), "the chaos ended before its time"
    judge(gw, books)
    judge_worker(told)
    assert (told["killed"] > 0) == (isolation == "process")
    if request.config.getoption("--soak-save"):
        keep(found, request.config.getoption("--soak-requests"))
    if len(told["memory"]) >= LONG:
        early, late = told["memory"][WARM], told["memory"][-1]
        assert late <= early * 1.2, f"{early} bytes after {WARM} s, {late} at the end"
    if len(books.memory) > FULL:
        early, late = books.memory[FULL], books.memory[-1]
        assert late <= early * 1.2, f"this process: {early} bytes after {FULL * EACH} requests, {late} at the end"


@contextlib.asynccontextmanager
async def soaked(gateway: Gateway, book: Path, isolation: str) -> AsyncIterator[Callable[[], Any]]:
    """The worker's process. Yields a function that ends it gracefully and returns its last line, decoded."""
    worker = await asyncio.create_subprocess_exec(
        sys.executable,
        str(HERE / "soaked.py"),
        isolation,
        env={**os.environ, "INNGEST_DEV": gateway.url, "SOAK_BOOK": str(book)},
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )

    async def stop() -> Any:
        worker.send_signal(signal.SIGTERM)
        out, _ = await asyncio.wait_for(worker.communicate(), 60)
        return json.loads(out)

    try:
        await gateway.wait_for_worker(timeout=30)
        yield stop
    finally:
        end_group(worker.pid)
        await worker.wait()


def judge(gateway: Gateway, books: Books) -> None:
    """Check what the books say of both sides."""
    assert books.lost == []
    assert books.twice == []
    assert books.wrong == []
    assert books.late == {}, "noted of requests that had ended, or that were never sent"
    assert gateway.ledger.strangers == []
    assert set(books.ends) == {"completed"}, books.ends


def judge_worker(told: dict[str, Any]) -> None:
    """Check that the worker ended without a bug and left nothing over."""
    assert told["bugs"] == []
    assert told["unexpected"] == 0
    assert (told["outbox"], told["in_flight"]) == (0, 0)
    assert (told["tasks_left"], told["threads_left"]) == (0, 0)
    assert told["requests_left"] == 0
    assert told["links_left"] <= 2, "more links are kept than were ever alive at a time"
    # Each of the runs at once is a task or two; a task that each fault or request left behind would be hundreds.
    assert max(told["tasks"]) <= 4 * sum(AT_ONCE.values()), told["tasks"]


def figures(books: Books, told: dict[str, Any], chaos: Chaos, isolation: str, lasted: float) -> dict[str, Any]:
    """What this soak came to. Memory in bytes: of the worker's connection process, after a tenth of the time and at the end."""
    memory = told["memory"]
    return {
        "isolation": isolation,
        "requests": books.requests,
        "seconds": lasted,
        "faults": chaos.counts,
        "killed": told["killed"],
        "lost": len(books.lost),
        "twice": len(books.twice),
        "leases_lost": books.totals["worker: lease-lost"],
        "rss_early": memory[min(len(memory) - 1, max(WARM, len(memory) // 10))],
        "rss_late": memory[-1],
    }


def keep(found: dict[str, Any], count: int) -> None:
    """Save the figures of this isolation, beside those of the others."""
    part = results.load("soak") or results.Part({}, [])
    others = [each for each in part.figures if each["isolation"] != found["isolation"]]
    conditions = results.conditions(f"make soak COUNT={count}")
    results.save("soak", results.Part(conditions, sorted([*others, found], key=lambda each: str(each["isolation"]))))


def report(books: Books, told: dict[str, Any], found: dict[str, Any]) -> None:
    """A table of what happened."""
    rows = {
        "runs": books.ends.total(),
        "requests": found["requests"],
        "requests/s": f"{found['requests'] / found['seconds']:.0f}",
        **dict(sorted(books.totals.items())),
        **{f"fault: {kind}": count for kind, count in sorted(found["faults"].items())},
        "faults": sum(found["faults"].values()),
        "processes killed": found["killed"],
        "worker, MiB": " ".join(
            f"{size / 2**20:.1f}" for size in told["memory"][:: max(WARM, len(told["memory"]) // 20)]
        ),
        "worker, at 10 % and end": " ".join(f"{found[when] / 2**20:.1f}" for when in ("rss_early", "rss_late")),
        f"gateway, MiB by {EACH:,}": " ".join(f"{size / 2**20:.0f}" for size in books.memory),
        "connection's tasks": max(told["tasks"]),
        "lost": found["lost"],
        "run twice": found["twice"],
    }
    print("\n".join(f"  {name:<26} {value}" for name, value in rows.items()))
