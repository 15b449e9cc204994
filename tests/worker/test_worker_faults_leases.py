"""A lease is lost, or an answer about it is lost, late or overtaken (docs/faults.md)."""

import asyncio
from typing import Any

import pytest
from rig import PATIENT

from connect import events
from connect.gateway import Gateway, Kind
from connect.wire.codec import encode


async def test_a_nack_ends_the_request(gw: Gateway, start: Any, held: Any) -> None:
    worker = await start()
    run = gw.start_run("app-hold")
    await held.running()
    gw.faults.nack()
    lost = await worker.hears(events.LeaseLost)
    assert lost.cancelled
    async with asyncio.timeout(2):
        await worker.close(wait=True)
    assert worker.status().in_flight == ()
    assert gw.ledger[run.requests[0]].reply is None


async def test_a_nack_ends_the_extensions_of_a_function_that_goes_on(gw: Gateway, start: Any, held: Any) -> None:
    worker = await start(on_lease_lost="finish")
    run = gw.start_run("app-hold")
    await held.running()
    gw.faults.nack()
    await worker.hears(events.LeaseLost)
    mark = gw.mark
    await gw.wait_for(Kind.WORKER_HEARTBEAT, count=4, since=mark)
    assert not gw.frames(Kind.WORKER_REQUEST_EXTEND_LEASE, since=mark)
    held.release.set()
    assert (await run.done()).output == "held"


async def test_nothing_is_extended_once_its_request_has_ended(gw: Gateway, start: Any) -> None:
    worker = await start()
    for value in range(3):
        await gw.invoke("app-echo", {"value": value})
    await gw.wait_for(Kind.WORKER_REPLY_ACK, count=3)
    mark = gw.mark
    await gw.wait_for(Kind.GATEWAY_HEARTBEAT, since=mark, count=4)
    assert not gw.frames(Kind.WORKER_REQUEST_EXTEND_LEASE, since=mark)
    assert worker.status().in_flight == ()


async def test_a_lease_answer_that_was_lost_is_asked_for_again(gw: Gateway, start: Any, held: Any) -> None:
    gw.heartbeat_interval = gw.extend_lease_interval = "200ms"
    gw.lease_duration, gw.lease_grace = 1.5, 0.5
    worker = await start()
    run = gw.start_run("app-hold")
    await held.running()
    gw.faults.lose(Kind.WORKER_REQUEST_EXTEND_LEASE_ACK)
    await gw.wait_for(Kind.GATEWAY_HEARTBEAT, since=gw.mark, count=12)
    held.release.set()
    assert (await run.done()).output == "held"
    assert gw.ledger[run.requests[0]].status == "replied"
    assert not worker.heard(events.LeaseLost)


async def test_a_lease_answer_that_was_overtaken_brings_no_older_lease(gw: Gateway, start: Any, held: Any) -> None:
    """It is the last answer that reaches the worker; the worker's later extensions still reach the gateway."""
    worker = await start()
    run = gw.start_run("app-hold")
    await held.running()

    def answers() -> list[Any]:
        return [frame.message for frame in gw.frames(Kind.WORKER_REQUEST_EXTEND_LEASE_ACK)]

    await gw.until(lambda: len({answer.new_lease_id for answer in answers()}) > 3)
    gw.faults.lose(Kind.WORKER_REQUEST_EXTEND_LEASE_ACK, None)
    await gw.connections[0].send_raw(encode(Kind.WORKER_REQUEST_EXTEND_LEASE_ACK, answers()[0]))
    await gw.wait_for(Kind.WORKER_REQUEST_EXTEND_LEASE, since=gw.mark, count=3)
    assert gw.ledger[run.requests[0]].nacked == 0
    held.release.set()
    assert (await run.done()).output == "held"
    assert not worker.heard(events.LeaseLost)


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


async def test_no_lease_is_extended_over_two_links_at_once(gw: Gateway, start: Any, held: Any) -> None:
    """A server of before inngest/inngest#4687 takes the lease away if it is extended once with an old id.

    The old link still owes an answer when the new one takes over; until it has come, at least one extension would be due.
    """
    gw.lease_replay, gw.extend_lease_interval, gw.heartbeat_interval = False, "700ms", "250ms"
    worker = await start(deadlines=PATIENT)
    run = gw.start_run("app-hold")
    await held.running()
    old = gw.connections[0]
    gw.faults.lose(Kind.WORKER_REQUEST_EXTEND_LEASE_ACK)
    await gw.wait_for(Kind.WORKER_REQUEST_EXTEND_LEASE)
    await gw.drain()
    await worker.hears(events.Connected, 2)
    new = gw.connections[-1]
    await gw.wait_for(Kind.WORKER_HEARTBEAT, connection=new, count=4)
    assert not gw.frames(Kind.WORKER_REQUEST_EXTEND_LEASE, connection=new)
    answer = gw.frames(Kind.WORKER_REQUEST_EXTEND_LEASE_ACK, swallowed=True)[0].message
    await old.send_raw(encode(Kind.WORKER_REQUEST_EXTEND_LEASE_ACK, answer))
    await gw.wait_for(Kind.WORKER_REQUEST_EXTEND_LEASE, connection=new, count=2)
    held.release.set()
    assert (await run.done()).output == "held"
    assert gw.ledger[run.requests[0]].nacked == 0
    assert not worker.heard(events.LeaseLost)
