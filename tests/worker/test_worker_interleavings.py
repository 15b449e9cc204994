"""Drains, losses, shutdowns and bugs, each in the middle of another: the rows of STATECHARTS.md §7.1, and what borders on them.

An API that answers 500 keeps the worker between two links for as long as a test likes: `gw.starts.standing`.
"""

import asyncio
import json
import signal
import threading
from dataclasses import replace
from typing import Any

import pytest
import tenacity
from rig import QUICK, Apps, Held, Running, reported

from connect import ConnectionState, Invocation, Outcome, connect, events
from connect.connection import Connection
from connect.errors import (
    ApiError,
    AuthenticationFailed,
    ConfigurationError,
    ConnectTimeout,
    InternalError,
    LinkLost,
    SyncFailed,
    TooManyApps,
)
from connect.gateway import HANG, Answer, Ended, Gateway, Kind, Opened, Run
from connect.requests import Requests
from connect.wire import SDKResponseStatus

CONNECTING, ACTIVE, DRAINING, RECONNECTING, CLOSED = (
    ConnectionState.CONNECTING,
    ConnectionState.ACTIVE,
    ConnectionState.DRAINING,
    ConnectionState.RECONNECTING,
    ConnectionState.CLOSED,
)
DOWN = Answer(500)
PRIMARY, FALLBACK = "aa" * 32, "bb" * 32

pytestmark = pytest.mark.usefixtures("quiet")


async def at_work(gw: Gateway, held: Held) -> Run:
    """A run whose function is in the middle of it."""
    run = gw.start_run("app-hold")
    await held.running()
    return run


async def finish(held: Held, run: Run) -> None:
    """Let the function go, and see its run through."""
    held.release.set()
    async with asyncio.timeout(5):
        await run.done()
    assert (run.status, run.output) == ("completed", "held")


async def reaches(worker: Running, state: ConnectionState, *, times: int = 1) -> None:
    """Until the worker has entered *state* so often."""
    while worker.states.count(state) < times:
        await worker.hears(events.StateChanged, len(worker.heard(events.StateChanged)) + 1)


async def closed(worker: Running) -> None:
    """Until the worker has ended, and start() has returned or raised."""
    async with asyncio.timeout(5):
        await worker.connection.closed()
        await asyncio.wait([worker.task])


def said(gw: Gateway, number: int) -> list[str]:
    """The kinds of the frames that came over a connection."""
    return [
        Kind.Name(Kind.ValueType(frame.kind))
        for frame in gw.frames()
        if frame.connection == number and frame.direction == "in"
    ]


def endings(gw: Gateway) -> dict[int, tuple[str, int, str]]:
    """How each connection ended: by whom, code, reason."""
    return {each.connection: (each.by, each.code, each.reason) for each in gw.log if isinstance(each, Ended)}


def most_links(gw: Gateway) -> int:
    """How many sockets were open at once, at most."""
    now = most = 0
    for record in gw.log:
        now += isinstance(record, Opened)
        now -= isinstance(record, Ended)
        most = max(most, now)
    return most


PROPERLY = ("worker", 1000, "WORKER_SHUTDOWN")


# -- the table ---------------------------------------------------------------------------------------------------------------


async def test_drain_during_shutdown(gw: Gateway, held: Held, start: Any) -> None:
    """The replacement is paused, never announced; the work ends on it."""
    worker = await start()
    run = await at_work(gw, held)
    await worker.close()
    await gw.wait_for(Kind.WORKER_PAUSE)
    await gw.drain()
    await gw.wait_for(Kind.WORKER_PAUSE, count=2)
    await finish(held, run)
    await closed(worker)
    assert said(gw, 2) == ["WORKER_CONNECT", "WORKER_PAUSE", "WORKER_REPLY"]
    assert endings(gw) == {1: PROPERLY, 2: PROPERLY}
    assert worker.states == [CONNECTING, ACTIVE, DRAINING, CLOSED]
    assert not gw.ledger.lost


async def test_shutdown_during_drain(gw: Gateway, held: Held, start: Any) -> None:
    """The draining link, still the current one, carries the last reply; no replacement is waited for."""
    worker = await start()
    run = await at_work(gw, held)
    gw.starts.standing = DOWN
    await gw.drain()
    await worker.hears(events.Reconnecting)
    assert worker.status().substates == ("REPLACING",)
    assert worker.is_ready
    await worker.close()
    await worker.hears(events.Draining, 2)
    assert worker.status().substates == ("STOPPING",)
    assert not worker.is_ready
    await finish(held, run)
    await closed(worker)
    assert gw.ledger[run.requests[0]].via == "socket"
    assert endings(gw) == {1: PROPERLY}
    assert worker.states == [CONNECTING, ACTIVE, DRAINING, CLOSED]


async def test_ready_after_shutdown_in_a_drain(gw: Gateway, held: Held, start: Any) -> None:
    """The link that was being made when shutdown began is paused, never announced, and takes the reply."""
    worker = await start()
    run = await at_work(gw, held)
    gw.starts.standing = DOWN
    await gw.drain()
    await worker.hears(events.Reconnecting)
    await worker.close()
    await worker.hears(events.Draining, 2)
    gw.starts.clear()
    await worker.hears(events.Connected, 2)
    await gw.wait_for(Kind.WORKER_PAUSE)
    await finish(held, run)
    await closed(worker)
    assert said(gw, 2) == ["WORKER_CONNECT", "WORKER_PAUSE", "WORKER_REPLY"]
    assert endings(gw) == {1: PROPERLY, 2: PROPERLY}
    assert worker.states == [CONNECTING, ACTIVE, DRAINING, CLOSED]


async def test_loss_during_drain(gw: Gateway, held: Held, start: Any) -> None:
    """The old link dies before the new one is ready: the work lives on and is answered over the new one."""
    worker = await start()
    run = await at_work(gw, held)
    gw.starts.standing = DOWN
    await gw.drain()
    await worker.hears(events.Reconnecting)
    gw.connections[0].drop()
    await reaches(worker, RECONNECTING)
    gw.starts.clear()
    await worker.hears(events.Connected, 2)
    await finish(held, run)
    assert worker.states == [CONNECTING, ACTIVE, DRAINING, RECONNECTING, ACTIVE]
    assert said(gw, 2) == ["WORKER_CONNECT", "WORKER_READY", "WORKER_REPLY"]
    assert held.calls == 1


async def test_loss_during_shutdown(gw: Gateway, held: Held, start: Any) -> None:
    """A new link is made although the worker shuts down: the lease has to live, and the reply to arrive."""
    worker = await start()
    run = await at_work(gw, held)
    await worker.close()
    await gw.wait_for(Kind.WORKER_PAUSE)
    gw.connections[0].drop()
    await gw.wait_for(Kind.WORKER_PAUSE, count=2)
    await finish(held, run)
    await closed(worker)
    assert said(gw, 2) == ["WORKER_CONNECT", "WORKER_PAUSE", "WORKER_REPLY"]
    assert endings(gw)[2] == PROPERLY
    assert worker.states == [CONNECTING, ACTIVE, DRAINING, CLOSED]


def patient() -> tenacity.AsyncRetrying:
    """A backoff that nobody waits out."""
    return tenacity.AsyncRetrying(wait=tenacity.wait_fixed(3600))


async def test_shutdown_during_backoff_while_idle(gw: Gateway, start: Any) -> None:
    """The wait is cut short: CLOSED at once."""
    worker = await start(retry=patient())
    gw.starts.standing = DOWN
    gw.connections[0].drop()
    waiting = await worker.hears(events.Reconnecting)
    assert waiting.delay == 3600
    assert worker.status().next_retry_in == pytest.approx(3600, abs=60)
    await worker.close()
    await closed(worker)
    assert worker.states == [CONNECTING, ACTIVE, RECONNECTING, DRAINING, CLOSED]
    assert len(gw.calls("start")) == 2


async def test_shutdown_during_backoff_with_work(gw: Gateway, held: Held, start: Any) -> None:
    """The work ends without any link, its reply is flushed, and then the worker is CLOSED."""
    worker = await start(retry=patient())
    run = await at_work(gw, held)
    gw.starts.standing = DOWN
    gw.connections[0].drop()
    await worker.hears(events.Reconnecting)
    await worker.close()
    await worker.hears(events.Draining)
    assert worker.status().substates == ("STOPPING",)
    await finish(held, run)
    await closed(worker)
    assert gw.ledger[run.requests[0]].via == "flush"
    assert worker.states == [CONNECTING, ACTIVE, RECONNECTING, DRAINING, CLOSED]


async def test_second_drain_while_draining(gw: Gateway, held: Held, start: Any) -> None:
    """The repeat changes nothing: one replacement, one hand-over."""
    worker = await start()
    run = await at_work(gw, held)
    old = gw.connections[0]
    gw.starts.standing = DOWN
    await gw.drain()
    await worker.hears(events.Reconnecting)
    await old.send(Kind.GATEWAY_CLOSING)
    await gw.redeliver(run.requests[0], old)
    await gw.wait_for(Kind.WORKER_REQUEST_ACK, count=2)  # by now the repeat was read
    assert worker.status().substates == ("REPLACING",)
    gw.starts.clear()
    await worker.hears(events.Connected, 2)
    await finish(held, run)
    assert worker.states == [CONNECTING, ACTIVE, DRAINING, ACTIVE]
    assert len(gw.connections) <= 2
    assert len([record for record in gw.log if isinstance(record, Opened)]) == 2


async def test_drain_of_the_replacement(gw: Gateway, start: Any) -> None:
    """The first link, still waiting for an answer, is dropped when its replacement drains: never three links."""
    worker = await start(deadlines=replace(QUICK, reply_ack=30.0, settle=30.0))
    gw.faults.lose(Kind.WORKER_REPLY_ACK)
    await gw.invoke("app-echo", {"value": 1})
    await gw.drain()
    await worker.hears(events.Connected, 2)
    second = await gw.wait_for_worker()
    assert len(gw.connections) == 2
    await gw.drain(second)
    await worker.hears(events.Connected, 3)
    await gw.until(lambda: len(gw.connections) == 1)
    assert most_links(gw) == 2
    assert endings(gw) == {1: PROPERLY, 2: PROPERLY}
    assert worker.states == [CONNECTING, ACTIVE, DRAINING, ACTIVE, DRAINING, ACTIVE]
    await worker.hears(events.ReplyFlushed)  # what the first link owed


class Stubborn:
    """An executor whose work cannot be stopped; `begun` tells that it was asked for some."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.cancelled = 0

    async def start(self) -> None: ...

    async def execute(self, invocation: Invocation) -> Outcome:
        self.begun.set()
        never = asyncio.get_running_loop().create_future()
        while self.cancelled < 2:
            try:
                await asyncio.shield(never)
            except asyncio.CancelledError:
                self.cancelled += 1
        raise asyncio.CancelledError

    async def stop(self) -> None: ...


async def test_nothing_helps(gw: Gateway, start: Any) -> None:
    """Work that ends neither by itself nor by cancelling is reported as lost, and the worker closes all the same."""
    executor = Stubborn()
    worker = await start(executor=executor, shutdown_timeout=0.05, flush_timeout=0.1)
    run = gw.start_run("app-echo")
    await worker.hears(events.RequestReceived)
    await worker.close()
    lost = await worker.hears(events.ReplyLost)
    await closed(worker)
    assert lost.request_id == run.requests[0]
    assert worker.states == [CONNECTING, ACTIVE, DRAINING, CLOSED]
    assert worker.stuck() == run.requests
    assert worker.task.exception() is None
    assert [request.id for request in gw.ledger.lost] == run.requests


# -- shutdown, early and often -----------------------------------------------------------------------------------------------


def obstruct(gw: Gateway, stage: str) -> Any:
    """Keep the first link from getting past *stage*; returns what to wait for to know that it is there."""
    match stage:
        case "start":
            gw.starts.standing = HANG
            return lambda record: record in gw.calls("start")
        case "socket":
            gw.sockets.standing = HANG
            return lambda record: record in gw.calls("start")
        case "hello":
            gw.faults.lose(Kind.GATEWAY_HELLO, count=None)
            return lambda record: isinstance(record, Opened)
        case "ready":
            gw.faults.lose(Kind.GATEWAY_CONNECTION_READY, count=None)
            return Kind.WORKER_CONNECT
        case _:
            gw.starts.standing = DOWN
            return lambda record: record in gw.calls("start")


@pytest.mark.parametrize("stage", ["start", "socket", "hello", "ready", "backoff"])
async def test_shutdown_before_the_first_link(gw: Gateway, start: Any, stage: str) -> None:
    """Nothing can be in flight yet: CLOSED at once, whatever is being waited for, and start() returns."""
    there = obstruct(gw, stage)
    worker = await start(
        ready=False,
        retry=patient(),
        deadlines=replace(QUICK, **dict.fromkeys(("start", "socket", "hello", "ready"), 60.0)),
    )
    await gw.wait_for(there)
    if stage == "backoff":
        await worker.hears(events.Reconnecting)
    await worker.close()
    await closed(worker)
    assert worker.task.exception() is None
    assert worker.states == [CONNECTING, CLOSED]
    assert not gw.frames(Kind.WORKER_READY)
    await gw.until(lambda: not gw.connections)


@pytest.mark.parametrize("isolation", ["thread", "none"])
async def test_shutdown_before_start(gw: Gateway, apps: Apps, isolation: Any) -> None:
    """A worker that was closed is never started: start() returns at once, and nothing was asked of the server."""
    connection = connect([(apps.client, apps.functions)], shutdown_signals=[], isolation=isolation)
    await connection.close(wait=True)
    assert connection.get_state() is CLOSED
    await connection.start()
    assert not gw.calls()
    assert connection.is_closing
    with pytest.raises(LinkLost):
        await connection.wait_for_state(ACTIVE)


@pytest.mark.parametrize("isolation", ["thread", "none"])
async def test_shutdown_in_the_same_breath_as_start(gw: Gateway, start: Any, isolation: str) -> None:
    """close() before the connection's loop runs is not forgotten."""
    worker = await start(ready=False, isolation=isolation)
    await asyncio.sleep(0)
    await worker.close()
    await closed(worker)
    assert worker.task.exception() is None
    assert not gw.frames(Kind.WORKER_READY)


async def test_sigterm_twice_cancels_user_code_and_still_answers(gw: Gateway, held: Held, start: Any) -> None:
    """The first one waits for the work; the second cancels it, and the server learns that another worker may have it."""
    handler = signal.getsignal(signal.SIGTERM)
    worker = await start(shutdown_signals=[signal.SIGTERM])
    run = await at_work(gw, held)
    signal.raise_signal(signal.SIGTERM)
    await gw.wait_for(Kind.WORKER_PAUSE)
    assert not worker.task.done()
    signal.raise_signal(signal.SIGTERM)
    await closed(worker)
    await run.done()
    assert worker.task.exception() is None
    retriable(gw, run)
    assert signal.getsignal(signal.SIGTERM) == handler


def retriable(gw: Gateway, run: Run) -> None:
    """The last request of *run* was answered: cancelled, try again."""
    reply = gw.ledger[run.requests[-1]].reply
    assert reply is not None
    assert (reply.status, reply.no_retry, reply.retry_after) == (SDKResponseStatus.ERROR, False, "1")
    assert json.loads(reply.body)["name"] == "WorkerShutdown"


async def test_the_first_signal_alone_lets_work_finish(gw: Gateway, held: Held, start: Any) -> None:
    worker = await start(shutdown_signals=[signal.SIGTERM, signal.SIGINT])
    run = await at_work(gw, held)
    signal.raise_signal(signal.SIGINT)
    await gw.wait_for(Kind.WORKER_PAUSE)
    await finish(held, run)
    await closed(worker)
    assert worker.task.exception() is None


async def test_shutdown_timeout_cancels_user_code_and_still_answers(gw: Gateway, held: Held, start: Any) -> None:
    worker = await start(shutdown_timeout=0.05)
    run = await at_work(gw, held)
    await worker.close()
    await closed(worker)
    await run.done()
    retriable(gw, run)
    assert worker.stuck() == []


@pytest.mark.parametrize("isolation", ["thread", "none"])
async def test_start_cancelled_cancels_user_code_and_delivers_what_is_owed(
    gw: Gateway, held: Held, start: Any, isolation: str
) -> None:
    worker = await start(isolation=isolation)
    run = await at_work(gw, held)
    worker.task.cancel()
    await closed(worker)
    await run.done()
    assert worker.task.cancelled()
    assert worker.get_state() is CLOSED
    retriable(gw, run)
    assert endings(gw) == {1: PROPERLY}


async def test_start_cancelled_while_it_dials(gw: Gateway, start: Any) -> None:
    gw.starts.standing = HANG
    worker = await start(ready=False)
    await gw.wait_for(lambda record: record in gw.calls("start"))
    worker.task.cancel()
    await closed(worker)
    assert worker.task.cancelled()


async def test_close_is_idempotent(gw: Gateway, start: Any) -> None:
    """From any loop, as often as one likes, before and after the end."""
    worker = await start()
    await asyncio.gather(*(worker.close(wait=True) for _ in range(3)))
    await asyncio.to_thread(lambda: asyncio.run(worker.close(wait=True)))
    await worker.close()
    assert worker.get_state() is CLOSED
    assert worker.states == [CONNECTING, ACTIVE, DRAINING, CLOSED]
    assert endings(gw) == {1: PROPERLY}


async def test_close_from_another_thread(gw: Gateway, start: Any) -> None:
    worker = await start()
    await asyncio.to_thread(lambda: asyncio.run(worker.close(wait=True)))
    await closed(worker)
    assert endings(gw) == {1: PROPERLY}


async def test_close_after_a_failed_start_does_not_raise(gw: Gateway, start: Any) -> None:
    gw.signing_keys = (PRIMARY,)
    worker = await start(ready=False)
    await closed(worker)
    assert isinstance(worker.task.exception(), AuthenticationFailed)
    await worker.close(wait=True)
    await worker.connection.closed()


async def test_a_second_start_is_misuse(gw: Gateway, start: Any) -> None:
    worker = await start()
    with pytest.raises(ConfigurationError, match="started before"):
        await worker.connection.start()
    assert worker.get_state() is ACTIVE
    await worker.close(wait=True)
    with pytest.raises(ConfigurationError, match="started before"):
        await worker.connection.start()


# -- a bug in an action ------------------------------------------------------------------------------------------------------


def is_internal(worker: Running) -> None:
    """start() raised InternalError, with the bug as its cause."""
    error = worker.task.exception()
    assert isinstance(error, InternalError)
    assert isinstance(error.__cause__, ZeroDivisionError)


async def test_a_bug_while_connecting_closes_at_once(start: Any, breaks: Any, caplog: Any) -> None:
    breaks(Connection, "dial")
    worker = await start(ready=False)
    await closed(worker)
    is_internal(worker)
    assert worker.states == [CONNECTING, CLOSED]
    reported(caplog)


async def test_a_bug_while_active_leaves_start_once_work_is_finished(
    gw: Gateway, held: Held, start: Any, breaks: Any, caplog: Any
) -> None:
    """Entering ACTIVE for the second time goes wrong, with a function running: it finishes, its reply arrives, then the error."""
    breaks(Connection, "flush_replies", nth=2)
    worker = await start()
    run = await at_work(gw, held)
    gw.connections[0].drop()
    await gw.wait_for(Kind.WORKER_PAUSE)
    assert worker.is_closing
    assert not worker.task.done()
    await finish(held, run)
    await closed(worker)
    is_internal(worker)
    assert worker.states == [CONNECTING, ACTIVE, RECONNECTING, ACTIVE, DRAINING, CLOSED]
    reported(caplog)


async def test_a_bug_while_reconnecting_leaves_start_once_work_is_finished(
    gw: Gateway, held: Held, start: Any, breaks: Any, caplog: Any
) -> None:
    breaks(Connection, "dial", nth=2)
    worker = await start()
    run = await at_work(gw, held)
    gw.connections[0].drop()
    await reaches(worker, DRAINING)
    await finish(held, run)
    await closed(worker)
    is_internal(worker)
    assert worker.states == [CONNECTING, ACTIVE, RECONNECTING, DRAINING, CLOSED]
    assert gw.ledger[run.requests[0]].via == "flush"
    reported(caplog)


async def test_a_bug_while_replacing_leaves_start_once_work_is_finished(
    gw: Gateway, held: Held, start: Any, breaks: Any, caplog: Any
) -> None:
    breaks(Connection, "dial", nth=2)
    worker = await start()
    run = await at_work(gw, held)
    await gw.drain()
    await reaches(worker, DRAINING)
    await finish(held, run)
    await closed(worker)
    is_internal(worker)
    assert worker.states == [CONNECTING, ACTIVE, DRAINING, CLOSED]
    assert gw.ledger[run.requests[0]].via == "socket"
    reported(caplog)


async def test_a_bug_while_stopping_closes_at_once_and_reports_what_is_lost(
    gw: Gateway, held: Held, start: Any, breaks: Any, caplog: Any
) -> None:
    breaks(Connection, "pause_links")
    worker = await start()
    run = await at_work(gw, held)
    await worker.close()
    lost = await worker.hears(events.ReplyLost)
    await closed(worker)
    is_internal(worker)
    assert lost.request_id == run.requests[0]
    assert worker.states == [CONNECTING, ACTIVE, DRAINING, CLOSED]
    reported(caplog)


async def test_a_bug_in_a_request_leaves_start_once_the_other_work_is_finished(
    gw: Gateway, held: Held, start: Any, breaks: Any, caplog: Any
) -> None:
    """The request chart's actions are no exception: the one request is lost, loudly, the rest is finished."""
    worker = await start()
    run = await at_work(gw, held)
    breaks(Requests, "send_reply")
    broken = gw.start_run("app-echo")
    lost = await worker.hears(events.ReplyLost)
    assert lost.request_id == broken.requests[0]
    await gw.wait_for(Kind.WORKER_PAUSE)
    await finish(held, run)
    await closed(worker)
    is_internal(worker)
    assert worker.states == [CONNECTING, ACTIVE, DRAINING, CLOSED]
    reported(caplog)


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
    """It bounds the first connecting only: an outage later is waited out."""
    worker = await start(connect_timeout=1.0)
    gw.starts.standing = DOWN
    gw.connections[0].drop()
    await asyncio.sleep(1.1)
    assert worker.get_state() is RECONNECTING
    gw.starts.clear()
    await worker.hears(events.Connected, 2)


def refuse(gw: Gateway, cause: str) -> None:
    """Have every attempt from here on end in what trying again cannot mend."""
    match cause:
        case "unauthorized":
            gw.signing_keys = ("cc" * 32,)
        case "sync failed":
            gw.faults.fail_sync(count=1000)
        case "too many apps":
            gw.apps_limit = 0


def relent(gw: Gateway) -> None:
    """Take any worker again."""
    gw.signing_keys, gw.apps_limit = (), 10
    gw.faults.clear()


HOPELESS = [("unauthorized", AuthenticationFailed), ("sync failed", SyncFailed), ("too many apps", TooManyApps)]


@pytest.mark.parametrize(("cause", "error"), HOPELESS)
async def test_rejected_before_the_first_active_leaves_start(
    gw: Gateway, start: Any, cause: str, error: type[Exception]
) -> None:
    """A bad deploy fails at once and loudly: every key is tried once, anything else once."""
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
    """A worker that has worked does not leave for what an operator may mend."""
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
    """Failures that may pass do not hide one that will not."""
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
    """Server and gateway vanish with a function running, which ends meanwhile: its reply arrives when they are back."""
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
    """It is a reason to think that the API is back."""
    worker = await start(retry=patient())
    gw.faults.lose(Kind.WORKER_REPLY_ACK, count=None)
    gw.flushes.push(DOWN)
    run = await gw.invoke("app-echo", {"value": 1})
    await gw.wait_for(lambda record: record in gw.calls("flush"))
    await gw.drain()
    flushed = await worker.hears(events.ReplyFlushed)
    assert flushed.request_id == run.requests[0]
    assert [call.status for call in gw.calls("flush")] == [500, 200]


async def test_three_immediate_reconnects_then_backoff(
    gw: Gateway, start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gateway that takes and drops makes no hot loop: the fourth replacement within ten seconds waits, each one longer."""
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
    assert all(0 <= wait <= 0.05 for wait in at_once)
    assert waits[4:] == [100.0, 200.0]
    assert len(gw.calls("start")) == 6


async def test_a_lost_link_is_replaced_at_once(gw: Gateway, start: Any) -> None:
    """With the built-in policy, too: no table, no second to settle."""
    worker = await start(retry=None)
    loop = asyncio.get_running_loop()
    gw.connections[0].drop()
    before = loop.time()
    await worker.hears(events.Connected, 2)
    assert loop.time() - before < 1.0
    assert not worker.heard(events.Reconnecting)


async def test_no_state_is_entered_after_closed(gw: Gateway, start: Any) -> None:
    """Whatever comes after CLOSED changes nothing: Closed is the last event."""
    worker = await start()
    await worker.close(wait=True)
    await closed(worker)
    assert isinstance(worker.told[-1], events.Closed)
    assert worker.told[-1].error is None
    assert worker.states[-1] is CLOSED
