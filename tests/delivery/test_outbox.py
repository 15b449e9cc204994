"""The outbox holds replies up to its limit, remembers delivered ones for a while, and ends every reply in exactly one way."""

import asyncio
import gc
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, ClassVar

import pytest
import tenacity
from hypothesis import given, settings
from hypothesis import strategies as st

from connect.delivery import outbox as module
from connect.delivery.outbox import Outbox
from connect.errors import ApiError, HandshakeTimeout, LinkLost, ServerUnreachable

LIMIT = 100
names = st.sampled_from("abcdefgh")


class Owner:
    """Notes what became of each reply, and queues a failed flush again, as the request chart does."""

    def __init__(self) -> None:
        self.outbox: Outbox
        self.overdue: list[str] = []
        self.flushed: list[str] = []
        self.failed: list[str] = []
        self.lost: list[str] = []
        self.broken: list[Exception] = []
        self._news = asyncio.Event()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                self._news.clear()
                await self._news.wait()

    def reply_overdue(self, request_id: str) -> None:
        self.overdue.append(request_id)
        self._news.set()

    def reply_flushed(self, request_id: str) -> None:
        self.flushed.append(request_id)
        self.outbox.drop(request_id)
        self._news.set()

    def reply_not_flushed(self, request_id: str) -> None:
        self.failed.append(request_id)
        self.outbox.queue_flush(request_id)

    def reply_undeliverable(self, request_id: str, reason: str) -> None:
        self.lost.append(request_id)
        self.outbox.drop(request_id)
        self._news.set()

    def flushing_broke(self, error: Exception) -> None:
        self.broken.append(error)
        self._news.set()


async def nowhere(_: bytes) -> None:
    raise AssertionError("nothing is to be flushed here")


def made(owner: Owner, flush: Callable[[bytes], Awaitable[None]] = nowhere, **options: Any) -> Outbox:
    options = {"limit": LIMIT, "ack_seconds": 60.0, "remember_seconds": 60.0, "wait": lambda _: 0.0, **options}
    owner.outbox = Outbox(owner, flush, **options)
    return owner.outbox


@settings(deadline=None)
@given(st.lists(st.tuples(names, st.integers(0, 150))))
def test_what_is_held_stays_within_its_limit_and_what_goes_is_reported_once(replies: list[tuple[str, int]]) -> None:
    async def body() -> None:
        owner = Owner()
        box = made(owner)
        model: dict[str, int] = {}
        evicted: list[str] = []
        for number, (name, size) in enumerate(replies):
            request_id = f"{name}{number}"
            box.hold(request_id, bytes(size))
            model[request_id] = size
            while sum(model.values()) > LIMIT and len(model) > 1:
                evicted.append(oldest := next(iter(model)))
                del model[oldest]
            assert (box.undelivered(), box.size, len(box)) == (list(model), sum(model.values()), len(model))
            assert all(len(box.body(request_id) or b"") == size for request_id, size in model.items())
            assert owner.lost == evicted

    asyncio.run(body())


@settings(deadline=None)
@given(st.lists(st.tuples(names, st.integers(0, 60))), st.integers(0, 100))
def test_what_is_remembered_stays_within_its_limit_however_often_it_comes_again(
    replies: list[tuple[str, int]], limit: int
) -> None:
    async def body() -> None:
        box = made(Owner(), limit=10 * LIMIT)
        model: dict[str, int] = {}
        for name, size in replies:
            box.hold(name, bytes(size))
            box.remember(name)
            box.drop(name)
            model.pop(name, None)
            if size <= limit:
                model[name] = size
            while sum(model.values()) > limit:
                del model[next(iter(model))]
            recalled = {name: len(reply) for name in "abcdefgh" if (reply := box.recall(name)) is not None}
            assert recalled == model
            assert (box.size, len(box)) == (0, 0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "REMEMBER_BYTES", limit)
        asyncio.run(body())


@settings(deadline=None)
@given(st.lists(st.tuples(names, st.integers(0, 150), st.booleans())))
def test_what_is_remembered_takes_only_the_room_that_undelivered_replies_leave(
    replies: list[tuple[str, int, bool]],
) -> None:
    async def body() -> None:
        box = made(Owner())
        sizes: dict[str, int] = {}
        for number, (name, size, delivered) in enumerate(replies):
            request_id = f"{name}{number}"
            sizes[request_id] = size
            box.hold(request_id, bytes(size))
            if delivered:
                box.remember(request_id)
                box.drop(request_id)
            remembered = sum(sizes[known] for known in sizes if box.recall(known) is not None)
            assert remembered <= max(0, LIMIT - box.size)

    asyncio.run(body())


class Freed(bytes):
    """Bytes that count their kind's ends."""

    count: ClassVar[int] = 0

    def __del__(self) -> None:
        Freed.count += 1


@pytest.fixture
def uncollected() -> Iterator[None]:
    """The garbage collector is off."""
    Freed.count = 0
    gc.disable()
    yield
    gc.enable()


def drop(box: Outbox, request_id: str) -> None:
    box.drop(request_id)


def remember(box: Outbox, request_id: str) -> None:
    box.remember(request_id)
    box.drop(request_id)


def evict(box: Outbox, request_id: str) -> None:
    del request_id


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize("release", [drop, remember, evict])
@pytest.mark.parametrize("hanging", [1, 4])
async def test_a_released_reply_frees_its_bytes_though_its_flush_hangs(
    release: Callable[[Outbox, str], None], hanging: int
) -> None:
    asked: asyncio.Queue[None] = asyncio.Queue()

    async def flush(body: bytes) -> None:
        asked.put_nowait(None)
        if body != b"1":
            await asyncio.Event().wait()

    box = made(Owner(), flush)
    if hanging > 1:  # after a flush that is answered, several begin together
        box.hold("first", b"1")
        box.queue_flush("first")
    for number in range(4):
        box.hold(f"r{number}", Freed(20))
        box.queue_flush(f"r{number}")
    for _ in range(hanging):
        await asked.get()
    for number in range(4):
        release(box, f"r{number}")
    box.hold("new", bytes(LIMIT))
    await asyncio.sleep(0.01)
    assert Freed.count == 4
    await box.stop()


@pytest.mark.usefixtures("uncollected")
async def test_a_failed_flush_keeps_no_released_bytes_while_it_waits() -> None:
    waiting = asyncio.Event()

    async def refuse(_: bytes) -> None:
        raise LinkLost("cannot reach the API") from OSError("the connection was refused")

    def wait(_: tenacity.RetryCallState) -> float:
        waiting.set()
        return 3600.0

    box = made(Owner(), refuse, wait=wait)
    box.hold("a", Freed(10))
    box.queue_flush("a")
    await waiting.wait()
    await asyncio.sleep(0)
    box.drop("a")
    assert Freed.count == 1
    await box.stop()


async def test_a_flusher_whose_last_reply_is_released_ends_and_the_next_reply_goes_out_at_once() -> None:
    """A REPLY_ACK can come while the flusher waits to try again."""
    causes: list[BaseException | None] = []
    api_is_up = False

    async def flush(_: bytes) -> None:
        if not api_is_up:
            raise ApiError("down", 503)

    def wait(state: tenacity.RetryCallState) -> float:
        causes.append(state.outcome.exception() if state.outcome else None)
        return 0.0

    owner = Owner()
    box = made(owner, flush, wait=wait)
    owner.reply_not_flushed = lambda request_id: box.drop(request_id)  # type: ignore[method-assign]
    box.hold("a", b"a")
    box.queue_flush("a")
    await asyncio.sleep(0.01)
    assert box._flusher
    assert box._flusher.done()
    api_is_up = True
    box.hold("b", b"b")
    box.queue_flush("b")
    await owner.until(lambda: owner.flushed == ["b"])
    assert [type(cause) for cause in causes] == [ApiError]
    assert owner.broken == []
    await box.stop()


async def test_it_waits_with_the_sleep_that_it_is_given_and_a_kick_ends_the_wait() -> None:
    waits: list[float] = []
    third = asyncio.Event()
    api_is_up = False

    async def flush(_: bytes) -> None:
        if not api_is_up:
            raise ApiError("down", 503)

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            third.set()
            await asyncio.Event().wait()

    owner = Owner()
    box = made(owner, flush, wait=lambda _: 3600.0, sleep=sleep)
    box.hold("a", b"a")
    box.queue_flush("a")
    await asyncio.wait_for(third.wait(), 10)
    assert waits == [3600.0] * 3
    api_is_up = True
    box.kick()
    await owner.until(lambda: owner.flushed == ["a"])
    await box.stop()


async def test_a_kick_begins_a_new_row_of_waits() -> None:
    """The API answers again, or there is little time left: the waits of before, up to a minute, mean nothing now."""
    rows: list[int] = []
    waiting = asyncio.Event()

    async def refuse(_: bytes) -> None:
        raise ApiError("down", 503)

    def wait(state: tenacity.RetryCallState) -> float:
        rows.append(state.attempt_number)
        return 0.0 if state.attempt_number < 3 else 3600.0

    async def sleep(seconds: float) -> None:
        if seconds:
            waiting.set()
            await asyncio.Event().wait()

    box = made(Owner(), refuse, wait=wait, sleep=sleep)
    box.hold("a", b"a")
    box.queue_flush("a")
    for _ in range(2):
        await waiting.wait()
        waiting.clear()
        box.kick()
    await waiting.wait()
    assert rows == [1, 2, 3] * 3
    await box.stop()


@pytest.mark.parametrize(
    ("error", "before"),
    [(ServerUnreachable("refused"), [b"a"] * 5), (ApiError("down", 503), [b"a", b"b", b"c", b"d", b"e"])],
)
async def test_what_was_made_first_is_delivered_first(error: Exception, before: list[bytes]) -> None:
    """One at a time while the API is away. One that answers may refuse just this reply: then the next one is tried."""
    tried: list[bytes] = []

    async def flush(body: bytes) -> None:
        tried.append(body)
        if len(tried) < 6:
            raise error

    owner = Owner()
    box = made(owner, flush)
    for name in "abcde":
        box.hold(name, name.encode())
        box.queue_flush(name)
    await owner.until(lambda: len(owner.flushed) == 5)
    await box.stop()
    assert tried == [*before, b"a", b"b", b"c", b"d", b"e"]
    assert owner.flushed == list("abcde")


@pytest.mark.parametrize("error", [ApiError("too large", 413), LinkLost("reset"), HandshakeTimeout("slow", "flush")])
@pytest.mark.parametrize("place", [0, 1, 5, 19])
async def test_a_reply_that_the_api_does_not_take_holds_up_no_other(error: Exception, place: int) -> None:
    """A proxy may have a limit of its own, lower than ours: it says 413, or drops the connection, each time."""
    tried: list[bytes] = []
    never, seen = b"%d" % place, asyncio.Event()

    async def flush(body: bytes) -> None:
        tried.append(body)
        if body == never:
            raise error

    async def sleep(_: float) -> None:
        if len(tried) > 30:
            seen.set()
            await asyncio.Event().wait()

    owner = Owner()
    box = made(owner, flush, sleep=sleep)
    for number in range(20):
        box.hold(str(number), b"%d" % number)
        box.queue_flush(str(number))
    async with asyncio.timeout(5):
        await seen.wait()
    await box.stop()
    taken = [body for body in tried if body != never]
    assert sorted(map(int, taken)) == sorted({*range(20)} - {place})
    assert taken == sorted(taken, key=int)
    assert tried[: len(taken) + 3].count(never) <= 3


async def test_a_reply_that_comes_while_others_are_refused_is_the_next() -> None:
    """However many the API does not take. Of one that is released meanwhile nothing is kept."""
    tried, wakes = asyncio.Queue[bytes](), asyncio.Queue[None]()

    async def flush(body: bytes) -> None:
        tried.put_nowait(body)
        if body != b"new":
            raise ApiError("too large", 413)

    async def sleep(_: float) -> None:
        await wakes.get()

    owner = Owner()
    box = made(owner, flush, sleep=sleep)
    for name in "abcde":
        box.hold(name, name.encode())
        box.queue_flush(name)
    assert await tried.get() == b"a"
    for name in "bcdeab":
        wakes.put_nowait(None)
        assert await tried.get() == name.encode()
    box.hold("new", b"new")
    box.queue_flush("new")
    wakes.put_nowait(None)
    assert await tried.get() == b"new"
    await box.stop()
    for name in "abcde":
        box.drop(name)
    assert not box._suspects


async def test_a_wait_that_the_api_asked_for_is_cut_short_only_at_the_end() -> None:
    """A granted start request is another part of the API."""
    tries, waiting = list[bytes](), asyncio.Event()

    async def flush(body: bytes) -> None:
        tries.append(body)
        error = ApiError("busy", 503)
        error.retry_after = 300.0
        raise error

    async def sleep(_: float) -> None:
        waiting.set()
        await asyncio.Event().wait()

    box = made(Owner(), flush, sleep=sleep)
    box.hold("a", b"a")
    box.queue_flush("a")
    await waiting.wait()
    waiting.clear()
    box.kick()
    await asyncio.sleep(0.01)
    assert len(tries) == 1
    box.kick(last=True)
    await waiting.wait()
    assert len(tries) == 2
    await box.stop()


async def test_several_that_fail_together_keep_their_order() -> None:
    tried: list[bytes] = []
    goes_down = True

    async def flush(body: bytes) -> None:
        nonlocal goes_down
        tried.append(body)
        if body != b"a" and goes_down:
            goes_down = body != b"e"
            raise ApiError("down", 503)

    owner = Owner()
    box = made(owner, flush)
    for name in "abcde":
        box.hold(name, name.encode())
        box.queue_flush(name)
    await owner.until(lambda: len(owner.flushed) == 5)
    await box.stop()
    assert tried == [b"a", *([b"b", b"c", b"d", b"e"] * 2)]


async def test_a_reply_that_is_released_while_it_is_flushed_says_nothing_of_the_api() -> None:
    """The next one is still tried alone."""
    asked: list[bytes] = []

    async def hang(body: bytes) -> None:
        asked.append(body)
        await asyncio.Event().wait()

    box = made(Owner(), hang)
    for name in "abcd":
        box.hold(name, name.encode())
        box.queue_flush(name)
    await asyncio.sleep(0.01)
    assert asked == [b"a"]
    box.drop("a")
    await asyncio.sleep(0.01)
    assert asked == [b"a", b"b"]
    await box.stop()


@pytest.mark.parametrize(("seconds", "known"), [(60.0, b"reply"), (-1.0, None)])
async def test_a_memory_lasts_for_its_time_alone(seconds: float, known: bytes | None) -> None:
    box = made(Owner(), remember_seconds=seconds)
    box.hold("a", b"reply")
    box.remember("a")
    assert box.recall("a") == known


OUTCOMES = {"ok": None, "500": ApiError("down", 500), "lost": LinkLost("gone"), "odd": OSError("odd")}


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.lists(st.sampled_from(["500", "lost", "odd"]), max_size=4), st.sampled_from(["ok", "400"])))
)
def test_every_reply_is_flushed_or_refused_in_the_end_and_told_so_once(plans: list[tuple[list[str], str]]) -> None:
    """Each reply has its own answers from the API."""

    async def body() -> None:
        owner = Owner()
        answers = {str(number): [*failures, last] for number, (failures, last) in enumerate(plans)}

        async def flush(reply: bytes) -> None:
            answer = answers[reply.decode()].pop(0)
            await asyncio.sleep(0)
            if error := ApiError("never", 400) if answer == "400" else OUTCOMES[answer]:
                raise error

        box = made(owner, flush, limit=10_000)
        for name in answers:
            box.hold(name, name.encode())
            box.queue_flush(name)
        await owner.until(lambda: not box.undelivered())
        await box.stop()
        assert sorted(owner.flushed) == sorted(str(n) for n, (_, last) in enumerate(plans) if last == "ok")
        assert sorted(owner.lost) == sorted(str(n) for n, (_, last) in enumerate(plans) if last == "400")
        assert len(owner.failed) == sum(len(failures) for failures, _ in plans)
        assert not any(answers.values())

    asyncio.run(body())


async def test_a_reply_that_is_too_old_is_not_flushed(monkeypatch: pytest.MonkeyPatch) -> None:
    owner = Owner()
    box = made(owner)
    monkeypatch.setattr(module, "REPLY_SECONDS", -1.0)
    box.hold("a", b"reply")
    box.queue_flush("a")
    await owner.until(lambda: bool(owner.lost))
    assert owner.lost == ["a"]
    await box.stop()


async def test_each_reply_that_is_not_acknowledged_in_time_is_told_once_in_the_order_of_sending() -> None:
    owner = Owner()
    box = made(owner, ack_seconds=0.05)
    for name in "abc":
        box.hold(name, b"reply")
        box.sent(name)
    box.drop("b")
    await owner.until(lambda: "c" in owner.overdue)
    assert owner.overdue == ["a", "c"]
    await box.stop()


async def test_memory_is_bounded_however_small_the_replies(monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest replies are kept."""
    monkeypatch.setattr(module, "REMEMBER", 3)
    box = made(Owner(), remember_seconds=60.0)
    for name in "abcde":
        box.hold(name, b"")
        box.remember(name)
        box.drop(name)
    assert [name for name in "abcde" if box.recall(name) is not None] == ["c", "d", "e"]


async def test_a_kick_in_the_middle_of_a_try_that_fails_is_not_lost() -> None:
    """The API may have come back since that try began, so the next try does not wait."""
    owner, began, gone = Owner(), asyncio.Event(), asyncio.Event()

    async def flush(_: bytes) -> None:
        if not gone.is_set():
            began.set()
            await gone.wait()
            raise LinkLost("gone")

    box = made(owner, flush, wait=lambda _: 3600.0)
    box.hold("a", b"reply")
    box.queue_flush("a")
    await began.wait()
    box.kick()
    gone.set()
    await owner.until(lambda: bool(owner.flushed))
    await box.stop()


async def test_a_policy_that_goes_by_the_failure_sees_it() -> None:
    owner, seen, answers = Owner(), list[BaseException](), [LinkLost("gone"), None]

    async def flush(_: bytes) -> None:
        if error := answers.pop(0):
            raise error

    def seconds(error: BaseException) -> float:
        seen.append(error)
        return 0.0

    box = made(owner, flush, wait=tenacity.wait_exception(seconds))
    box.hold("a", b"reply")
    box.queue_flush("a")
    await owner.until(lambda: bool(owner.flushed))
    assert [str(error) for error in seen] == ["gone"]
    await box.stop()


async def test_a_policy_that_raises_is_told_to_the_owner_and_ends_the_flushing_alone() -> None:
    owner, answers = Owner(), [LinkLost("gone"), None, None]

    async def flush(_: bytes) -> None:
        if error := answers.pop(0):
            raise error

    def wait(_: tenacity.RetryCallState) -> float:
        raise ZeroDivisionError("a bug of the user's")

    box = made(owner, flush, wait=wait)
    box.hold("a", b"reply")
    box.queue_flush("a")
    await owner.until(lambda: bool(owner.broken))
    assert isinstance(owner.broken[0], ZeroDivisionError)
    box.hold("b", b"reply")
    box.queue_flush("b")
    await owner.until(lambda: owner.flushed == ["a", "b"])
    await box.stop()
