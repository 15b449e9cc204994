"""When to try again: tenacity's waits for a lost connection, by cause (DESIGN §5.1).

The table is 1, 2, 5, 10, 20, 30, 60 seconds, each drawn in full ("full jitter": evenly between zero and the entry), since all
workers of a gateway lose it at the same moment. It goes back to its start once a link has been ready for ten seconds. What the
cause itself says comes first: a draining gateway is left alone for about a second, a plan's limit or refused functions for half a
minute to a minute, and a refused signing key gives way to the other one without any wait.
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
"""A link that was ready for so long ends a row of failures."""
AT_ONCE_JITTER: Final = 0.05
AT_ONCE_MOST: Final = 3
AT_ONCE_WINDOW: Final = 10.0
"""At most three immediate replacements in any ten seconds: a gateway that takes and drops must not make a hot loop."""


Wait: TypeAlias = Callable[[tenacity.RetryCallState], float | int]


class wait_table(wait_base):  # noqa: N801 - tenacity's own naming
    """Full jitter over `TABLE` by tenacity's own count of attempts: for the flusher."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def __call__(self, retry_state: tenacity.RetryCallState) -> float:
        return full_jitter(retry_state.attempt_number, self._rng)


def full_jitter(failures: int, rng: random.Random) -> float:
    """Seconds after *failures* failures in a row (1 for the first): evenly in [0, TABLE[failures - 1]], its last entry for more."""
    return rng.uniform(0.0, TABLE[min(failures, len(TABLE)) - 1])


class Backoff(wait_base):
    """The wait of the dial loop, as a tenacity policy; it remembers failures from one loop to the next.

    *policy*, the user's own, replaces the waits after failed attempts; the wait before a dial loop stays as it is.
    """

    def __init__(self, keyring: Keyring, rng: random.Random, policy: Wait | None = None) -> None:
        self._keyring = keyring
        self._rng = rng
        self._policy = policy
        self._failures = 0
        self._ready_at: float | None = None
        self._at_once: deque[float] = deque(maxlen=AT_ONCE_MOST)

    def link_ready(self, now: float) -> None:
        """A link is ready, at loop time *now*."""
        self._ready_at = now

    def before_dialling(self, cause: Exception | None, now: float) -> float:
        """Seconds to wait before the first attempt of a dial loop; *cause* is the loss that made it necessary, if one did."""
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
        """Seconds after a failed attempt, by what it raised."""
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
    """The waits before a process is replaced: none at first, then, while they die young or do not start, as the table says."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._failures = 0

    def after(self, lived: float) -> float:
        """Seconds to wait after the death of one that was at work for *lived* seconds."""
        if lived >= STABLE_SECONDS:
            self._failures = 0
        self._failures += 1
        return 0.0 if self._failures == 1 else full_jitter(self._failures - 1, self._rng)

    def __call__(self, _retry_state: tenacity.RetryCallState) -> float:
        """Seconds after one that could not be started."""
        self._failures += 1
        return full_jitter(self._failures, self._rng)
