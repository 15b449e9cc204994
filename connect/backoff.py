"""How long to wait before the next attempt, by what went wrong: tenacity wait policies (docs/decisions/backoff.md).

What the last attempt cost the other side decides. If nothing is there, it cost nothing: the next one comes about twice a second.
If a server is there but ailing, waits grow along a table, each drawn between zero and an entry ("full jitter"). A server that says
how long to wait is obeyed. Every wait is drawn at random, since all workers of a gateway lose it at the same moment.
"""

import enum
import random
from collections import Counter, deque
from collections.abc import Callable
from typing import Final, TypeAlias

import tenacity
from tenacity.wait import wait_base

from connect.errors import (
    AuthenticationFailed,
    ConnectError,
    ConnectionLimitReached,
    GatewayDraining,
    HandshakeTimeout,
    ServerUnreachable,
    SyncFailed,
    TooManyApps,
)
from connect.secrets import Keyring

TABLE: Final = (1.0, 2.0, 5.0, 10.0, 20.0)
"""Seconds, for a server that is ailing: one entry for each failure in a row. The last one is a tenth of an attempt a second and
worker: a server that takes a tenth of what it should still takes that (docs/scale.md)."""
OFTEN: Final = (0.25, 0.75)
"""Seconds between attempts while nothing is there: drawn from this range for the first `OFTEN_COUNT`, about a minute."""
OFTEN_COUNT: Final = 120
GONE_COUNT: Final = 20
"""After so many of these attempts in a row, about ten seconds, what comes back is a new server: its failures are counted anew."""
RARELY: Final = (0.75, 1.5)
"""Seconds between the attempts after those: 10,000 workers come back spread over a second and a half (docs/scale.md)."""
LIMIT: Final = (30.0, 60.0)
"""Seconds after an account's limit, or functions that were refused: only people can change that."""
SOON: Final = (0.5, 1.5)
"""Seconds until the API offers another gateway for one that drains, as the JavaScript worker waits (PROTOCOL.md §9.2)."""
SPREAD: Final = 0.25
"""All workers that a server asks to wait alike would come at once: they wait up to this part longer, a second at least."""
STABLE_SECONDS: Final = 10.0
"""A link that was ready for this long, in seconds, ends a row of failures."""
AT_ONCE_JITTER: Final = 0.5
"""A lost link is replaced at once: after a random part of so many seconds. With the handshake that stays under a second for one
worker, and 200 workers that lose one gateway dial some 20 in each 50 ms."""
AT_ONCE_MOST: Final = 3
AT_ONCE_WINDOW: Final = 10.0
"""At most `AT_ONCE_MOST` times in so many seconds: a gateway that accepts links and drops them must not cause a busy loop."""

Wait: TypeAlias = Callable[[tenacity.RetryCallState], float | int]
"""A tenacity wait policy: from the state of a retry to seconds."""


class Cause(enum.Enum):
    """Why an attempt failed, as far as the wait before the next one goes. The value says it in a log line."""

    ABSENT = "no server is reached"
    GATEWAY_ABSENT = "no gateway is reached, and the API has to name one each time"
    AILING = "a server is there, but does not serve"
    TOLD = "the server asked to wait"
    DRAINING = "the gateway drains"
    LIMIT = "retrying alone does not help"

    @classmethod
    def of(cls, error: BaseException | None) -> "Cause":
        """The cause of *error*, which an attempt raised."""
        match error:
            case GatewayDraining():
                return cls.DRAINING
            case ConnectError(retry_after=float(seconds)):
                # "At once" spares a server nothing: some proxies say it with each 503.
                return cls.TOLD if seconds else cls.AILING
            case ConnectionLimitReached() | SyncFailed() | TooManyApps():
                return cls.LIMIT
            case ServerUnreachable() | HandshakeTimeout(reached=False):
                return cls.ABSENT
        return cls.AILING


class Row:
    """Failures in a row, counted by cause, and the wait after each.

    *asks_first*: before each attempt the API is asked, which costs it something even if nothing is there at what it names.
    """

    def __init__(self, rng: random.Random, *, asks_first: bool = False) -> None:
        self._rng = rng
        self._asks_first = asks_first
        self._counts: Counter[Cause] = Counter()
        self._absent_in_a_row = 0
        self.cause: Cause | None = None
        """What decided the last wait; None: no failure yet."""

    def end(self) -> None:
        """The next failure is the first."""
        self._counts.clear()
        self._absent_in_a_row = 0

    def wait_after(self, error: BaseException | None) -> float:
        """Seconds to wait after *error*, which is the next failure of the row."""
        cause = Cause.of(error)
        if self._asks_first and cause is Cause.ABSENT:
            cause = Cause.GATEWAY_ABSENT
        self.cause = cause
        count = self._count(cause)
        match cause:
            case Cause.ABSENT:
                return self._rng.uniform(*(OFTEN if count <= OFTEN_COUNT else RARELY))
            case Cause.DRAINING:
                return self._rng.uniform(*SOON)
            case Cause.LIMIT:
                return self._rng.uniform(*LIMIT)
            case Cause.TOLD:
                assert isinstance(error, ConnectError)  # noqa: S101 - by `Cause.of`
                seconds = error.retry_after or 0.0
                return seconds + self._rng.uniform(0.0, max(1.0, seconds * SPREAD))
        return full_jitter(count, self._rng)

    def _count(self, cause: Cause) -> int:
        """How many failures of *cause* there were, with this one. An absent gateway costs the API what an ailing one does."""
        cause = Cause.AILING if cause is Cause.GATEWAY_ABSENT else cause
        self._absent_in_a_row = self._absent_in_a_row + 1 if cause is Cause.ABSENT else 0
        if self._absent_in_a_row == GONE_COUNT:
            del self._counts[Cause.AILING]
        self._counts[cause] += 1
        return self._counts[cause]


class wait_by_cause(wait_base):  # noqa: N801 - tenacity's own naming
    """The waits of `Row`, for one tenacity loop at a time, which begins a row. The outbox uses it for flushes."""

    def __init__(self, rng: random.Random) -> None:
        self._row = Row(rng)

    def __call__(self, retry_state: tenacity.RetryCallState) -> float:
        if retry_state.attempt_number == 1:
            self._row.end()
        return self._row.wait_after(retry_state.outcome.exception() if retry_state.outcome else None)


def full_jitter(failures: int, rng: random.Random) -> float:
    """Random seconds in [0, TABLE[failures - 1]]; *failures* counts those in a row, from 1. Beyond the table: its last entry."""
    return rng.uniform(0.0, TABLE[min(failures, len(TABLE)) - 1])


class Backoff(wait_base):
    """The waits of the dial loop, as a tenacity policy. It counts failures across dial loops. On the connection's loop only.

    *policy* is the user's: its waits replace those after a failed attempt, not the wait before a dial loop's first attempt.
    """

    def __init__(self, keyring: Keyring, rng: random.Random, policy: Wait | None = None) -> None:
        self._keyring = keyring
        self._rng = rng
        self._policy = policy
        self._api = Row(rng)
        self._gateway = Row(rng, asks_first=True)
        self._was_granted = False
        self._ready_at: float | None = None
        self.cause: Cause | None = None
        """What decided the last wait after a failure; None: the user's policy did, or the other signing key is tried."""
        self._at_once: deque[float] = deque(maxlen=AT_ONCE_MOST)

    def granted(self) -> None:
        """The API has granted the start request of this attempt: it is well again, and what fails now is the gateway's."""
        self._was_granted = True
        self._api.end()

    def link_ready(self, now: float) -> None:
        """A link is ready. *now* is loop time, in seconds."""
        self._ready_at = now

    def before_dialling(self, cause: Exception | None, now: float) -> float:
        """Seconds to wait before the first attempt of a dial loop, at loop time *now*. *cause*: why the last link ended."""
        self._was_granted = False
        if self._ready_at is None:
            return 0.0
        if now - self._ready_at >= STABLE_SECONDS:
            self._api.end()
            self._gateway.end()
        if isinstance(cause, GatewayDraining):
            return self._rng.uniform(*SOON)
        if len(self._at_once) < AT_ONCE_MOST or now - self._at_once[0] > AT_ONCE_WINDOW:
            self._at_once.append(now)
            return self._rng.uniform(0.0, AT_ONCE_JITTER)
        return self._gateway.wait_after(cause)

    def __call__(self, retry_state: tenacity.RetryCallState) -> float:
        """Seconds to wait after a failed attempt, by the exception that it raised."""
        error = retry_state.outcome.exception() if retry_state.outcome else None
        row, self._was_granted = self._gateway if self._was_granted else self._api, False
        self.cause = None
        if isinstance(error, AuthenticationFailed) and not self._keyring.exhausted:
            return 0.0
        self._keyring.another_round()
        if self._policy:
            return self._policy(retry_state)
        seconds = row.wait_after(error)
        self.cause = row.cause
        return seconds


class RestartBackoff(wait_base):
    """The waits before a process of the pool is replaced, as a tenacity policy: none after the first failure, then `TABLE`.

    A process that was ready for `STABLE_SECONDS` ends a row of failures.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._failures = 0

    def after(self, ready_seconds: float) -> float:
        """Seconds to wait after a process has died that was ready for *ready_seconds* seconds."""
        if ready_seconds >= STABLE_SECONDS:
            self._failures = 0
        self._failures += 1
        return 0.0 if self._failures == 1 else full_jitter(self._failures - 1, self._rng)

    def __call__(self, _retry_state: tenacity.RetryCallState) -> float:
        """Seconds to wait after a process could not be started."""
        self._failures += 1
        return full_jitter(self._failures, self._rng)
