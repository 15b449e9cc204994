"""Which errors end a worker before its first ACTIVE, which it outlives, and how it outlives an API that is away."""

import asyncio
from typing import Any

import pytest
import tenacity
from rig import (
    ACTIVE,
    CLOSED,
    CONNECTING,
    DOWN,
    RECONNECTING,
    Held,
    at_work,
    closed,
    finish,
    patient,
    reaches,
)

from connect import events
from connect.backoff import AT_ONCE_JITTER, OFTEN
from connect.errors import (
    ApiError,
    AuthenticationFailed,
    ConnectTimeout,
    ServerUnreachable,
    SyncFailed,
    TooManyApps,
)
from connect.gateway import HANG, Answer, Gateway, Kind

PRIMARY, FALLBACK = "aa" * 32, "bb" * 32

pytestmark = pytest.mark.usefixtures("quiet")


# -- before the first ACTIVE, and after --------------------------------------------------------------------------------------


async def test_connect_timeout_leaves_start_with_the_last_cause(gw: Gateway, start: Any) -> None:
    gw.starts.standing = DOWN
    worker = await start(ready=False, connect_timeout=1.0)
    await closed(worker)
    error = worker.task.exception()
    assert isinstance(error, ConnectTimeout)
    assert isinstance(error, TimeoutError)
    assert isinstance(error.__cause__, ApiError)
    assert worker.heard(events.Closed)[0].error is error
    assert worker.states == [CONNECTING, CLOSED]


async def test_connect_timeout_ends_with_the_first_active(gw: Gateway, start: Any) -> None:
    """It limits the first connecting only; the worker waits for the end of a later outage."""
    worker = await start(connect_timeout=60.0)
    gw.starts.standing = DOWN
    gw.connections[0].drop()
    await worker.hears(events.Reconnecting, 3)
    assert worker.get_state() is RECONNECTING
    assert not worker._connection._connect_timer.armed
    gw.starts.clear()
    await worker.hears(events.Connected, 2)


def refuse(gw: Gateway, cause: str) -> None:
    """Have every attempt from now on fail with an error that a retry cannot mend."""
    match cause:
        case "unauthorized":
            gw.signing_keys = ("cc" * 32,)
        case "sync failed":
            gw.faults.fail_sync(count=1000)
        case "too many apps":
            gw.apps_limit = 0


def relent(gw: Gateway) -> None:
    """Accept every worker again."""
    gw.signing_keys, gw.apps_limit = (), 10
    gw.faults.clear()


HOPELESS = [("unauthorized", AuthenticationFailed), ("sync failed", SyncFailed), ("too many apps", TooManyApps)]


@pytest.mark.parametrize(("cause", "error"), HOPELESS)
async def test_rejected_before_the_first_active_leaves_start(
    gw: Gateway, start: Any, cause: str, error: type[Exception]
) -> None:
    """A bad deploy fails at once: every key is tried once, anything else once."""
    refuse(gw, cause)
    worker = await start(ready=False, signing_key=PRIMARY, signing_key_fallback=FALLBACK, retry=patient())
    await closed(worker)
    assert isinstance(worker.task.exception(), error)
    assert worker.states == [CONNECTING, CLOSED]
    keys = [call.headers["authorization"] for call in gw.calls("start")]
    assert len(keys) == len(set(keys)) == (2 if cause == "unauthorized" else 1)
    assert worker.heard(events.Closed)[0].error is worker.task.exception()


@pytest.mark.parametrize(("cause", "error"), HOPELESS)
async def test_rejected_after_the_first_active_is_retried_for_ever(
    gw: Gateway, start: Any, cause: str, error: type[Exception]
) -> None:
    """An operator may mend the cause meanwhile."""
    worker = await start(signing_key=PRIMARY, signing_key_fallback=FALLBACK)
    refuse(gw, cause)
    gw.connections[0].drop()
    await worker.hears(events.Reconnecting, 6)
    assert {type(each.error) for each in worker.heard(events.Reconnecting)} == {error}
    assert worker.get_state() is RECONNECTING
    relent(gw)
    await worker.hears(events.Connected, 2)
    run = await gw.invoke("app-echo", {"value": "back"})
    assert run.output == "back"


async def test_rejected_while_there_was_no_active_but_another_failure_first(gw: Gateway, start: Any) -> None:
    """A failure that may pass comes first, and does not hide the one that does not."""
    gw.starts.push(500)
    refuse(gw, "unauthorized")
    worker = await start(ready=False)
    await closed(worker)
    assert isinstance(worker.task.exception(), AuthenticationFailed)
    assert [call.status for call in gw.calls("start")] == [500, 401]


# -- outages -----------------------------------------------------------------------------------------------------------------


async def test_an_api_that_is_down_at_start_is_waited_for(gw: Gateway, start: Any) -> None:
    await gw.stop()
    worker = await start(ready=False)
    await worker.hears(events.Reconnecting, 4)
    assert worker.get_state() is CONNECTING
    await gw.start()
    await worker.hears(events.Connected)
    run = await gw.invoke("app-echo", {"value": 1})
    assert run.status == "completed"


async def test_an_outage_in_the_middle_loses_no_work(gw: Gateway, held: Held, start: Any) -> None:
    """Server and gateway are gone while a function ends; its reply arrives when they are back."""
    worker = await start()
    run = await at_work(gw, held)
    await gw.stop()
    await reaches(worker, RECONNECTING)
    held.release.set()
    await worker.hears(events.ReplyBuffered)
    await worker.hears(events.Reconnecting, 3)
    await gw.start()
    await worker.hears(events.Connected, 2)
    await finish(held, run)
    assert held.calls == 1
    assert not gw.ledger.lost
    assert worker.states == [CONNECTING, ACTIVE, RECONNECTING, ACTIVE]
    assert (await gw.invoke("app-echo", {"value": 1})).status == "completed"


async def test_an_outage_during_shutdown_holds_the_reply_until_the_api_is_back(
    gw: Gateway, held: Held, start: Any
) -> None:
    worker = await start()
    run = await at_work(gw, held)
    await worker.close()
    await gw.wait_for(Kind.WORKER_PAUSE)
    await gw.stop()
    await worker.hears(events.Disconnected)
    held.release.set()
    await worker.hears(events.ReplyBuffered)
    assert not worker.task.done()
    await gw.start()
    await closed(worker)
    await finish(held, run)


async def test_a_link_that_is_ready_cuts_the_flushers_wait_short(gw: Gateway, start: Any) -> None:
    """It shows that the API is back."""
    worker = await start(retry=patient())
    gw.faults.lose(Kind.WORKER_REPLY_ACK, count=None)
    gw.flushes.push(DOWN)
    run = await gw.invoke("app-echo", {"value": 1})
    await gw.wait_for(lambda record: record in gw.calls("flush"))
    await gw.drain()
    flushed = await worker.hears(events.ReplyFlushed)
    assert flushed.request_id == run.requests[0]
    assert [call.status for call in gw.calls("flush")] == [500, 200]


@pytest.mark.parametrize("mebibytes", [1, 4])
async def test_a_large_reply_is_flushed_as_any_other(gw: Gateway, start: Any, mebibytes: int) -> None:
    """Warnings are errors here, and aiohttp warns of a large body of bytes."""
    gw.payload_limit = 16 * 1024 * 1024
    worker = await start()
    gw.faults.lose(Kind.WORKER_REPLY, count=None)
    run = await gw.invoke("app-echo", {"value": "x" * mebibytes * 1024 * 1024})
    assert (run.status, len(run.output)) == ("completed", mebibytes * 1024 * 1024)
    assert gw.ledger[run.requests[0]].via == "flush"
    await worker.hears(events.ReplyFlushed)
    assert [call.status for call in gw.calls("flush")] == [200]


async def test_three_immediate_reconnects_then_backoff(
    gw: Gateway, start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gateway that takes and drops causes no hot loop: the fourth replacement within ten seconds waits, each later one longer."""
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr("connect.backoff.full_jitter", lambda failures, _: failures * 100.0)
    worker = await start(retry=tenacity.AsyncRetrying(wait=tenacity.wait_none(), sleep=sleep))
    for count in range(2, 7):
        gw.connections[-1].drop()
        await worker.hears(events.Connected, count)
        await gw.wait_for_worker()
    first, *at_once = waits[:4]
    assert first == 0
    assert all(0 <= wait <= AT_ONCE_JITTER for wait in at_once)
    assert waits[4:] == [100.0, 200.0]
    assert len(gw.calls("start")) == 6


async def test_a_lost_link_is_replaced_at_once(gw: Gateway, start: Any) -> None:
    """The built-in policy does not wait for it."""
    worker = await start(retry=None)
    loop = asyncio.get_running_loop()
    gw.connections[0].drop()
    before = loop.time()
    await worker.hears(events.Connected, 2)
    assert loop.time() - before < 1.0
    assert not worker.heard(events.Reconnecting)


async def test_no_state_is_entered_after_closed(gw: Gateway, start: Any) -> None:
    """No later event changes the state: Closed is the last event."""
    worker = await start()
    await worker.close(wait=True)
    await closed(worker)
    assert isinstance(worker.told[-1], events.Closed)
    assert worker.told[-1].error is None
    assert worker.states[-1] is CLOSED


# -- how soon it is back -----------------------------------------------------------------------------------------------------


async def test_a_server_that_comes_back_has_its_worker_within_a_second(gw: Gateway, start: Any) -> None:
    """Nothing at the port costs nobody anything: it is tried about twice a second, and never in a hot loop."""
    worker = await start(retry=None)
    await gw.stop()
    await worker.hears(events.Reconnecting, 3)
    failures = worker.heard(events.Reconnecting)
    assert {type(each.error) for each in failures} == {ServerUnreachable}
    assert all(OFTEN[0] <= each.delay <= OFTEN[1] for each in failures)
    await gw.start()
    async with asyncio.timeout(10):
        await gw.wait_for_worker()


async def test_replies_that_wait_are_delivered_once_the_server_is_back_oldest_first(
    gw: Gateway, start: Any, apps: Any
) -> None:
    """Over HTTP, as soon as a start request is granted: a link that never becomes ready holds nothing up."""
    away = [asyncio.Event() for _ in range(6)]

    @apps.function("wait")
    async def wait(ctx: Any) -> Any:
        await away[ctx.event.data["number"]].wait()

    worker = await start(retry=None, isolation="none")
    runs = [gw.start_run("app-wait", {"number": number}) for number in range(6)]
    await worker.hears(events.RequestReceived, 6)
    await gw.stop()
    for number, event in enumerate(away):
        event.set()
        await worker.hears(events.ReplyBuffered, number + 1)
    gw.sockets.standing = HANG
    await gw.start()
    async with asyncio.timeout(10):
        await gw.until(lambda: len(gw.calls("flush")) == 6)
    assert {call.status for call in gw.calls("flush")} == {200}
    first, *others = [call.message.request_id for call in gw.calls("flush")]
    assert first == runs[0].requests[0]
    assert sorted(others) == sorted(run.requests[0] for run in runs[1:])


async def test_before_a_worker_gives_up_it_tries_once_more_to_deliver(gw: Gateway, start: Any, held: Any) -> None:
    """The server is back, but the next tries are an hour away; at the end the reply would be lost."""
    worker = await start(retry=patient(), flush_timeout=2.0)
    await at_work(gw, held)
    gw.starts.standing = gw.flushes.standing = DOWN
    gw.connections[0].drop()
    await worker.hears(events.Reconnecting)
    held.release.set()
    await worker.hears(events.FlushFailed)
    gw.flushes.standing = Answer()
    await worker.connection.close()
    await closed(worker)
    assert not gw.ledger.lost
    assert not worker.heard(events.ReplyLost)


@pytest.mark.parametrize("where", ["starts", "sockets"])
async def test_a_server_that_says_how_long_to_wait_is_left_alone_so_long(gw: Gateway, start: Any, where: str) -> None:
    worker = await start(retry=None)
    getattr(gw, where).standing = Answer(503, headers={"Retry-After": "30"})
    gw.connections[0].drop()
    failure = await worker.hears(events.Reconnecting)
    assert failure.error.retry_after == 30.0
    assert 30.0 <= failure.delay <= 37.5


async def test_the_log_says_the_cause_and_the_next_try(
    gw: Gateway, start: Any, caplog: pytest.LogCaptureFixture
) -> None:
    worker = await start(retry=None)
    await gw.stop()
    failure = await worker.hears(events.Reconnecting)
    port = gw.url.rpartition(":")[2]
    assert (
        f"attempt 1 to connect failed (no server is reached), the next one comes in {failure.delay:.2f} s: cannot reach "
        f"http://127.0.0.1:{port}/v0/connect/start: 127.0.0.1:{port} refuses: nothing listens there"
    ) in [record.getMessage() for record in caplog.records]
