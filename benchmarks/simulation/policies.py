"""How long workers wait between attempts: ours, ours of before, and what PROTOCOL.md §11.2 says of the official clients.

Only the waits differ. All of them run in our worker, which replaces a drained link before it closes the old one.
"""

import functools
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import tenacity

from connect.backoff import LIMIT, SOON, STABLE_SECONDS, Backoff, Cause, Wait
from connect.errors import GatewayDraining
from connect.secrets import Keyring

BEFORE: Final = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0)
JAVASCRIPT: Final = (2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0)
FIXED: Final = 5.0
TRIES: Final = 5
SETTLE: Final = 1.0
"""Seconds that the official Python client takes to close a drained link before it dials."""


class FullJitter(Backoff):
    """Ours until 2026-11-27: for nearly everything that went wrong, a random wait up to an entry of a table that ends with 60 s."""

    def __init__(self, keyring: Keyring, rng: random.Random) -> None:
        super().__init__(keyring, rng)
        self._failures = 0

    def before_dialling(self, cause: Exception | None, now: float) -> float:
        if self._ready_at is not None and now - self._ready_at >= STABLE_SECONDS:
            self._failures = 0
        return super().before_dialling(cause, now)

    def __call__(self, retry_state: tenacity.RetryCallState) -> float:
        self._failures += 1
        match Cause.of(retry_state.outcome.exception() if retry_state.outcome else None):
            case Cause.DRAINING:
                return self._rng.uniform(*SOON)
            case Cause.LIMIT:
                return self._rng.uniform(*LIMIT)
        return self._rng.uniform(0.0, BEFORE[min(self._failures, len(BEFORE)) - 1])


class Fixed(Backoff):
    """The official Python client's: 5 s after each loss and each failure."""

    def before_dialling(self, cause: Exception | None, now: float) -> float:  # noqa: ARG002
        if self._ready_at is None:
            return 0.0
        return FIXED if cause and not isinstance(cause, GatewayDraining) else SETTLE

    def __call__(self, retry_state: tenacity.RetryCallState) -> float:  # noqa: ARG002
        return FIXED


class JavaScript(Backoff):
    """The JavaScript worker's: a table without jitter, which begins anew with each link."""

    def before_dialling(self, cause: Exception | None, now: float) -> float:  # noqa: ARG002
        return 0.0

    def __call__(self, retry_state: tenacity.RetryCallState) -> float:
        error = retry_state.outcome.exception() if retry_state.outcome else None
        if isinstance(error, GatewayDraining):
            return self._rng.uniform(*SOON)
        return JAVASCRIPT[min(retry_state.attempt_number, len(JAVASCRIPT)) - 1]


class Every(Backoff):
    """Ours with another range of seconds, *often*, for as long as nothing is there."""

    def __init__(self, often: tuple[float, float], keyring: Keyring, rng: random.Random) -> None:
        super().__init__(keyring, rng)
        self._often = often

    def __call__(self, retry_state: tenacity.RetryCallState) -> float:
        cause = Cause.of(retry_state.outcome.exception() if retry_state.outcome else None)
        is_absent = cause is Cause.ABSENT and not self._was_granted
        seconds = super().__call__(retry_state)
        return self._rng.uniform(*self._often) if is_absent else seconds


@dataclass(frozen=True)
class Policy:
    """*flush*: the waits between flushes. *tries*: failed attempts in a row after which the worker closes for good; None: never."""

    title: str
    backoff: Callable[[Keyring, random.Random], Backoff]
    flush: Wait | None = None
    tries: int | None = None


_JITTER: Final = tenacity.wait_random_exponential(multiplier=1, max=60)
_TABLE: Final = tenacity.wait_chain(*map(tenacity.wait_fixed, JAVASCRIPT))
_FIXED: Final = tenacity.wait_fixed(FIXED)

POLICIES: Final = {
    "ours": Policy("ours", Backoff),
    "full-jitter": Policy("full jitter up to 60 s (ours of before)", FullJitter, _JITTER),
    "fixed": Policy("official Python: 5 s, five tries", Fixed, _FIXED, TRIES),
    "fixed-for-ever": Policy("official Python: 5 s, patched to try for ever", Fixed, _FIXED),
    "javascript": Policy("official JavaScript: table, no jitter", JavaScript, _TABLE),
}
RANGES: Final = ((0.0, 0.5), (0.25, 0.75), (0.5, 1.0), (0.75, 1.5), (1.0, 2.0), (2.0, 4.0))
SWEEP: Final = {
    f"{low:g} to {high:g} s": Policy(f"{low:g} to {high:g} s", functools.partial(Every, (low, high)))
    for low, high in RANGES
}
"""Ours with other constants, to choose them by."""
