"""The dialler tries until a link is ready: how often, how long it waits, what it avoids, and which errors end it.

The dialler and its waits are real. A link is a stand-in that comes to the outcome which the test has planned; the waits are noted,
and cost no time.
"""

import asyncio
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import tenacity

from connect.backoff import AT_ONCE_JITTER, TABLE, Backoff
from connect.deadlines import Deadlines
from connect.dialler import Dialler
from connect.errors import (
    ApiError,
    AuthenticationFailed,
    ConnectionLimitReached,
    GatewayDraining,
    HandshakeTimeout,
    LinkLost,
    ProtocolError,
    SyncFailed,
    TooManyApps,
)
from connect.link_owner import Dial
from connect.secrets import Keyring, SigningKey

READY = object()
"""The outcome of a link that becomes ready."""
SILENCE = object()
"""The outcome of a link that comes to nothing until the test decides."""

DEADLINES = Deadlines(ready=30.0, ready_max=100.0)


class StandIn:
    """A link that comes to its planned outcome on the loop's next turn."""

    def __init__(self, world: "World", dial: Dial, group: str, outcome: Any) -> None:
        self.world = world
        self.dial = dial
        self.group = group
        self.outcome = outcome
        self.started = 0

    def start(self) -> None:
        self.started += 1
        self.world.news.set()
        if self.outcome is not SILENCE:
            asyncio.get_running_loop().call_soon(self.finish)

    def finish(self) -> None:
        if self.outcome is READY:
            self.world.ready.append(self.world.dialler.ready(self))  # type: ignore[arg-type]
        else:
            self.world.dialler.failed(self, self.outcome)  # type: ignore[arg-type]
        self.world.news.set()


class World:
    """A dialler, its owner, the outcomes of its links in turn, and the seconds that it waited."""

    def __init__(self, *keys: str, policy: Any = None, seed: int = 0) -> None:
        self.keyring = Keyring(*map(SigningKey.parse, keys)) if keys else Keyring(None)
        backoff = Backoff(self.keyring, random.Random(seed), policy)
        self.dialler = Dialler(self, self.make, backoff, self.keyring, DEADLINES, self.sleep)  # type: ignore[arg-type]
        self.outcomes: Iterator[Any] = iter(())
        self.links: list[StandIn] = []
        self.slept: list[float] = []
        self.asleep: asyncio.Event | None = None
        self.ready: list[bool] = []
        self.failures: list[tuple[int, float, Exception]] = []
        self.causes: list[str] = []
        self.retry_in: list[float] = []
        self.rejected: list[Exception] = []
        self.broken: list[Exception] = []
        self.news = asyncio.Event()

    def make(self, dial: Dial) -> StandIn:
        outcome = next(self.outcomes)
        if isinstance(outcome, AuthenticationFailed):
            self.keyring.refused(self.keyring.bearer)
        group = "" if isinstance(outcome, ApiError | AuthenticationFailed) else f"group-{len(self.links)}"
        self.links.append(StandIn(self, dial, group, outcome))
        return self.links[-1]

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if self.asleep and seconds:
            self.asleep.set()
            await asyncio.sleep(3600)

    def dial_failed(self, attempt: int, delay: float, error: Exception, cause: str) -> None:
        self.causes.append(cause)
        self.failures.append((attempt, delay, error))
        assert self.dialler.retry_at is not None
        self.retry_in.append(self.dialler.retry_at - asyncio.get_running_loop().time())

    def dial_rejected(self, error: Exception) -> None:
        self.rejected.append(error)

    def dial_broken(self, error: Exception) -> None:
        self.broken.append(error)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Until *condition* holds, asked on each turn of the loop."""
        async with asyncio.timeout(10):
            while not condition():  # noqa: ASYNC110 - some of it happens without any news
                await asyncio.sleep(0)

    async def dial(self, *outcomes: Any, cause: Exception | None = None) -> None:
        """Dial, with these outcomes in turn, until the loop has ended."""
        self.outcomes = iter(outcomes)
        self.dialler.dial(cause)
        await self.until(lambda: not self.dialler.dialling)

    @property
    def errors(self) -> list[Exception]:
        """What the owner was told of."""
        return [error for _, _, error in self.failures]


# -- trying until a link is ready ------------------------------------------------------------------------------------------------


async def test_the_first_link_is_made_at_once_and_ends_the_loop() -> None:
    world = World()
    await world.dial(READY)
    assert world.ready == [True]
    assert [link.started for link in world.links] == [1]
    assert world.slept == [0.0]
    assert world.failures == []
    assert (world.dialler.attempts, world.dialler.link, world.dialler.retry_at) == (1, None, None)


@pytest.mark.parametrize("failures", [0, 1, 5])
async def test_the_end_of_a_row_of_failed_attempts_is_logged(failures: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    await World().dial(*[LinkLost("gone")] * failures, READY)
    said = [f"attempt {failures + 1} to connect succeeded, 0.0 s after the first"] if failures else []
    assert [record.getMessage() for record in caplog.records if record.name == "connect"] == said


async def test_each_failed_attempt_is_told_with_its_number_and_its_wait() -> None:
    world = World()
    errors = [LinkLost("gone"), ApiError("down", 500), ProtocolError("odd"), ConnectionLimitReached("too many")]
    await world.dial(*errors, READY)
    assert [attempt for attempt, _, _ in world.failures] == [1, 2, 3, 4]
    assert world.errors == errors
    assert [delay for _, delay, _ in world.failures] == world.slept[1:]
    assert 30.0 <= world.slept[-1] <= 60.0
    assert world.dialler.attempts == 5


async def test_who_hears_of_a_failure_may_ask_when_the_next_attempt_comes() -> None:
    world = World(policy=tenacity.wait_fixed(7))
    await world.dial(LinkLost("gone"), READY)
    assert world.retry_in == [pytest.approx(7, abs=1)]
    assert world.dialler.retry_at is None


async def test_the_last_error_is_kept_until_a_link_is_ready() -> None:
    world = World()
    world.asleep = asyncio.Event()
    world.outcomes = iter([LinkLost("gone")])
    world.dialler.dial()
    await world.asleep.wait()
    assert str(world.dialler.last_error) == "gone"
    world.dialler.stop()
    await world.dialler.wait_stopped()
    world.asleep = None
    await world.dial(READY)
    assert world.dialler.last_error is None


async def test_while_it_dials_another_call_starts_no_second_loop() -> None:
    world = World()
    world.outcomes = iter([SILENCE])
    world.dialler.dial()
    await world.until(lambda: bool(world.links))
    world.dialler.dial(LinkLost("gone"))
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(world.links) == 1
    assert world.dialler.dialling
    assert world.dialler.link is world.links[0]  # type: ignore[comparison-overlap]
    world.links[0].outcome = READY
    world.links[0].finish()
    await world.until(lambda: not world.dialler.dialling)


async def test_each_dial_counts_its_attempts_anew() -> None:
    world = World()
    await world.dial(LinkLost("gone"), LinkLost("gone"), READY)
    await world.dial(LinkLost("gone"), READY)
    assert [attempt for attempt, _, _ in world.failures] == [1, 2, 1]
    assert world.dialler.attempts == 2


@pytest.mark.parametrize(
    ("cause", "least", "most"),
    [(LinkLost("gone"), 0.0, AT_ONCE_JITTER), (GatewayDraining("soon"), 0.5, 1.5), (None, 0.0, AT_ONCE_JITTER)],
)
async def test_the_wait_before_a_replacement_goes_by_what_made_it_necessary(
    cause: Exception | None, least: float, most: float
) -> None:
    world = World()
    await world.dial(READY)
    await world.dial(READY, cause=cause)
    assert least <= world.slept[-1] <= most


async def test_a_row_of_failures_waits_ever_longer() -> None:
    """Over more than one dial: a link that is not ready for ten seconds ends no row."""
    highest = [0.0] * 6
    for seed in range(100):
        world = World(seed=seed)
        await world.dial(*[LinkLost("gone")] * 3, READY)
        await world.dial(*[LinkLost("gone")] * 3, READY)
        waits = [delay for _, delay, _ in world.failures]
        highest = [max(most, wait) for most, wait in zip(highest, waits, strict=True)]
    assert all(0.8 * most < wait <= most for wait, most in zip(highest, TABLE, strict=False))


# -- gateways to avoid -----------------------------------------------------------------------------------------------------------


async def test_the_groups_of_links_that_failed_are_avoided_until_one_is_ready() -> None:
    world = World()
    await world.dial(LinkLost("gone"), HandshakeTimeout("silent", "hello"), READY)
    assert [link.dial.exclude for link in world.links] == [set(), {"group-0"}, {"group-0", "group-1"}]
    assert world.dialler.excluded == set()
    await world.dial(READY)
    assert world.links[-1].dial.exclude == set()


async def test_an_attempt_that_came_to_no_gateway_excludes_none() -> None:
    world = World()
    await world.dial(ApiError("down", 500), READY)
    assert world.links[1].dial.exclude == set()


async def test_a_link_that_was_lost_may_be_excluded_by_hand() -> None:
    """As the connection does with a gateway that drains."""
    world = World()
    await world.dial(READY)
    world.dialler.exclude(world.links[0])  # type: ignore[arg-type]
    await world.dial(READY)
    assert world.links[1].dial.exclude == {"group-0"}


async def test_a_gateway_that_is_late_with_ready_is_asked_again_with_more_patience() -> None:
    """It may be syncing the functions. Once a link is ready, the patience is as it was."""
    world = World()
    late = HandshakeTimeout("silent", "ready")
    await world.dial(late, late, late, READY)
    assert [link.dial.ready for link in world.links] == [30.0, 60.0, 100.0, 100.0]
    assert [link.dial.exclude for link in world.links] == [set()] * 4
    await world.dial(READY)
    assert world.links[-1].dial.ready == 30.0


# -- errors that a retry cannot mend ---------------------------------------------------------------------------------------------

HOPELESS = [SyncFailed("refused"), TooManyApps("too many"), AuthenticationFailed("unauthorized")]


@pytest.mark.parametrize("error", HOPELESS, ids=lambda error: type(error).__name__)
async def test_before_the_first_link_some_errors_end_dialling(error: Exception) -> None:
    world = World("ab")
    await world.dial(LinkLost("gone"), error)
    assert world.rejected == [error]
    assert [str(each) for each in world.errors] == ["gone"]
    assert len(world.links) == 2
    assert world.dialler.last_error is error
    assert not world.dialler.dialling


@pytest.mark.parametrize("error", HOPELESS, ids=lambda error: type(error).__name__)
async def test_after_the_first_link_every_error_is_tried_again(error: Exception) -> None:
    world = World("ab")
    await world.dial(READY)
    await world.dial(error, error, READY)
    assert world.errors == [error, error]
    assert world.rejected == []


async def test_a_refused_key_gives_way_to_the_other_at_once() -> None:
    world = World("ab", "cd")
    await world.dial(AuthenticationFailed("unauthorized"), READY)
    assert world.slept == [0.0, 0.0]
    assert world.rejected == []


async def test_once_both_keys_are_refused_dialling_ends() -> None:
    world = World("ab", "cd")
    await world.dial(AuthenticationFailed("one"), AuthenticationFailed("two"))
    assert [str(error) for error in world.errors] == ["one"]
    assert [str(error) for error in world.rejected] == ["two"]


# -- what is no answer of a peer -------------------------------------------------------------------------------------------------


async def test_a_policy_that_raises_is_told_as_what_it_is() -> None:
    """It is the user's bug: dialling ends, and the owner hears of it."""

    def policy(_: tenacity.RetryCallState) -> float:
        raise ZeroDivisionError("the user's bug")

    world = World(policy=policy)
    await world.dial(LinkLost("gone"))
    assert [type(error) for error in world.broken] == [ZeroDivisionError]
    assert world.rejected == []
    assert not world.dialler.dialling


# -- links that are not the one that is being made -------------------------------------------------------------------------------


async def test_only_the_link_that_is_being_made_can_be_ready() -> None:
    world = World()
    await world.dial(LinkLost("gone"), READY)
    failed, ready = world.links
    for late in (failed, ready):
        assert world.dialler.ready(late) is False  # type: ignore[arg-type]
    world.outcomes = iter([SILENCE])
    world.dialler.dial()
    await world.until(lambda: len(world.links) == 3)
    for late in (failed, ready):
        assert world.dialler.ready(late) is False  # type: ignore[arg-type]
        world.dialler.failed(late, LinkLost("late"))  # type: ignore[arg-type]
    assert world.dialler.dialling
    assert len(world.failures) == 1
    world.dialler.stop()
    await world.dialler.wait_stopped()


# -- stopping --------------------------------------------------------------------------------------------------------------------


async def test_stopping_while_a_link_is_made_leaves_that_link_to_its_owner() -> None:
    world = World()
    world.outcomes = iter([SILENCE])
    world.dialler.dial()
    await world.until(lambda: bool(world.links))
    world.dialler.stop()
    await world.dialler.wait_stopped()
    assert not world.dialler.dialling
    assert world.dialler.link is world.links[0]  # type: ignore[comparison-overlap]
    assert (world.failures, world.rejected, world.broken) == ([], [], [])


async def test_stopping_while_it_waits_ends_it_at_once() -> None:
    world = World(policy=tenacity.wait_fixed(60))
    world.asleep = asyncio.Event()
    world.outcomes = iter([LinkLost("gone"), READY])
    world.dialler.dial()
    await world.asleep.wait()
    world.dialler.stop()
    async with asyncio.timeout(5):
        await world.dialler.wait_stopped()
    assert len(world.links) == 1


async def test_stopping_one_that_never_dialled_does_nothing() -> None:
    world = World()
    world.dialler.stop()
    await world.dialler.wait_stopped()
    assert not world.dialler.dialling
