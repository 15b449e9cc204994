"""Compares the books of both sides, request by request, and forgets each request then: memory does not grow with their number."""

import asyncio
from collections import Counter, deque
from pathlib import Path
from typing import Final

import psutil

from connect.gateway import Gateway, Request, Run

FINAL: Final = 40.0
"""Seconds after the end of a run from which neither side has more to say of its requests: a reply is flushed for at most 20 s."""
EACH: Final = 10_000
"""Requests between two measurements of this process's memory."""
Book = Counter[str]
"""How often each happening of one request was noted."""


class Books:
    """The gateway's ledger and what the worker's process notes in the file *noted*.

    *lost*: ids of requests that the worker accepted and neither answered nor reported. *twice*: those that were executed again
    although their lease was not lost. *wrong*: what else contradicts, in words. *late*: what was noted of requests after they had
    been compared, or of unknown ones.
    """

    def __init__(self, gateway: Gateway, noted: Path) -> None:
        self._gateway = gateway
        self._file = noted
        self._read = 0
        self._waiting: deque[tuple[float, Request]] = deque()
        self._noted: dict[str, Book] = {}
        self.requests = 0
        self.ends: Counter[str] = Counter()
        self.totals: Counter[str] = Counter()
        self.lost: list[str] = []
        self.twice: list[str] = []
        self.wrong: list[str] = []
        self.memory: list[int] = []
        """Bytes that this process held after each `EACH` requests."""

    @property
    def late(self) -> dict[str, Book]:
        return self._noted

    @property
    def kept(self) -> int:
        """How many requests are yet to be compared."""
        return len(self._waiting)

    def add(self, run: Run) -> None:
        """*run* has ended. Compares the requests of runs that ended `FINAL` seconds ago."""
        now = asyncio.get_running_loop().time()
        self.ends[run.status] += 1
        for request_id in run.requests:
            self._waiting.append((now, self._gateway.ledger[request_id]))
            self.requests += 1
            if self.requests % EACH == 0:
                self.memory.append(psutil.Process().memory_info().rss)
        if now >= self._waiting[0][0] + 2 * FINAL:  # seldom, and many of them, since the file is read first
            self._compare_until(now - FINAL)

    def close(self) -> None:
        """Compare all that is left. The worker's process must have ended."""
        self._compare_until(float("inf"))

    def _compare_until(self, ended: float) -> None:
        self._read_on()
        while self._waiting and self._waiting[0][0] <= ended:
            _, entry = self._waiting.popleft()
            self._compare(entry, self._noted.pop(entry.id, Counter()))

    def _read_on(self) -> None:
        with self._file.open() as file:
            file.seek(self._read)
            while (line := file.readline()).endswith("\n"):  # the last one may be half written
                self._read += len(line)
                request_id, what = line.split()
                self._noted.setdefault(request_id, Counter())[what] += 1

    def _compare(self, entry: Request, book: Book) -> None:
        self._count(entry, book)
        fates = bool(entry.reply) + book["lease-lost"] + book["discarded"]
        # A request that lost its lease, which was reported, and was forwarded again, may start again: the first one was cancelled.
        again = book["lease-lost"] > 0 and len(entry.dispatched) > 1
        most = 1 + book["lease-lost"] if again else 1
        self.totals["worker: given again"] += again
        if (entry.acked or book) and not fates:
            self.lost.append(entry.id)
        if entry.acked and not book:
            self.wrong.append(f"{entry.id} was acknowledged, and the worker told of nothing: {entry}")
        if fates > most:
            self.wrong.append(f"{entry.id} ended more than once: {book}, {entry}")
        if book["executed"] > most:
            self.twice.append(entry.id)

    def _count(self, entry: Request, book: Book) -> None:
        self.totals.update({f"worker: {what}": count for what, count in book.items()})
        self.totals.update(
            {
                "gateway: accepted": bool(entry.acked),
                f"gateway: reply by {entry.via}" if entry.via else "gateway: without a reply": 1,
                "gateway: duplicates": entry.duplicates,
                "gateway: nacked": entry.nacked,
                "gateway: unrouted": entry.unrouted,
                f"gateway: {entry.status}": 1,
            }
        )
