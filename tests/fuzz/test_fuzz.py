"""The fuzzer: one worker after another lives with a gateway that does what it should not, and is closed at a random moment.

Each must end when told to, without a bug, with every request that it accepted answered or reported, and leave nothing behind.
`make fuzz MINUTES=5` goes on for that long, with another seed each time.
The isolations are `thread` and `none`; `make attack` has `process` too.
"""

import asyncio
import gc
import logging
import random
import time
from collections import Counter
from typing import Any

import psutil
import pytest
import tenacity
from hostile import Hostile
from rig import Apps

from connect import Deadlines, WorkerConnection, connect, events
from connect.errors import ConnectError, InternalError
from connect.gateway import Frame, Kind

SEED = 12
USUAL = 4.0
"""Seconds of the fuzzer within `make test`."""
LAG = 5.0
"""Seconds that the connection's loop may be late: it shares this process, and its interpreter lock, with the fuzzer."""
GROWTH = 150 * 2**20
"""Bytes by which this process may grow from the first life to the last one; the gateway's records of a life are among them."""

QUICK = Deadlines(
    start=1.0, socket=1.0, hello=0.5, ready=0.5, ready_max=1.0, reply_ack=0.2, settle=0.2, pause=0.01, remember=1.0
)


async def test_a_worker_lives_through_whatever_a_gateway_sends(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    # pytest would keep each line of the log.
    monkeypatch.setattr(logging.getLogger("connect"), "propagate", False)
    monkeypatch.setattr(logging.root, "disabled", True)
    seconds, seed = request.config.getoption("--fuzz-seconds"), request.config.getoption("--fuzz-seed")
    if seed is None:
        seed = SEED if seconds <= USUAL else random.SystemRandom().randrange(1_000_000)
    print(f"\nfuzzing for {seconds:g} s: --fuzz-seed {seed}")
    until, number, sizes, totals = time.monotonic() + seconds, 0, list[int](), Counter[str]()
    while time.monotonic() < until:
        life = Life(random.Random(f"{seed}-{number}"))
        try:
            await life.live()
        except BaseException:
            print(f"life {number} of --fuzz-seed {seed}: {life}")
            raise
        totals += life.counts()
        gc.collect()
        sizes.append(psutil.Process().memory_info().rss)
        number += 1
    print(f"{number} lives, {dict(totals)}")
    assert max(sizes) - sizes[0] < GROWTH


class Life:
    """One worker, from its start to its end."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._isolation = chance.choice(("thread", "thread", "none"))
        self._at_once = chance.random() < 0.4
        self._heard: list[events.Event] = []
        self._unhandled: list[dict[str, Any]] = []
        self._bugs = Bugs()
        self._lag = 0.0
        self._worker: WorkerConnection
        self._hostile: Hostile

    def __str__(self) -> str:
        started = "from the first dial on" if self._at_once else "once it is ready"
        return f"isolation {self._isolation}, hostile {started}, {self.counts()}"

    def counts(self) -> Counter[str]:
        """What happened."""
        return Counter(type(event).__name__ for event in self._heard) + Counter(frames=self._hostile.sent)

    async def live(self) -> None:
        """Start a worker, disturb it, close it, and judge."""
        asyncio.get_running_loop().set_exception_handler(lambda _, context: self._unhandled.append(context))
        logging.getLogger("connect").addHandler(self._bugs)
        try:
            async with Hostile(self._chance) as self._hostile:
                self._hostile.spoils = self._at_once
                task = await self._begin()
                await self._disturb(task)
                await self._end(task)
                self._judge(task)
        finally:
            logging.getLogger("connect").removeHandler(self._bugs)

    async def _begin(self) -> asyncio.Task[None]:
        eager = tenacity.AsyncRetrying(
            wait=tenacity.wait_random(0, 0.1), sleep=lambda seconds: asyncio.sleep(min(seconds, 0.1))
        )
        self._worker = connect(
            _apps(self._hostile),
            api_base_url=self._hostile.url,
            isolation=self._isolation,
            retry=eager,
            deadlines=QUICK,
            shutdown_signals=[],
            flush_timeout=2.0,
            shutdown_timeout=1.0,
        )
        self._worker.on(events.Event, self._heard.append)
        task = asyncio.create_task(self._worker.start())
        if not self._at_once:
            await self._hostile.gateway.wait_for_worker()
            self._hostile.spoils = True
        return task

    async def _disturb(self, task: asyncio.Task[None]) -> None:
        measuring = asyncio.create_task(self._measure())
        until = time.monotonic() + self._chance.uniform(0.3, 2.0)
        while time.monotonic() < until and not task.done():
            await self._hostile.act()
            await asyncio.sleep(self._chance.choice((0, 0, 0.001, 0.02)))
        measuring.cancel()

    async def _measure(self) -> None:
        """How late the connection's loop is."""
        while True:
            asked, seen = time.monotonic(), asyncio.get_running_loop().create_future()
            home = asyncio.get_running_loop()
            if self._worker._loop:
                self._worker._loop.call_soon_threadsafe(home.call_soon_threadsafe, seen.set_result, time.monotonic())
                await asyncio.shield(seen)
                self._lag = max(self._lag, time.monotonic() - asked)
            await asyncio.sleep(0.02)

    async def _end(self, task: asyncio.Task[None]) -> None:
        """Close the worker: sometimes the gateway behaves from here on, sometimes it goes on."""
        await self._worker.close()
        if self._chance.random() < 0.5:
            self._hostile.calm()
        if self._chance.random() < 0.3:
            task.cancel()
        until = time.monotonic() + 12
        while not task.done():
            assert time.monotonic() < until, f"the worker did not end: {self._worker.status()}"
            await self._hostile.act() if self._hostile.spoils else None
            await asyncio.wait([task], timeout=0.005)

    def _judge(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        assert error is None or (isinstance(error, ConnectError) and not isinstance(error, InternalError)), repr(error)
        assert self._bugs.lines == []
        assert self._unhandled == []
        assert self._worker.status().unexpected_events == 0
        assert self._lag < LAG
        self._judge_requests()

    def _judge_requests(self) -> None:
        """Every request that was accepted was answered, or is reported; none was done more often than it was accepted."""
        accepted = Counter(each.request_id for each in self._heard if isinstance(each, events.RequestReceived))
        reported = Counter(
            each.request_id for each in self._heard if isinstance(each, events.LeaseLost | events.ReplyLost)
        )
        replied = {
            frame.message.request_id
            for frame in self._hostile.gateway.log
            if isinstance(frame, Frame) and frame.kind == Kind.WORKER_REPLY and frame.message is not None
        }
        answered = replied | self._hostile.flushed | self._hostile.forge.acknowledged
        assert [each for each in accepted if each not in answered and not reported[each]] == []
        done = Counter(each.request_id for each in self._heard if isinstance(each, events.RequestCompleted))
        assert [each for each, count in done.items() if count > accepted[each]] == []


class Bugs(logging.Handler):
    """Keeps the log lines that say that the worker has a bug."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if "bug in the worker" in record.getMessage() or "an action raised" in record.getMessage():
            self.lines.append(self.format(record))


def _apps(hostile: Hostile) -> Any:
    apps = Apps(hostile.gateway)

    @apps.function("echo", retries=2)
    async def echo(ctx: Any) -> Any:
        return "done"

    @apps.function("slow")
    async def slow(ctx: Any) -> str:
        await asyncio.sleep(0.3)
        return "slow"

    @apps.function("fail", retries=1)
    async def fail(ctx: Any) -> None:
        raise ValueError("no")

    @apps.function("sync")
    def sync(ctx: Any) -> str:
        time.sleep(0.01)
        return "sync"

    return [(apps.client, apps.functions)]
