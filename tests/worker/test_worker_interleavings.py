"""A drain, a loss or a shutdown happens in the middle of another: every row of STATECHARTS.md §7.1."""

import asyncio
import threading
from dataclasses import replace
from typing import Any

import pytest
from rig import (
    ACTIVE,
    CLOSED,
    CONNECTING,
    DOWN,
    DRAINING,
    PROPERLY,
    QUICK,
    RECONNECTING,
    Held,
    at_work,
    closed,
    endings,
    finish,
    most_links,
    patient,
    reaches,
    said,
)

from connect import Invocation, Outcome, events
from connect.gateway import Gateway, Kind, Opened

pytestmark = pytest.mark.usefixtures("quiet")


async def test_drain_during_shutdown(gw: Gateway, held: Held, start: Any) -> None:
    """The replacement is paused and never announced as ready; the work ends on it."""
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
    """The draining link is still the current one and carries the last reply. The worker waits for no replacement."""
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
    """The link in the making is paused, never announced as ready, and carries the reply."""
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
    """The old link is lost before the new one is ready. The work goes on, and the new link carries the reply."""
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
    """The worker makes a new link, to extend the lease and to send the reply."""
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


async def test_shutdown_during_backoff_while_idle(gw: Gateway, start: Any) -> None:
    """The worker is CLOSED at once; it does not wait for the next attempt."""
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
    """The work ends without a link, its reply is flushed, and then the worker is CLOSED."""
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
    """The second one changes nothing: there is one replacement."""
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
    """The first link still waits for an answer, and is dropped when its replacement drains: there are never three links."""
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
    """An executor whose executions cannot be cancelled. `begun` is set when one begins."""

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
    """Work that neither ends nor can be cancelled is reported as lost, and the worker closes all the same."""
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
