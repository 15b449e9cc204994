"""How long workers wait between attempts: ours, ours of before, and what PROTOCOL.md §11.2 says of the official clients.

Only the waits differ. All of them run in our worker, which replaces a drained link before it closes the old one.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import tenacity

from connect.backoff import SOON, Backoff, Wait, full_jitter
from connect.errors import GatewayDraining
from connect.secrets import Keyring

JAVASCRIPT: Final = (2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0)
FIXED: Final = 5.0
TRIES: Final = 5
SETTLE: Final = 1.0
"""Seconds that the official Python client takes to close a drained link before it dials."""


class FullJitter(Backoff):
    """Ours until 2026-11-27: whatever went wrong, a random wait up to an entry of a table that ends with 60 s."""

    def __call__(self, retry_state: tenacity.RetryCallState) -> float:
        return full_jitter(retry_state.attempt_number, self._rng)


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
    "fixed-for-ever": Policy("the same, patched to try for ever", Fixed, _FIXED),
    "javascript": Policy("official JavaScript: table, no jitter", JavaScript, _TABLE),
}
