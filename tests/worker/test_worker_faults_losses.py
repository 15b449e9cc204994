"""A link is lost, while work is under way or while its successor is there already (docs/faults.md)."""

from typing import Any

import pytest
from rig import PATIENT

from connect import ConnectionState, events
from connect.gateway import Gateway, Kind


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1000, "bye"), (1001, ""), (1011, "connect_internal_error")])
@pytest.mark.usefixtures("quiet")
async def test_every_close_frame_is_a_reason_to_reconnect(gw: Gateway, start: Any, code: int, reason: str) -> None:
    worker = await start()
    await gw.connections[0].close(code, reason)
    await worker.hears(events.Connected, 2)
    gone = worker.heard(events.Disconnected)[0]
    assert gone.code == code
    await gw.wait_for_worker()
    assert (await gw.invoke("app-echo", {"value": 1})).output == 1


async def test_a_server_that_closes_the_socket_instead_of_a_nack_costs_no_work(
    gw: Gateway, start: Any, held: Any
) -> None:
    worker = await start()
    run = gw.start_run("app-hold")
    await held.running()
    gw.faults.cut(Kind.WORKER_REQUEST_EXTEND_LEASE, 2, code=1008, reason="connect_worker_request_extend_lease")
    await worker.hears(events.Connected, 3)
    held.release.set()
    assert (await run.done()).output == "held"
    assert held.calls == 1


@pytest.mark.usefixtures("quiet")
async def test_the_late_end_of_a_replaced_link_leaves_its_successor_alone(gw: Gateway, start: Any) -> None:
    worker = await start(deadlines=PATIENT)
    old = gw.connections[0]
    gw.faults.lose(Kind.WORKER_REPLY_ACK)
    await gw.invoke("app-echo", {"value": 1})
    await gw.drain()
    await worker.hears(events.Connected, 2)
    new = worker.get_connection_id()
    old.drop()
    await worker.hears(events.ReplyFlushed)
    assert worker.states[-1] is ConnectionState.ACTIVE
    assert [event.connection_id for event in worker.heard(events.Disconnected)] == [old.id]
    assert worker.status().active_connection_id == new
    assert (await gw.invoke("app-echo", {"value": 2})).output == 2


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
