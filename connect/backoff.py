"""How long to wait before the next attempt, by what went wrong: tenacity wait policies (docs/decisions/backoff.md).

The base is a table: 1, 2, 5, 10, 20, 30, 60 seconds, one entry for each failure in a row. The wait is a random number between zero
and the entry ("full jitter"), since all workers of a gateway lose it at the same moment. After a link has been ready for ten
seconds the table starts again. Some causes have waits of their own: about a second for a draining gateway, 30 to 60 seconds for an
account's limit or refused functions, none for a refused signing key while there is another.
"""

import random
from collections import deque
from collections.abc import Callable
from typing import Final, TypeAlias

import tenacity
from tenacity.wait import wait_base

from connect.errors import AuthenticationFailed, ConnectionLimitReached, GatewayDraining, SyncFailed, TooManyApps
from connect.secrets import Keyring

TABLE: Final = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0)
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


class wait_table(wait_base):  # noqa: N801 - tenacity's own naming
    """Full jitter over `TABLE`, by tenacity's count of attempts. The outbox uses it for flushes."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def __call__(self, retry_state: tenacity.RetryCallState) -> float:
        return full_jitter(retry_state.attempt_number, self._rng)


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
        self._failures = 0
        self._ready_at: float | None = None
        self._at_once: deque[float] = deque(maxlen=AT_ONCE_MOST)

    def link_ready(self, now: float) -> None:
        """A link is ready. *now* is loop time, in seconds."""
        self._ready_at = now

    def before_dialling(self, cause: Exception | None, now: float) -> float:
        """Seconds to wait before the first attempt of a dial loop, at loop time *now*. *cause*: why the last link ended."""
        if self._ready_at is None:
            return 0.0
        if now - self._ready_at >= STABLE_SECONDS:
            self._failures = 0
        if isinstance(cause, GatewayDraining):
            return self._soon()
        if len(self._at_once) < AT_ONCE_MOST or now - self._at_once[0] > AT_ONCE_WINDOW:
            self._at_once.append(now)
            return self._rng.uniform(0.0, AT_ONCE_JITTER)
        self._failures += 1
        return full_jitter(self._failures, self._rng)

    def __call__(self, retry_state: tenacity.RetryCallState) -> float:
        """Seconds to wait after a failed attempt, by the exception that it raised."""
        error = retry_state.outcome.exception() if retry_state.outcome else None
        if isinstance(error, AuthenticationFailed) and not self._keyring.exhausted:
            return 0.0
        self._keyring.another_round()
        self._failures += 1
        if self._policy:
            return self._policy(retry_state)
        if isinstance(error, GatewayDraining):
            return self._soon()
        if isinstance(error, ConnectionLimitReached | SyncFailed | TooManyApps):
            return self._rng.uniform(TABLE[-1] / 2, TABLE[-1])
        return full_jitter(self._failures, self._rng)

    def _soon(self) -> float:
        return self._rng.uniform(0.5, 1.5)


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
