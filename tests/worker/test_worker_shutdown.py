"""Shutdown: before the first link, before start(), twice, by signals, by a cancelled start(), and again after the end."""

import asyncio
import contextlib
import gc
import json
import signal
from dataclasses import replace
from typing import Any

import pytest
import tenacity
from rig import (
    ACTIVE,
    CLOSED,
    CONNECTING,
    DOWN,
    DRAINING,
    PROPERLY,
    QUICK,
    Apps,
    Held,
    at_work,
    closed,
    endings,
    finish,
    patient,
)

from connect import Invocation, Outcome, connect, events
from connect.errors import (
    AuthenticationFailed,
    ConfigurationError,
    LinkLost,
)
from connect.gateway import HANG, Answer, Gateway, Kind, Opened, Run
from connect.wire import SDKResponseStatus

PRIMARY, FALLBACK = "aa" * 32, "bb" * 32

pytestmark = pytest.mark.usefixtures("quiet")


def obstruct(gw: Gateway, stage: str) -> Any:
    """Keep the first link from getting past *stage*; the event that shows that it is there."""
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
    """No work can be in flight yet: the worker is CLOSED at once, and start() returns."""
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
    """start() returns at once, and the server is asked nothing."""
    connection = connect([(apps.client, apps.functions)], shutdown_signals=[], isolation=isolation)
    await connection.close(wait=True)
    assert connection.get_state() is CLOSED
    await connection.start()
    assert not gw.calls()
    assert connection.is_closing
    with pytest.raises(LinkLost):
        await connection.wait_for_state(ACTIVE)


@pytest.mark.parametrize("isolation", ["thread", "none"])
async def test_shutdown_in_the_same_turn_as_start(gw: Gateway, start: Any, isolation: str) -> None:
    """close() is called before the connection's loop runs."""
    worker = await start(ready=False, isolation=isolation)
    await asyncio.sleep(0)
    await worker.close()
    await closed(worker)
    assert worker.task.exception() is None
    assert not gw.frames(Kind.WORKER_READY)


async def test_sigterm_twice_cancels_user_code_and_still_answers(gw: Gateway, held: Held, start: Any) -> None:
    """The first signal waits for the work, the second cancels it. The reply tells the server that another worker may run it."""
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
    assert worker.cancelled() == run.requests
    assert signal.getsignal(signal.SIGTERM) == handler


def retriable(gw: Gateway, run: Run) -> None:
    """Check that the last request of *run* was answered as cancelled, and may be tried again."""
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
    assert worker.cancelled() == []


async def test_shutdown_timeout_cancels_user_code_and_still_answers(gw: Gateway, held: Held, start: Any) -> None:
    worker = await start(shutdown_timeout=0.05)
    run = await at_work(gw, held)
    await worker.close()
    await closed(worker)
    await run.done()
    retriable(gw, run)
    assert (worker.cancelled(), worker.stuck()) == (run.requests, [])


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
    """It may be called from any loop, any number of times, before and after the end."""
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


@pytest.mark.parametrize("isolation", ["thread", "none"])
async def test_a_block_that_is_cancelled_before_it_is_entered_leaves_no_worker_behind(
    gw: Gateway, apps: Apps, isolation: Any
) -> None:
    """A timeout cancels `async with`; the program would have no way to close a worker that went on."""
    gw.starts.standing = HANG
    worker = connect([(apps.client, apps.functions)], isolation=isolation, shutdown_signals=[])
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1), worker:
            pytest.fail("it cannot have connected")
    assert worker.get_state() is CLOSED


async def test_waiting_for_the_end_and_giving_up_leaves_nothing_behind(gw: Gateway, start: Any) -> None:
    """A program may wait again every second for as long as the worker lives."""
    worker = await start()

    async def look() -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0):
                await worker.connection.closed()

    def kept() -> int:
        gc.collect()
        return sum(isinstance(each, asyncio.Future) for each in gc.get_objects())

    await look()
    before = kept()
    for _ in range(50):
        await look()
    assert kept() < before + 25


async def test_an_executor_that_cannot_be_stopped_is_an_error_of_start_and_the_end_is_told(
    gw: Gateway, start: Any
) -> None:
    class Broken:
        async def start(self) -> None: ...

        async def execute(self, invocation: Invocation) -> Outcome:
            raise NotImplementedError

        async def stop(self) -> None:
            raise OSError("cannot stop")

    worker = await start(executor=Broken())
    await worker.close()
    await closed(worker)
    assert isinstance(worker.task.exception(), OSError)
    end = await worker.hears(events.Closed)
    assert end.error is worker.task.exception()


async def test_a_snapshot_is_taken_while_what_it_shows_goes_away(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """`status()` runs on one thread while the connection changes on another."""
    worker = await start()
    inner = worker.connection._connection
    looks = {"old": iter([inner._links.current, None]), "retry_at": iter([0.0, None])}
    with monkeypatch.context() as patch:
        patch.setattr(type(inner._links), "old", property(lambda _: next(looks["old"])), raising=False)
        patch.setattr(type(inner._dialler), "retry_at", property(lambda _: next(looks["retry_at"])), raising=False)
        status = worker.status()
    assert (status.draining_connection_id, status.next_retry_in) == (status.active_connection_id, 0.0)


async def test_a_worker_that_ends_in_a_backoff_waits_for_no_attempt(gw: Gateway, start: Any) -> None:
    worker = await start(retry=tenacity.AsyncRetrying(wait=tenacity.wait_fixed(60)))
    gw.starts.standing = Answer(500)
    gw.connections[0].drop()
    await worker.hears(events.Reconnecting)
    assert worker.status().next_retry_in
    await worker.close()
    await closed(worker)
    assert worker.status().next_retry_in is None
