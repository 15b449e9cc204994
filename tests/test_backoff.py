"""The waits before a link is made again: how long, by cause, and how a row of failures grows and ends.

Chance is a seeded `random.Random`; waits after failed attempts are taken from a real tenacity loop, whose sleep only notes them.
"""

import random
import statistics
from collections.abc import Iterable
from typing import Any

import pytest
import tenacity

from connect.backoff import (
    AT_ONCE_JITTER,
    AT_ONCE_MOST,
    AT_ONCE_WINDOW,
    GONE_COUNT,
    OFTEN,
    OFTEN_COUNT,
    RARELY,
    STABLE_SECONDS,
    TABLE,
    Backoff,
    Cause,
    RestartBackoff,
    full_jitter,
    wait_by_cause,
)
from connect.errors import (
    ApiError,
    AuthenticationFailed,
    ConnectError,
    ConnectionLimitReached,
    GatewayDraining,
    HandshakeTimeout,
    LinkLost,
    ProtocolError,
    ServerUnreachable,
    SyncFailed,
    TooManyApps,
)
from connect.secrets import Keyring, SigningKey

DRAWS = 2000


def ring(keys: int = 1) -> Keyring:
    return Keyring(*(SigningKey.parse(digits * 32) for digits in ("ab", "cd")[:keys])) if keys else Keyring(None)


def backoff(keyring: Keyring | None = None, seed: int = 0, policy: Any = None) -> Backoff:
    return Backoff(ring() if keyring is None else keyring, random.Random(seed), policy)


async def waits(wait: Any, errors: Iterable[Exception]) -> list[float]:
    """What *wait* says after each of *errors* in turn, in one tenacity loop."""
    left, slept = list(errors), list[float]()

    async def attempt() -> None:
        if left:
            raise left.pop(0)

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    await tenacity.AsyncRetrying(wait=wait, sleep=sleep)(attempt)
    return slept


def spread_evenly(draws: list[float], least: float, most: float) -> None:
    """All of *draws* lie between *least* and *most*, from end to end, and no half has more of them."""
    size = most - least
    assert least <= min(draws) < least + size / 20
    assert most - size / 20 < max(draws) <= most
    assert statistics.fmean(draws) == pytest.approx(least + size / 2, abs=size / 20)


# -- the table -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("failures", "most"), [*enumerate(TABLE, 1), (8, TABLE[-1]), (1000, TABLE[-1])])
def test_a_wait_is_drawn_between_nothing_and_its_entry(failures: int, most: float) -> None:
    rng = random.Random(failures)
    spread_evenly([full_jitter(failures, rng) for _ in range(DRAWS)], 0.0, most)


async def test_the_flushers_waits_go_by_tenacitys_own_count() -> None:
    """Each row of failures begins at the first entry."""
    wait, rows = wait_by_cause(random.Random(0)), list[list[float]]()
    for _ in range(DRAWS // 10):
        rows.append(await waits(wait, [LinkLost("away")] * (len(TABLE) + 2)))
    for column, most in zip(zip(*rows, strict=True), [*TABLE, TABLE[-1], TABLE[-1]], strict=True):
        assert 0.75 * most < max(column) <= most


# -- before a dial loop ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cause", [None, LinkLost("gone"), GatewayDraining("soon")])
def test_the_first_link_of_all_is_made_without_a_wait(cause: Exception | None) -> None:
    assert [backoff(seed=seed).before_dialling(cause, 0.0) for seed in range(20)] == [0.0] * 20


def test_a_lost_link_is_replaced_at_once() -> None:
    draws = []
    for seed in range(DRAWS):
        made = backoff(seed=seed)
        made.link_ready(100.0)
        draws.append(made.before_dialling(LinkLost("gone"), 200.0))
    spread_evenly(draws, 0.0, AT_ONCE_JITTER)


def test_three_links_in_ten_seconds_are_replaced_at_once_and_no_more() -> None:
    """A gateway that takes and drops makes no hot loop."""
    for seed in range(200):
        made, now, waited = backoff(seed=seed), 100.0, list[float]()
        for _ in range(AT_ONCE_MOST + 4):
            made.link_ready(now)
            waited.append(made.before_dialling(LinkLost("gone"), now + 0.1))
            now += 1.0
        assert max(waited[:AT_ONCE_MOST]) <= AT_ONCE_JITTER
        assert all(wait <= most for wait, most in zip(waited[AT_ONCE_MOST:], TABLE, strict=False))
        assert max(waited[AT_ONCE_MOST:]) > AT_ONCE_JITTER


def test_ten_seconds_after_the_third_last_a_link_is_replaced_at_once_again() -> None:
    made, now = backoff(), 100.0
    made.link_ready(now)
    for second in range(AT_ONCE_MOST):
        made.before_dialling(LinkLost("gone"), now + second)
    made.link_ready(now + 8.0)
    assert made.before_dialling(LinkLost("gone"), now + AT_ONCE_WINDOW + 0.01) <= AT_ONCE_JITTER
    made.link_ready(now + 10.5)
    late = [made.before_dialling(LinkLost("gone"), now + 10.6) for _ in range(20)]
    assert max(late) > AT_ONCE_JITTER


def test_a_draining_gateway_is_left_alone_for_about_a_second() -> None:
    """However often that happens: it is neither a failure, nor one of the three replacements at once."""
    made = backoff()
    made.link_ready(100.0)
    spread_evenly([made.before_dialling(GatewayDraining("soon"), 100.0) for _ in range(DRAWS)], 0.5, 1.5)
    assert [made.before_dialling(LinkLost("gone"), 100.0) <= AT_ONCE_JITTER for _ in range(AT_ONCE_MOST)] == [True] * 3
    assert made.before_dialling(LinkLost("gone"), 100.0) <= TABLE[0]


# -- after a failed attempt ------------------------------------------------------------------------------------------------------

ORDINARY = [
    LinkLost("gone"),
    ApiError("down", 500),
    ApiError("odd", 404),
    HandshakeTimeout("silent", "hello"),
    ProtocolError("odd"),
]


@pytest.mark.parametrize("error", ORDINARY, ids=lambda error: type(error).__name__)
async def test_after_a_failure_the_wait_grows_along_the_table(error: Exception) -> None:
    rows = [await waits(backoff(seed=seed), [error] * (len(TABLE) + 2)) for seed in range(DRAWS // 10)]
    for column, most in zip(zip(*rows, strict=True), [*TABLE, TABLE[-1], TABLE[-1]], strict=True):
        assert 0.75 * most < max(column) <= most
        assert statistics.fmean(column) == pytest.approx(most / 2, rel=0.2)


@pytest.mark.parametrize(
    ("error", "least", "most"),
    [
        (GatewayDraining("soon"), 0.5, 1.5),
        (ConnectionLimitReached("too many"), 30.0, 60.0),
        (SyncFailed("refused"), 30.0, 60.0),
        (TooManyApps("too many"), 30.0, 60.0),
    ],
    ids=lambda given: type(given).__name__ if isinstance(given, Exception) else None,
)
async def test_some_causes_have_a_wait_of_their_own(error: Exception, least: float, most: float) -> None:
    """From the first time to the last."""
    spread_evenly(await waits(backoff(), [error] * DRAWS), least, most)


async def test_a_row_of_failures_goes_on_in_the_next_dial_loop() -> None:
    firsts = []
    for seed in range(200):
        made = backoff(seed=seed)
        await waits(made, [LinkLost("gone")] * 3)
        firsts.append((await waits(made, [LinkLost("gone")]))[0])
    assert 0.75 * TABLE[3] < max(firsts) <= TABLE[3]


@pytest.mark.parametrize(("lasted", "entry"), [(STABLE_SECONDS, 0), (STABLE_SECONDS - 0.1, 3)])
async def test_a_link_that_lasts_ten_seconds_ends_a_row_of_failures(lasted: float, entry: int) -> None:
    after = []
    for seed in range(200):
        made = backoff(seed=seed)
        await waits(made, [LinkLost("gone")] * 3)
        made.link_ready(100.0)
        made.before_dialling(LinkLost("gone"), 100.0 + lasted)
        after.append((await waits(made, [LinkLost("gone")]))[0])
    assert 0.75 * TABLE[entry] < max(after) <= TABLE[entry]


# -- by cause --------------------------------------------------------------------------------------------------------------------


def told(seconds: float, error: ConnectError | None = None) -> ConnectError:
    """An error of a peer that asked to wait so many seconds."""
    error = error or ApiError("down", 503)
    error.retry_after = seconds
    return error


CAUSES = {
    Cause.ABSENT: [ServerUnreachable("refused"), HandshakeTimeout("no connection", "start", reached=False)],
    Cause.AILING: [
        *ORDINARY,
        AuthenticationFailed("no"),
        ValueError("a bug"),
        told(0.0),
        told(0.0, ConnectionLimitReached("full")),
        told(0.0, LinkLost("503")),
    ],
    Cause.TOLD: [told(3.0), told(0.5), told(9.0, ConnectionLimitReached("full")), told(1.0, LinkLost("503"))],
    Cause.DRAINING: [GatewayDraining("soon"), told(9.0, GatewayDraining("soon"))],
    Cause.LIMIT: [ConnectionLimitReached("full"), SyncFailed("no"), TooManyApps("no")],
}


@pytest.mark.parametrize(("cause", "error"), [(cause, error) for cause, errors in CAUSES.items() for error in errors])
def test_each_error_has_one_cause(cause: Cause, error: Exception) -> None:
    assert Cause.of(error) is cause


async def test_where_nothing_is_there_the_next_attempt_comes_soon_and_after_a_minute_a_little_later() -> None:
    rows = [await waits(backoff(seed=seed), [ServerUnreachable("refused")] * (OFTEN_COUNT + 20)) for seed in range(20)]
    spread_evenly([wait for row in rows for wait in row[:OFTEN_COUNT]], *OFTEN)
    spread_evenly([wait for row in rows for wait in row[OFTEN_COUNT:]], *RARELY)
    assert all(50 < sum(row[:OFTEN_COUNT]) < 70 for row in rows)


async def test_a_gateway_that_is_not_there_costs_the_api_a_start_request() -> None:
    """So the waits grow as for one that is ailing."""
    made, slept = backoff(), list[float]()
    for _ in range(200):
        made.granted()
        slept += await waits(made, [ServerUnreachable("refused")])
    assert 0.75 * TABLE[-1] < max(slept[10:]) <= TABLE[-1]
    assert sum(slept[:5]) <= sum(TABLE[:5])


@pytest.mark.parametrize("seconds", [0.5, 2.0, 7.5, 600.0])
async def test_a_server_that_says_how_long_is_obeyed_and_workers_spread_out(seconds: float) -> None:
    spread_evenly(await waits(backoff(), [told(seconds)] * DRAWS), seconds, seconds + max(1.0, seconds / 4))


async def test_an_ailing_server_that_answers_again_begins_a_new_row() -> None:
    for seed in range(50):
        made = backoff(seed=seed)
        await waits(made, [ApiError("down", 503)] * 9)
        made.granted()
        assert (await waits(made, [ServerUnreachable("gateway")]))[0] <= TABLE[0]
        assert (await waits(made, [ApiError("down", 503)]))[0] <= TABLE[0]


async def test_a_server_that_is_not_there_for_long_is_not_taken_for_an_ailing_one() -> None:
    errors = [*[ServerUnreachable("refused")] * 100, ApiError("it starts", 503), ServerUnreachable("refused")]
    for wait in (backoff(), wait_by_cause(random.Random(1))):
        slept = await waits(wait, errors)
        assert slept[100] <= TABLE[0]
        assert slept[101] <= OFTEN[1]


@pytest.mark.parametrize("away", [GONE_COUNT - 1, GONE_COUNT])
async def test_a_server_that_was_gone_for_ten_seconds_comes_back_as_a_new_one(away: int) -> None:
    """It ailed, was stopped, and answers 503 again until it is up. One that crashes every few seconds is the same server."""
    again = []
    for seed in range(200):
        errors = [*[ApiError("down", 503)] * 9, *[ServerUnreachable("refused")] * away, ApiError("it starts", 503)]
        again.append((await waits(backoff(seed=seed), errors))[-1])
    most = TABLE[0] if away == GONE_COUNT else TABLE[-1]
    assert 0.75 * most < max(again) <= most


async def test_the_flusher_waits_by_the_same_causes() -> None:
    wait = wait_by_cause(random.Random(0))
    tries = [await waits(wait, [ServerUnreachable("refused")] * OFTEN_COUNT) for _ in range(20)]
    spread_evenly([each for row in tries for each in row], *OFTEN)
    spread_evenly(await waits(wait, [told(3.0)] * DRAWS), 3.0, 4.0)
    assert (await waits(wait, [ApiError("down", 503)] * 9))[8] > (await waits(wait, [ApiError("down", 503)]))[0]


# -- signing keys ----------------------------------------------------------------------------------------------------------------


def refused(keyring: Keyring) -> AuthenticationFailed:
    """The key in use was refused."""
    keyring.refused(keyring.bearer)
    return AuthenticationFailed("unauthorized")


async def test_the_other_key_is_tried_without_a_wait() -> None:
    """It does not count as a failure: the wait that follows is the table's first."""
    for seed in range(50):
        keyring = ring(2)
        made = backoff(keyring, seed)
        assert await waits(made, [refused(keyring)]) == [0.0]
        (next_wait,) = await waits(made, [refused(keyring)])
        assert 0.0 < next_wait <= TABLE[0]


async def test_once_both_keys_are_refused_both_are_tried_again_after_a_wait() -> None:
    keyring = ring(2)
    made = backoff(keyring)
    refused(keyring)
    error = refused(keyring)
    assert keyring.exhausted
    (slept,) = await waits(made, [error])
    assert 0.0 < slept <= TABLE[0]
    assert not keyring.exhausted


@pytest.mark.parametrize("keys", [0, 1])
async def test_where_there_is_no_other_key_a_refusal_is_a_failure_like_others(keys: int) -> None:
    for seed in range(50):
        keyring = ring(keys)
        (slept,) = await waits(backoff(keyring, seed), [refused(keyring)])
        assert 0.0 < slept <= TABLE[0]


# -- a policy of the user's own ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [LinkLost("gone"), GatewayDraining("soon"), ConnectionLimitReached("too many"), SyncFailed("no")],
    ids=lambda error: type(error).__name__,
)
async def test_a_policy_decides_every_wait_after_a_failed_attempt(error: Exception) -> None:
    """It is given what tenacity gives: the attempt's number, and what it raised."""
    seen: list[Any] = []

    def policy(state: tenacity.RetryCallState) -> int:
        seen.append((state.attempt_number, state.outcome and state.outcome.exception()))
        return 7

    assert await waits(backoff(policy=policy), [error] * 3) == [7, 7, 7]
    assert seen == [(1, error), (2, error), (3, error)]


async def test_a_policy_decides_nothing_before_a_dial_loop_nor_about_the_other_key() -> None:
    keyring = ring(2)
    made = backoff(keyring, policy=tenacity.wait_fixed(7))
    made.link_ready(100.0)
    assert made.before_dialling(LinkLost("gone"), 100.0) <= AT_ONCE_JITTER
    assert await waits(made, [refused(keyring)]) == [0.0]
    assert await waits(made, [refused(keyring)]) == [7]


# -- processes that die ----------------------------------------------------------------------------------------------------------


class Most(random.Random):
    """A chance that always gives the most."""

    def uniform(self, _least: float, most: float) -> float:
        return most


def test_the_first_death_is_mended_at_once_and_a_row_of_them_ever_more_slowly() -> None:
    restarts = RestartBackoff(Most())
    assert [restarts.after(0.1) for _ in range(len(TABLE) + 2)] == [0.0, *TABLE, TABLE[-1]]
    assert restarts.after(STABLE_SECONDS) == 0.0
    assert restarts.after(0.1) == TABLE[0]


async def test_a_failed_start_counts_as_a_death() -> None:
    restarts = RestartBackoff(Most())
    assert restarts.after(0.1) == 0.0
    assert await waits(restarts, [OSError("no memory")] * 2) == [TABLE[1], TABLE[2]]


@pytest.mark.parametrize("deaths", range(1, 10))
def test_replacements_are_drawn_between_nothing_and_their_entry(deaths: int) -> None:
    """So that processes which die together do not start together."""

    def last(seed: int) -> float:
        restarts = RestartBackoff(random.Random(seed))
        return [restarts.after(0.1) for _ in range(deaths + 1)][-1]

    spread_evenly([last(seed) for seed in range(DRAWS)], 0.0, TABLE[min(deaths, len(TABLE)) - 1])
