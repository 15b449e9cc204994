"""What happened in a simulation: how many workers were routable when, and what the server was asked how often."""

import asyncio
import itertools
import math
from collections import Counter
from collections.abc import Iterator
from typing import Final

BIN: Final = 0.1
"""Seconds over which requests are counted together."""
SLICES: Final = round(1 / BIN)


class Record:
    """Counts by the running loop's clock."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.counts: dict[str, Counter[int]] = {}
        self.moves: list[tuple[float, int, bool]] = []
        """Time, worker, whether it became routable or ceased to be."""
        self._routable: dict[int, int] = {}
        self.replies: set[str] = set()
        """Ids of the requests whose reply has reached the server."""

    def note(self, what: str, weight: int = 1) -> None:
        """Count *what* now."""
        self.counts.setdefault(what, Counter())[int(self._loop.time() / BIN)] += weight

    def routable(self, worker: int, change: int) -> None:
        """*worker* has one more, or one less, link to which work can be routed."""
        before = self._routable.get(worker, 0)
        after = self._routable[worker] = before + change
        if bool(before) != bool(after):
            self.moves.append((self._loop.time(), worker, bool(after)))

    def delivered(self, request_id: str) -> None:
        """The server has the reply to this request."""
        self.replies.add(request_id)

    def total(self, what: str, since: float = 0.0) -> int:
        """How often *what* happened after the time *since*."""
        return sum(count for place, count in self.counts.get(what, Counter()).items() if place >= int(since / BIN))

    def peak(self, what: str, since: float = 0.0) -> float:
        """The most of *what* a second: in any `BIN` seconds after *since*."""
        counts = self.counts.get(what, Counter())
        return max((count for place, count in counts.items() if place >= int(since / BIN)), default=0) / BIN

    def rates(self, what: str, begin: float, end: float) -> list[tuple[float, float]]:
        """*what* a second, by seconds since *begin*, in each second until *end*."""
        counts = self.counts.get(what, Counter())
        places = range(int(begin / BIN), int(end / BIN), SLICES)
        return [((place * BIN) - begin, sum(counts[place + later] for later in range(SLICES))) for place in places]

    def away(self, workers: int, since: float, end: float) -> list[float]:
        """For each worker the seconds between *since* and *end* in which no work could be routed to it, sorted; infinity where none
        could at the end: it has not come back.
        """
        away, gone = [0.0] * workers, dict.fromkeys(range(workers), 0.0)
        for at, worker, is_routable in self._moves_until(end):
            if is_routable:
                away[worker] += max(0.0, at - max(gone.pop(worker, at), since))
            else:
                gone[worker] = at
        for worker in gone:
            away[worker] = math.inf
        return sorted(away)

    def _moves_until(self, end: float) -> Iterator[tuple[float, int, bool]]:
        """At the end of a simulation all workers are closed."""
        return itertools.takewhile(lambda move: move[0] < end, self.moves)

    def share(self, workers: int, begin: float, end: float, step: float) -> list[tuple[float, float]]:
        """Percent of the workers that are routable, by seconds since *begin*, at each *step* until *end*."""
        points, count, moves, at = [], 0, iter(self.moves), begin
        move = next(moves, None)
        while at < end:
            while move and move[0] <= at:
                count += 1 if move[2] else -1
                move = next(moves, None)
            points.append((at - begin, 100.0 * count / workers))
            at += step
        return points

    def backlog(self, workers: int, begin: float, end: float, *, load: float, rate: float) -> tuple[float, float]:
        """The most requests that waited for a worker between *begin* and *end*, and for how many seconds some did.

        Each routable worker serves up to *rate* requests a second; as many arrive as keep *load* of the fleet busy.
        """
        waiting = most = waited = 0.0
        routable, last = 0, begin
        for at, change in [*((at, 1 if up else -1) for at, _, up in self._moves_until(end)), (end, 0)]:
            grows, passed = (load * workers - routable) * rate, max(0.0, at - last)
            if waiting or grows > 0:
                waited += passed if grows >= 0 else min(passed, waiting / -grows)
            waiting = max(0.0, waiting + grows * passed)
            most, routable, last = max(most, waiting), routable + change, max(begin, at)
        return most, waited
