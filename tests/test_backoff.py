"""When a lost link is replaced, where the user has a policy."""

import random

import pytest
import tenacity

from connect.backoff import AT_ONCE_MOST, Backoff
from connect.secrets import Keyring


@pytest.mark.xfail(
    strict=True, reason="a link lost too often is waited for by the built-in table, whatever policy connect() was given"
)
def test_the_users_policy_replaces_the_waits_between_frequent_losses_too() -> None:
    """`retry` promises to replace the built-in waits; after the immediate replacements it would have to decide."""
    backoff = Backoff(Keyring(None), random.Random(1), tenacity.wait_fixed(0.02))
    backoff.link_ready(0.0)
    waits = [backoff.before_dialling(None, second / 10) for second in range(10)]
    assert waits[AT_ONCE_MOST:] == [0.02] * (10 - AT_ONCE_MOST)
