"""A gateway drains: again and again, under load, or with a loss on its heels (docs/faults.md)."""

import asyncio
from typing import Any

import pytest
from rig import PATIENT, ends, opened

from connect import ConnectionState, events
from connect.gateway import Gateway, Kind, Opened


@pytest.mark.usefixtures("quiet")
async def test_a_drained_gateway_is_left_only_for_a_link_that_takes_work(gw: Gateway, start: Any) -> None:
    """Requests come without a pause; none is dispatched twice, and none waits."""
    worker = await start()
    running, results = True, []

    async def load() -> None:
        while running:
            results.append((await gw.invoke("app-echo", {"value": 1})).output)

    loads = [asyncio.create_task(load()) for _ in range(3)]
    for count in (2, 3):
        gw.faults.delay(Kind.GATEWAY_HELLO, 0.2)
        await gw.drain(gw.connections[-1])
        await worker.hears(events.Connected, count)
        await gw.wait_for(Kind.WORKER_READY, count=count)
        await gw.until(lambda: len(gw.connections) == 1)
    running = False
    await asyncio.gather(*loads)
    assert set(results) == {1}
    for end, ready in zip(ends(gw), gw.frames(Kind.WORKER_READY)[1:], strict=True):
        # READY is written first; over two sockets they may still arrive in either order.
        assert ready.at < end.at + 0.1
    assert gw.ledger.summary()["lost"] == 0


@pytest.mark.usefixtures("quiet")
async def test_a_gateway_may_rotate_again_and_again(gw: Gateway, start: Any, held: Any) -> None:
    worker = await start()
    run = gw.start_run("app-hold")
    await held.running()
    for count in (2, 3):
        await gw.drain(gw.connections[-1])
        await worker.hears(events.Connected, count)
        await gw.wait_for(Kind.WORKER_READY, count=count)
    held.release.set()
    assert (await run.done()).output == "held"
    assert (await gw.invoke("app-echo", {"value": 1})).output == 1
    await gw.until(lambda: len(gw.connections) == 1)
    assert [(end.by, end.reason) for end in ends(gw)] == [("worker", "WORKER_SHUTDOWN")] * 2


@pytest.mark.usefixtures("quiet")
async def test_a_replacement_that_cannot_be_had_at_once_is_tried_for_again(gw: Gateway, start: Any, held: Any) -> None:
    worker = await start()
    run = gw.start_run("app-hold")
    await held.running()
    gw.starts.push(500, 429)
    gw.sockets.push(503)
    gw.faults.cut(Kind.GATEWAY_HELLO)
    await gw.drain()
    await worker.hears(events.Connected, 2)
    assert len(worker.heard(events.Reconnecting)) == 4
    assert worker.states[-3:] == [ConnectionState.ACTIVE, ConnectionState.DRAINING, ConnectionState.ACTIVE]
    held.release.set()
    assert (await run.done()).output == "held"


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
