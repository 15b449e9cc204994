"""Faults that users met in the official JavaScript client: this worker is led into each (docs/faults.md)."""

import asyncio
import signal
import threading
from typing import Any

import pytest
from rig import PATIENT, ends

from connect import ConnectionState, events
from connect.errors import LinkLost
from connect.gateway import Answer, Gateway, Kind, Opened


def opened(gw: Gateway) -> int:
    return sum(isinstance(record, Opened) for record in gw.log)


@pytest.mark.usefixtures("quiet")
async def test_a_socket_that_fails_at_once_is_noticed_at_once(gw: Gateway, start: Any) -> None:
    gw.sockets.push(503)
    gw.faults.cut(Kind.GATEWAY_HELLO, 2)
    gw.faults.cut(Kind.GATEWAY_CONNECTION_READY, code=1011)
    worker = await start(deadlines=PATIENT)
    assert [type(event.error) for event in worker.heard(events.Reconnecting)] == [LinkLost] * 4
    assert len(worker.heard(events.Connected)) == 1


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
    """Longer than its lease and than the gateway's patience with a silent worker."""
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


async def test_a_drain_during_shutdown_gets_a_replacement(gw: Gateway, start: Any, held: Any) -> None:
    """It carries what is left to do, and takes no work."""
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
    held.release.set()
    assert (await run.done()).output == "held"
    await worker.closed()
    assert gw.ledger[run.requests[0]].nacked == 0
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


@pytest.mark.usefixtures("quiet")
async def test_a_drain_and_a_loss_on_its_heels_make_one_replacement(gw: Gateway, start: Any) -> None:
    worker = await start(deadlines=PATIENT)
    old = gw.connections[0]
    gw.faults.delay(Kind.GATEWAY_HELLO, 0.2)
    await gw.drain()
    await gw.wait_for(lambda record: isinstance(record, Opened), count=2)
    old.drop()
    await worker.hears(events.Connected, 2)
    await gw.wait_for_worker()
    assert (await gw.invoke("app-echo", {"value": 1})).output == 1
    assert opened(gw) == 2
    assert worker.states[-4:] == [
        ConnectionState.ACTIVE,
        ConnectionState.DRAINING,
        ConnectionState.RECONNECTING,
        ConnectionState.ACTIVE,
    ]


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


@pytest.mark.parametrize("new_lease_id", ["01ZZZZZZZZZZZZZZZZZZZZZZZZ", None])
async def test_a_late_lease_answer_brings_no_request_back(
    gw: Gateway, start: Any, held: Any, new_lease_id: str | None
) -> None:
    worker = await start()
    run = gw.start_run("app-hold")
    await held.running()
    await gw.wait_for(Kind.WORKER_REQUEST_EXTEND_LEASE_ACK)
    answer = gw.frames(Kind.WORKER_REQUEST_EXTEND_LEASE_ACK)[-1].message
    held.release.set()
    await run.done()
    await gw.wait_for(Kind.WORKER_REPLY_ACK)
    late = type(answer).FromString(answer.SerializeToString())
    late.ClearField("new_lease_id")
    if new_lease_id:
        late.new_lease_id = new_lease_id
    await gw.connections[0].send(Kind.WORKER_REQUEST_EXTEND_LEASE_ACK, late)
    await gw.wait_for(Kind.GATEWAY_HEARTBEAT, since=gw.mark, count=2)
    assert worker.status().in_flight == ()
    assert not worker.heard(events.LeaseLost)
    async with asyncio.timeout(2):
        await worker.close(wait=True)


@pytest.mark.usefixtures("quiet")
async def test_a_reply_goes_over_the_link_that_is_current_when_it_is_made(gw: Gateway, start: Any, held: Any) -> None:
    worker = await start(deadlines=PATIENT)
    run = gw.start_run("app-hold")
    await held.running()
    gw.connections[0].drop()
    await worker.hears(events.Connected, 2)
    held.release.set()
    assert (await run.done()).output == "held"
    replies = gw.frames(Kind.WORKER_REPLY)
    assert [frame.connection for frame in replies] == [gw.connections[-1].number]
    assert gw.ledger[run.requests[0]].via == "socket"
