"""The soak: every kind of fault, at random, under load; then the books of both sides are compared.

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
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from chaos import Chaos
from group_kit import end_group

from benchmarks import results
from connect.gateway import Gateway
from connect.gateway import Request as Entry

HERE = Path(__file__).parent
AT_ONCE = {"soak-work": 60, "soak-slow": 6}
"""How many runs of each function are under way at any time."""
LONG = 30.0
"""Seconds from which a soak counts as a long one."""
SPACE, REQUESTS = 0.15, 55
"""Seconds and new requests between two faults, at least, if requests are counted."""
WARM = 10
"""Seconds after which the memory that a worker needs is taken."""
Books = dict[str, Counter[str]]
"""How often what was noted, by request id."""


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
            return cls(0.0, requests, 0, SPACE, REQUESTS)
        least, requests, faults = (20, 20_000, 360) if seconds >= LONG else (5, 2_000, 84)
        return cls(seconds * share, requests * share, least * share, seconds / faults, requests / faults)


@pytest.fixture
async def gw(request: pytest.FixtureRequest) -> AsyncIterator[Gateway]:
    requests = request.config.getoption("--soak-requests")
    async with Gateway(
        heartbeat_interval="60ms",
        extend_lease_interval="60ms",
        ack_timeout=0.4,
        forwards=50,
        lease_duration=1.5,
        routing_timeout=30.0,
        close_timeout=0.5,
        log_capacity=10_000,
        ledger_capacity=max(1_000_000, 2 * requests),  # the judge reads all of it
        record_bytes=max(2**30, 8192 * requests),
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
    chaos = Chaos(gw, random.Random(seed))
    began = asyncio.get_running_loop().time()
    until = began + plan.seconds

    def enough() -> bool:
        # A slow machine gets the time that it needs: how fast it is must decide nothing.
        late = asyncio.get_running_loop().time() >= until
        return late and len(gw.ledger) >= plan.requests and min(chaos.counts.values()) >= plan.least

    async with soaked(gw, tmp_path / "book", isolation) as stop:
        wreaking = asyncio.create_task(chaos.wreak(plan.pause, plan.between))
        ends = await load(gw, enough)
        lasted = asyncio.get_running_loop().time() - began
        wreaking.cancel()
        await asyncio.wait([wreaking])
        gw.faults.clear()
        gw.flushes.clear()
        told = await stop()

    books = read(tmp_path / "book")
    report(gw, books, told, chaos, ends)
    assert wreaking.cancelled(), "the chaos ended before its time"
    judge(gw, books, ends)
    judge_worker(told)
    assert (told["killed"] > 0) == (isolation == "process")
    if request.config.getoption("--soak-save"):
        keep(gw, books, told, chaos, isolation, lasted)
    if len(told["memory"]) >= LONG:
        early, late = told["memory"][WARM], told["memory"][-1]
        assert late <= early * 1.2, f"{early} bytes after {WARM} s, {late} at the end"


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


async def load(gateway: Gateway, enough: Callable[[], bool]) -> list[str]:
    """Start run after run, `AT_ONCE` at a time; how each ended."""
    ends: list[str] = []

    async def one_after_the_other(slug: str) -> None:
        while not enough():
            ends.append((await gateway.invoke(slug)).status)

    await asyncio.gather(*(one_after_the_other(slug) for slug, count in AT_ONCE.items() for _ in range(count)))
    return ends


def read(book: Path) -> Books:
    """What the worker's process wrote into its book."""
    books: Books = {}
    for line in book.read_text().splitlines():
        request_id, what = line.split()
        books.setdefault(request_id, Counter())[what] += 1
    return books


def came_again(entry: Entry, book: Counter[str]) -> bool:
    """Whether a request lost its lease, which was reported, and was forwarded again. Its second start is right, since the first was
    cancelled.
    """
    return book["lease-lost"] > 0 and len(entry.dispatched) > 1


def lost(gateway: Gateway, books: Books) -> list[str]:
    """Ids of requests that the worker accepted and never answered or reported."""
    nothing: Counter[str] = Counter()
    taken = {entry.id for entry in gateway.ledger.accepted} | books.keys()
    noted = ((request_id, books.get(request_id, nothing)) for request_id in taken)
    return [
        request_id
        for request_id, book in noted
        if not (gateway.ledger[request_id].reply or book["lease-lost"] or book["discarded"])
    ]


def judge(gateway: Gateway, books: Books, ends: list[str]) -> None:
    """Compare the gateway's ledger with the worker's events and with what its functions counted."""
    assert lost(gateway, books) == []
    assert {entry.id for entry in gateway.ledger.accepted} <= books.keys(), "acknowledged, but never told of"
    assert gateway.ledger.strangers == []
    for request_id, book in books.items():
        entry = gateway.ledger[request_id]
        fates = bool(entry.reply) + book["lease-lost"] + book["discarded"]
        most = 1 + book["lease-lost"] if came_again(entry, book) else 1
        assert fates <= most, f"{request_id}: {book}, {entry}"
        assert book["executed"] <= most, f"{request_id} was done twice: {book}, {entry}"
    assert set(ends) == {"completed"}, Counter(ends)


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


def keep(gateway: Gateway, books: Books, told: dict[str, Any], chaos: Chaos, isolation: str, lasted: float) -> None:
    """Save the figures of this isolation, beside those of the others."""
    part = results.load("soak") or results.Part({}, [])
    figures = [each for each in part.figures if each["isolation"] != isolation]
    memory = told["memory"]
    figures.append(
        {
            "isolation": isolation,
            "requests": len(gateway.ledger),
            "seconds": lasted,
            "faults": sum(chaos.counts.values()),
            "killed": told["killed"],
            "lost": len(lost(gateway, books)),
            "twice": sum(book["executed"] > 1 + book["lease-lost"] for book in books.values()),
            "leases_lost": sum(book["lease-lost"] for book in books.values()),
            "rss_early": memory[min(len(memory) - 1, max(WARM, len(memory) // 10))],
            "rss_late": memory[-1],
        }
    )
    conditions = results.conditions(f"make soak COUNT={len(gateway.ledger)}")
    results.save("soak", results.Part(conditions, sorted(figures, key=lambda each: str(each["isolation"]))))


def report(gateway: Gateway, books: Books, told: dict[str, Any], chaos: Chaos, ends: list[str]) -> None:
    """A table of what happened."""
    summary = gateway.ledger.summary()
    # The ledger calls lost what has no reply; what the worker reported is accounted for.
    summary["without a reply"] = summary.pop("lost")
    noted = sum(books.values(), Counter())
    rows = {
        "runs": len(ends),
        **{f"gateway: {what}": count for what, count in summary.items()},
        **{f"worker: {what}": noted[what] for what in ("accepted", "executed", "lease-lost", "discarded")},
        "worker: given again": sum(came_again(gateway.ledger[each], book) for each, book in books.items()),
        **{f"fault: {kind}": count for kind, count in sorted(chaos.counts.items())},
        "memory, MiB": " ".join(f"{size / 2**20:.1f}" for size in told["memory"][::WARM]),
        "connection's tasks": " ".join(map(str, told["tasks"][::WARM])),
        "processes killed": told["killed"],
        "lost": len(lost(gateway, books)),
    }
    print("\n".join(f"  {name:<26} {value}" for name, value in rows.items()))
