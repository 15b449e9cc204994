"""A shutdown loses work, does not end, or crosses with a drain or a loss (docs/faults.md)."""

import asyncio
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest
import tenacity
from rig import PATIENT, ends, opened

from connect import ConnectionState, events, wire
from connect.gateway import HANG, Answer, Frame, Gateway, Kind


@pytest.mark.usefixtures("quiet")
async def test_shutdown_says_pause_first(gw: Gateway, start: Any, held: Any) -> None:
    worker = await start()
    run = gw.start_run("app-hold")
    await held.running()
    await worker.close()
    paused = await gw.wait_for(Kind.WORKER_PAUSE)
    later = gw.start_run("app-echo", {"value": 1})
    held.release.set()
    await run.done()
    await worker.closed()
    replied = gw.frames(Kind.WORKER_REPLY)[0]
    assert paused.at < replied.at < ends(gw)[0].at
    assert not gw.ledger[later.requests[0]].dispatched if later.requests else True


async def test_at_close_work_ends_first_and_the_tasks_that_keep_it_alive_last(
    gw: Gateway, start: Any, held: Any
) -> None:
    gw.heartbeat_interval = "200ms"
    worker = await start()
    run = gw.start_run("app-hold")
    await held.running()
    await worker.close()
    await gw.wait_for(Kind.WORKER_PAUSE)
    mark = gw.mark
    await gw.wait_for(Kind.WORKER_REQUEST_EXTEND_LEASE, count=3, since=mark)
    await gw.wait_for(Kind.GATEWAY_HEARTBEAT, count=3, since=mark)
    held.release.set()
    assert (await run.done()).output == "held"
    await worker.closed()
    assert gw.ledger[run.requests[0]].via == "socket"
    assert [(end.by, end.code, end.reason) for end in ends(gw)] == [("worker", 1000, "WORKER_SHUTDOWN")]


@pytest.mark.usefixtures("quiet")
async def test_closed_is_told_after_every_reply_was_delivered(gw: Gateway, start: Any, held: Any) -> None:
    worker = await start()
    run = gw.start_run("app-hold")
    await held.running()
    gw.faults.lose(Kind.WORKER_REPLY, None)
    gw.flushes.push(500, Answer(delay=0.2))
    await worker.close()
    held.release.set()
    await worker.closed()
    await worker.hears(events.Closed)
    order = [type(event) for event in worker.told if isinstance(event, events.ReplyFlushed | events.Closed)]
    assert order == [events.ReplyFlushed, events.Closed]
    assert worker.told.index(worker.heard(events.ReplyFlushed)[0]) < worker.told.index(
        next(event for event in worker.heard(events.StateChanged) if event.to_state is ConnectionState.CLOSED)
    )
    assert (await run.done()).output == "held"


async def test_sigterm_lets_a_long_step_finish(gw: Gateway, start: Any, held: Any) -> None:
    """The step takes longer than its lease, and longer than the gateway waits for a heartbeat."""
    gw.heartbeat_interval = gw.extend_lease_interval = "200ms"
    gw.lease_duration, gw.lease_grace, gw.heartbeat_timeout = 1.5, 0.5, 1.5
    worker = await start(shutdown_signals=[signal.SIGTERM])
    run = gw.start_run("app-hold")
    await held.running()
    signal.raise_signal(signal.SIGTERM)
    await gw.wait_for(Kind.WORKER_PAUSE)
    mark = gw.mark
    await gw.wait_for(Kind.GATEWAY_HEARTBEAT, since=mark, count=14)
    held.release.set()
    assert (await run.done()).output == "held"
    async with asyncio.timeout(5):
        await worker.task
    assert gw.ledger[run.requests[0]].via == "socket"
    assert opened(gw) == 1


def _acks(gw: Gateway) -> list[str]:
    return [frame.message.request_id for frame in gw.frames(Kind.WORKER_REQUEST_ACK)]  # type: ignore[union-attr]


async def test_a_request_that_comes_after_pause_is_left_for_others(gw: Gateway, start: Any, held: Any) -> None:
    worker = await start()
    run = gw.start_run("app-hold")
    await held.running()
    await worker.close()
    await gw.wait_for(Kind.WORKER_PAUSE)
    late = wire.GatewayExecutorRequestData()
    late.CopyFrom(gw.ledger[run.requests[0]].message)
    late.request_id = "01JZZZZZZZZZZZZZZZZZZZZZZZ"
    await gw.connections[0].send(Kind.GATEWAY_EXECUTOR_REQUEST, late)
    await gw.wait_for(Kind.GATEWAY_HEARTBEAT, since=gw.mark, count=3)
    held.release.set()
    await worker.closed()
    assert _acks(gw) == run.requests
    assert held.calls == 1


async def test_a_server_that_is_silent_after_pause_costs_no_work(gw: Gateway, start: Any, held: Any) -> None:
    gw.lease_duration, gw.lease_grace = 3.0, 0.5
    worker = await start()
    run = gw.start_run("app-hold")
    await held.running()
    gw.faults.lose(Kind.GATEWAY_HEARTBEAT, None)
    await worker.close()
    gone = await worker.hears(events.Disconnected)
    assert "unanswered" in gone.reason
    await gw.wait_for(Kind.WORKER_PAUSE, count=2)
    held.release.set()
    assert (await run.done()).output == "held"
    await worker.closed()
    assert ConnectionState.RECONNECTING not in worker.states


@pytest.mark.usefixtures("quiet")
async def test_the_connections_thread_shuts_down_gracefully_and_ends(gw: Gateway, start: Any, held: Any) -> None:
    worker = await start()
    run = gw.start_run("app-hold")
    await held.running()
    assert [thread for thread in threading.enumerate() if thread.name == "connect"]
    await worker.close()
    await gw.wait_for(Kind.WORKER_PAUSE)
    held.release.set()
    async with asyncio.timeout(5):
        await worker.task
    assert not [thread for thread in threading.enumerate() if thread.name == "connect"]
    assert (await run.done()).output == "held"


@pytest.mark.usefixtures("quiet")
async def test_closing_wins_over_reconnecting(gw: Gateway, start: Any, held: Any) -> None:
    worker = await start()
    run = gw.start_run("app-hold")
    await held.running()
    gw.faults.cut(Kind.WORKER_PAUSE, code=1000)
    await worker.close()
    await worker.hears(events.Connected, 2)
    held.release.set()
    await worker.closed()
    assert (await run.done()).output == "held"
    await worker.hears(events.Closed)
    assert ConnectionState.RECONNECTING not in worker.states
    assert worker.get_state() is ConnectionState.CLOSED


async def test_a_link_lost_during_shutdown_is_replaced_and_paused(gw: Gateway, start: Any, held: Any) -> None:
    gw.lease_duration, gw.lease_grace = 1.5, 0.5
    worker = await start()
    run = gw.start_run("app-hold")
    await held.running()
    await worker.close()
    await gw.wait_for(Kind.WORKER_PAUSE)
    gw.connections[0].drop()
    await gw.wait_for(Kind.WORKER_PAUSE, count=2)
    second = gw.connections[-1]
    await gw.wait_for(
        lambda record: (
            isinstance(record, Frame)
            and record.kind == Kind.WORKER_REQUEST_EXTEND_LEASE_ACK
            and record.connection == second.number
        ),
        count=40,
    )
    held.release.set()
    assert (await run.done()).output == "held"
    await worker.closed()
    assert gw.ledger[run.requests[0]].status == "replied"
    assert not gw.frames(Kind.WORKER_READY, connection=second)


async def test_a_drain_during_shutdown_gets_a_replacement(gw: Gateway, start: Any, held: Any) -> None:
    """The replacement carries the rest of the work, and takes no new work."""
    gw.heartbeat_interval = "200ms"
    worker = await start()
    run = gw.start_run("app-hold")
    await held.running()
    await worker.close()
    await gw.wait_for(Kind.WORKER_PAUSE)
    await gw.drain()
    await gw.wait_for(Kind.WORKER_PAUSE, count=2)
    second = gw.connections[-1]
    await gw.wait_for(Kind.WORKER_REQUEST_EXTEND_LEASE, connection=second, count=10)
    assert (
        gw.ledger[run.requests[0]].nacked == 0
    )  # once the gateway has the reply, it refuses an extension that crosses it
    held.release.set()
    assert (await run.done()).output == "held"
    await worker.closed()
    assert not worker.heard(events.LeaseLost)
    assert not gw.frames(Kind.WORKER_READY, connection=second)
    assert [(end.by, end.reason) for end in ends(gw)] == [("worker", "WORKER_SHUTDOWN")] * 2


@pytest.mark.usefixtures("quiet")
async def test_a_shutdown_while_a_replacement_is_made_cleans_both_up(gw: Gateway, start: Any, held: Any) -> None:
    worker = await start(deadlines=PATIENT)
    run = gw.start_run("app-hold")
    await held.running()
    gw.faults.delay(Kind.GATEWAY_CONNECTION_READY, 0.3)
    await gw.drain()
    await gw.wait_for(Kind.WORKER_CONNECT, count=2)
    await worker.close()
    held.release.set()
    assert (await run.done()).output == "held"
    await worker.closed()
    await gw.until(lambda: not gw.connections)
    assert [(end.by, end.code) for end in ends(gw)] == [("worker", 1000)] * 2


@pytest.mark.parametrize("first", ["drain", "close"])
@pytest.mark.usefixtures("quiet")
async def test_drain_and_shutdown_may_cross(gw: Gateway, start: Any, held: Any, first: str) -> None:
    worker = await start()
    run = gw.start_run("app-hold")
    await held.running()
    gw.faults.delay(Kind.GATEWAY_HELLO, 0.1)
    mark = gw.mark
    if first == "drain":
        await gw.drain()
        await worker.hears(events.Draining)
        await worker.close()
    else:
        await worker.close()
        await gw.drain()
    await gw.wait_for(Kind.GATEWAY_CONNECTION_READY, since=mark)
    await gw.wait_for(Kind.WORKER_PAUSE, connection=gw.connections[-1])
    held.release.set()
    assert (await run.done()).output == "held"
    await worker.closed()
    assert not gw.frames(Kind.WORKER_READY, since=mark)


def _hang_start(gw: Gateway) -> None:
    gw.starts.push(HANG)


def _hang_socket(gw: Gateway) -> None:
    gw.sockets.push(HANG)


def _lose_hello(gw: Gateway) -> None:
    gw.faults.lose(Kind.GATEWAY_HELLO)


def _lose_ready(gw: Gateway) -> None:
    gw.faults.lose(Kind.GATEWAY_CONNECTION_READY)


def _fail_start(gw: Gateway) -> None:
    gw.starts.push(500)


@pytest.mark.parametrize("obstruct", [_hang_start, _hang_socket, _lose_hello, _lose_ready, _fail_start])
@pytest.mark.usefixtures("quiet")
async def test_start_can_be_cancelled_while_it_connects(
    gw: Gateway, start: Any, obstruct: Callable[[Gateway], None]
) -> None:
    """It can also be cancelled while it waits for a minute to try again."""
    obstruct(gw)
    minute = tenacity.AsyncRetrying(wait=tenacity.wait_fixed(60))
    worker = await start(ready=False, deadlines=PATIENT, retry=minute)
    stage = {_lose_hello: events.LinkOpened, _lose_ready: events.LinkOpened, _fail_start: events.Reconnecting}
    await worker.hears(stage.get(obstruct, events.StateChanged))
    worker.task.cancel()
    await asyncio.wait([worker.task], timeout=4)
    assert worker.task.cancelled()


@pytest.mark.usefixtures("quiet")
async def test_start_can_be_cancelled_while_work_is_in_flight(gw: Gateway, start: Any, held: Any) -> None:
    worker = await start()
    run = gw.start_run("app-hold")
    await held.running()
    worker.task.cancel()
    await asyncio.wait([worker.task], timeout=4)
    assert worker.task.cancelled()
    assert (await run.done()).error["name"] == "WorkerShutdown"
