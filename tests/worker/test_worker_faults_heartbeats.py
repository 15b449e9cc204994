"""Heartbeats stop, come late, or are not answered (docs/faults.md)."""

import asyncio
import threading
import time
from typing import Any

import inngest

from connect import connect, events
from connect.gateway import Gateway, Kind, Opened


async def test_user_code_that_blocks_delays_no_heartbeat_and_no_lease(gw: Gateway, apps: Any) -> None:
    """One of several runs blocks the user's loop, here a thread's, for longer than the gateway waits for a heartbeat."""
    gw.heartbeat_interval = gw.extend_lease_interval = "400ms"
    gw.lease_duration, gw.lease_grace, gw.heartbeat_timeout = 2.0, 0.5, 2.0

    @apps.function("block")
    async def block(ctx: inngest.Context) -> str:
        time.sleep(3.5)  # noqa: ASYNC251 - that is the point
        return "blocked"

    made = connect([(apps.client, apps.functions)], shutdown_signals=[])
    thread = threading.Thread(target=lambda: asyncio.run(made.start()))
    thread.start()
    try:
        await gw.wait_for_worker()
        runs = [gw.start_run("app-block"), *(gw.start_run("app-echo", {"value": n}) for n in range(7))]
        assert [(await run.done()).output for run in runs] == ["blocked", *range(7)]
    finally:
        await made.close(wait=True)
        await asyncio.to_thread(thread.join, 5)
    assert sum(isinstance(record, Opened) for record in gw.log) == 1
    assert gw.ledger.summary()["replied"] == 8
    assert gw.ledger.summary()["nacked"] == 0


async def test_a_heartbeat_that_cannot_be_sent_costs_its_link_and_no_other(
    gw: Gateway, start: Any, break_write: Any
) -> None:
    gw.heartbeat_interval = "200ms"
    worker = await start()
    break_write(Kind.WORKER_HEARTBEAT)
    gone = await worker.hears(events.Disconnected)
    assert "cannot write" in gone.reason
    await worker.hears(events.Connected, 2)
    await gw.wait_for(Kind.WORKER_HEARTBEAT, connection=gw.connections[-1], count=3)
    assert len(worker.heard(events.Connected)) == 2


async def test_heartbeats_move_to_the_new_link(gw: Gateway, start: Any) -> None:
    gw.heartbeat_interval = "200ms"
    worker = await start()
    gw.connections[0].drop()
    await worker.hears(events.Connected, 2)
    second, mark = await gw.wait_for_worker(), gw.mark
    await gw.wait_for(Kind.GATEWAY_HEARTBEAT, connection=second, count=3)
    beats = gw.frames(Kind.WORKER_HEARTBEAT, since=mark)
    assert {frame.connection for frame in beats} == {second.number}


async def test_two_unanswered_heartbeats_are_borne(gw: Gateway, start: Any) -> None:
    gw.heartbeat_interval = "300ms"
    worker = await start()
    gw.faults.lose(Kind.GATEWAY_HEARTBEAT, 2)
    await gw.wait_for(Kind.GATEWAY_HEARTBEAT, count=5)
    assert not worker.heard(events.Disconnected)


async def test_heartbeats_that_are_answered_late_are_answered(gw: Gateway, start: Any) -> None:
    """The answers are two and a half intervals late, as if they waited behind data."""
    gw.heartbeat_interval = "400ms"
    gw.faults.delay(Kind.GATEWAY_HEARTBEAT, 1.0, None)
    worker = await start()
    await gw.wait_for(Kind.GATEWAY_HEARTBEAT, count=3)
    assert not worker.heard(events.Disconnected)


async def test_a_peer_that_answers_no_heartbeat_is_left(gw: Gateway, start: Any) -> None:
    worker = await start()
    gw.connections[0].mute()
    gone = await worker.hears(events.Disconnected)
    assert "three heartbeats" in gone.reason
    await worker.hears(events.Connected, 2)
