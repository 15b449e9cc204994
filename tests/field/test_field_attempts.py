"""How many attempts half an hour has while something is broken: no hot loop, whatever it is, and however it changes.

The dialler, the outbox and the waits are real. The time is the test's: a wait moves the clock on.
"""

import asyncio
import bisect
import itertools
import random
import statistics
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from connect.backoff import (
    AT_ONCE_MOST,
    AT_ONCE_WINDOW,
    LIMIT,
    OFTEN,
    OFTEN_COUNT,
    RARELY,
    SOON,
    TABLE,
    Backoff,
    wait_by_cause,
)
from connect.deadlines import Deadlines
from connect.delivery.outbox import FLUSHES_AT_ONCE, Outbox
from connect.dialler import Dialler
from connect.errors import (
    ApiError,
    AuthenticationFailed,
    ConnectError,
    ConnectionLimitReached,
    GatewayDraining,
    HandshakeTimeout,
    LinkLost,
    ServerUnreachable,
    SyncFailed,
)
from connect.secrets import Keyring, SigningKey

SPAN = 1800.0
"""Half an hour, in seconds."""
ROUND_TRIP = 0.01
AILING_MOST = len(TABLE) + 1.3 * SPAN / (TABLE[-1] / 2)
"""Attempts at a server that ails all the time, and a third more, for chance."""
ABSENT_MOST = OFTEN_COUNT + 1.2 * SPAN / statistics.fmean(RARELY)
ABSENT_MINUTE = 1.3 * 60 / statistics.fmean(OFTEN)


@pytest.fixture
async def clock(monkeypatch: pytest.MonkeyPatch) -> "Clock":
    made = Clock()
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: made.now)
    return made


class Clock:
    """The loop's time, moved by waits and by attempts; and when each attempt was."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.ends = self.now + SPAN
        self.attempts: list[float] = []
        self.over = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)
        if self.now > self.ends:
            self.over.set()
            await asyncio.Event().wait()

    def attempt(self) -> None:
        self.attempts.append(self.now)
        self.now += ROUND_TRIP

    @property
    def most_in_a_minute(self) -> int:
        """Attempts in the worst sixty seconds."""
        times = self.attempts
        return max(bisect.bisect(times, since + 60) - at for at, since in enumerate(times))


class Server:
    """Where a dialler tries: *outcomes* are those of its attempts in turn."""

    group = ""

    def __init__(self, clock: Clock, keyring: Keyring, outcomes: Iterable[Any]) -> None:
        self.clock = clock
        self.keyring = keyring
        self.outcomes = iter(outcomes)
        self.dialler = Dialler(
            self,  # type: ignore[arg-type]
            lambda _: self,  # type: ignore[arg-type, return-value]
            Backoff(keyring, random.Random(1)),
            keyring,
            Deadlines(),
            clock.sleep,
        )
        self.dialler._ever_ready = True

    def start(self) -> None:
        asyncio.get_running_loop().call_soon(self.answer)

    def answer(self) -> None:
        self.clock.attempt()
        is_granted, outcome = next(self.outcomes)
        if isinstance(outcome, AuthenticationFailed):
            self.keyring.refused(self.keyring.bearer)
        if is_granted:
            self.keyring.accepted()
            self.dialler.granted(self)  # type: ignore[arg-type]
        if outcome is None or isinstance(outcome, float):
            self.dialler.ready(self)  # type: ignore[arg-type]
            self.clock.now += outcome or 0.0
            asyncio.get_running_loop().call_soon(self.dialler.dial, LinkLost("dropped"))
        else:
            self.dialler.failed(self, outcome)  # type: ignore[arg-type]

    def dial_failed(self, *_: Any) -> None: ...


def refused() -> Any:
    return False, ServerUnreachable("refused")


def down() -> Any:
    return False, ApiError("down", 503)


def unauthorized() -> Any:
    return False, AuthenticationFailed("no")


def told(seconds: float, error: type[ConnectError] = LinkLost) -> Callable[[], Any]:
    def make() -> Any:
        made = error("later")
        made.retry_after = seconds
        return False, made

    return make


def gateway(error: Callable[[str], Exception]) -> Callable[[], Any]:
    """The API grants, and the gateway fails so."""
    return lambda: (True, error("it"))


def ready_for(seconds: float) -> Callable[[], Any]:
    """The link is ready, and lost again after so many seconds."""
    return lambda: (True, seconds)


STEPS: dict[str, tuple[list[Callable[[], Any]], float, float]] = {
    "refused": ([refused], ABSENT_MOST, ABSENT_MINUTE),
    "503": ([down], AILING_MOST, 15),
    "silent": ([lambda: (False, HandshakeTimeout("silent", "start"))], AILING_MOST, 15),
    "told to come at once": ([told(0.0)], AILING_MOST, 15),
    "told to wait": ([told(5.0)], SPAN / 5, 12),
    "told to wait, and refused": ([told(5.0), refused], 2 * SPAN / 5, 24),
    "the account's limit": ([lambda: (False, ConnectionLimitReached("full"))], SPAN / LIMIT[0], 3),
    "functions refused": ([gateway(SyncFailed)], SPAN / LIMIT[0], 3),
    "draining": ([gateway(GatewayDraining)], 1.2 * SPAN / statistics.fmean(SOON), 80),
    "refused and 503 in turn": ([refused, down], 2 * AILING_MOST, 30),
    "it crashes every few seconds": ([refused] * 5 + [down], 6 * AILING_MOST, ABSENT_MINUTE),
    "503 and told in turn": ([down, told(1.0)], 2 * AILING_MOST, 30),
    "no gateway": ([gateway(ServerUnreachable)], AILING_MOST, 15),
    "a gateway that answers 503": ([gateway(LinkLost)], AILING_MOST, 15),
    "503, or no gateway": ([down, gateway(ServerUnreachable)], 2 * AILING_MOST, 30),
    "dropped at once": ([ready_for(0.0)], AT_ONCE_MOST * SPAN / AT_ONCE_WINDOW + AILING_MOST, 35),
    "dropped after nine seconds": ([ready_for(9.0)], SPAN / 9, 8),
    "dropped after eleven seconds": ([ready_for(11.0)], SPAN / 11, 7),
    "dropped at once, or 503": ([ready_for(0.0), down], 2 * (AT_ONCE_MOST * SPAN / AT_ONCE_WINDOW + AILING_MOST), 60),
    "both keys refused": ([unauthorized], 2 * AILING_MOST, 30),
    "a key refused, then nothing there": ([unauthorized, refused], 2 * ABSENT_MOST, 2 * ABSENT_MINUTE),
    "both keys refused, then nothing there": ([unauthorized, unauthorized, refused], 3 * AILING_MOST, 40),
    "a key refused, then no gateway": ([unauthorized, gateway(ServerUnreachable)], 2 * AILING_MOST, 30),
}


@pytest.mark.parametrize(("steps", "at_most", "a_minute"), STEPS.values(), ids=STEPS.keys())
async def test_attempts_to_connect(
    clock: Clock, steps: list[Callable[[], Any]], at_most: float, a_minute: float
) -> None:
    keyring = Keyring(*(SigningKey.parse(digits * 32) for digits in ("ab", "cd")))
    server = Server(clock, keyring, (make() for make in itertools.cycle(steps)))
    server.dialler.dial()
    await clock.over.wait()
    server.dialler.stop()
    await server.dialler.wait_stopped()
    assert len(clock.attempts) <= at_most
    assert clock.most_in_a_minute <= a_minute
    if steps == [refused]:
        assert max(later - each for each, later in itertools.pairwise(clock.attempts)) <= RARELY[1] + 2 * ROUND_TRIP
    assert len(clock.attempts) >= 25


# -- flushes -------------------------------------------------------------------------------------------------------------------


class Replies:
    """Replies that wait, and an API that takes those for which *takes* returns nothing."""

    def __init__(self, clock: Clock, count: int, takes: Callable[[int], Any]) -> None:
        self.clock = clock
        self.takes = takes
        self.taken: list[int] = []
        self.busy = 0
        self.most_at_once = 0
        self.outbox = Outbox(
            self,
            self.flush,
            limit=1_000_000,
            ack_seconds=60.0,
            remember_seconds=60.0,
            wait=wait_by_cause(random.Random(1)),
            sleep=clock.sleep,
        )
        for number in range(count):
            self.outbox.hold(str(number), str(number).encode())
            self.outbox.queue_flush(str(number))

    async def flush(self, body: bytes) -> None:
        self.clock.attempt()
        self.busy += 1
        self.most_at_once = max(self.most_at_once, self.busy)
        failure = self.takes(int(body))
        await asyncio.sleep(0)
        self.busy -= 1
        if failure:
            raise failure[1]
        self.taken.append(int(body))

    def reply_flushed(self, request_id: str) -> None:
        self.outbox.drop(request_id)
        if not len(self.outbox):
            self.clock.over.set()

    def reply_not_flushed(self, request_id: str) -> None:
        self.outbox.queue_flush(request_id)

    def reply_overdue(self, _: str) -> None: ...
    def reply_undeliverable(self, request_id: str, _: str) -> None:
        self.outbox.drop(request_id)

    def flushing_broke(self, error: Exception) -> None:
        raise error


FLUSHES: dict[str, tuple[list[Callable[[], Any]], float, float]] = {
    "refused": ([refused], ABSENT_MOST, ABSENT_MINUTE),
    "503": ([down], AILING_MOST, 15),
    "told to come at once": ([told(0.0)], AILING_MOST, 15),
    "told to wait": ([told(5.0)], SPAN / 5, 12),
    "both keys refused": ([unauthorized], AILING_MOST, 15),
    "refused and 503 in turn": ([refused, down], 2 * AILING_MOST, 30),
}


@pytest.mark.parametrize(("steps", "at_most", "a_minute"), FLUSHES.values(), ids=FLUSHES.keys())
async def test_flushes(clock: Clock, steps: list[Callable[[], Any]], at_most: float, a_minute: float) -> None:
    turns = itertools.cycle(steps)
    replies = Replies(clock, 200, lambda _: next(turns)())
    await clock.over.wait()
    await replies.outbox.stop()
    assert replies.most_at_once == 1
    assert len(clock.attempts) <= at_most
    assert clock.most_in_a_minute <= a_minute


async def test_flushes_of_replies_that_the_api_never_takes(clock: Clock) -> None:
    """Three of two hundred: the others are delivered before there is one wait, and no hot loop is left."""
    replies = Replies(clock, 200, lambda number: down() if number in (0, 7, 150) else None)
    began = clock.now
    await clock.over.wait()
    await replies.outbox.stop()
    assert sorted(replies.taken) == sorted({*range(200)} - {0, 7, 150})
    assert clock.attempts[250] - began > TABLE[0]
    assert len(clock.attempts) <= 250 + AILING_MOST


async def test_flushes_to_an_api_that_takes_one_at_a_time(clock: Clock) -> None:
    """It answers 503 to the others. Each round brings it forward, so there is no wait, and no round is larger than the bound."""
    replies = Replies(clock, 200, lambda _: down() if replies.busy > 1 else None)
    await clock.over.wait()
    await replies.outbox.stop()
    assert sorted(replies.taken) == list(range(200))
    assert replies.most_at_once == FLUSHES_AT_ONCE
    assert len(clock.attempts) <= (FLUSHES_AT_ONCE + 1) * 200
