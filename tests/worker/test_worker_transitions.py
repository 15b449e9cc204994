"""The transitions that no ordinary day takes: what is left of the three charts once the other tests have had their share.

`make test` fails unless tests of the real worker take every transition; each test here says which one it is for.
"""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import inngest
import pytest
from rig import QUICK, Apps, Held, Running, reported
from spoilt_network import Spoilt

from connect import ConnectionState, events, wire
from connect.errors import GatewayDraining, ProtocolError
from connect.gateway import Answer, Connection, Gateway, Kind, Opened
from connect.link import Link

DOWN = Answer(500)


async def opened(gw: Gateway) -> Connection:
    """The first socket, as soon as it is open."""
    await gw.wait_for(lambda record: isinstance(record, Opened))
    return gw.connections[0]


def nack(request_id: str) -> wire.WorkerRequestExtendLeaseAckData:
    """An answer to a lease extension without a new lease."""
    return wire.WorkerRequestExtendLeaseAckData(request_id=request_id)


async def ended(worker: Running) -> None:
    """Close the worker and wait for its end."""
    async with asyncio.timeout(10):
        await worker.connection.close(wait=True)


# -- link: the handshake -----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("quiet")
async def test_a_second_hello_in_the_handshake_ends_it(gw: Gateway, start: Any) -> None:
    """HANDSHAKE --gateway_hello--> CLOSED."""
    gw.faults.repeat(Kind.GATEWAY_HELLO)
    gw.faults.lose(Kind.GATEWAY_CONNECTION_READY)
    worker = await start(ready=False)
    failed = await worker.hears(events.Reconnecting)
    assert isinstance(failed.error, ProtocolError)
    assert "gateway_hello came out of order" in str(failed.error)
    await worker.hears(events.Connected)


@pytest.mark.usefixtures("quiet")
async def test_ready_before_hello_ends_the_handshake(gw: Gateway, start: Any) -> None:
    """HANDSHAKE --connection_ready--> CLOSED."""
    gw.faults.lose(Kind.GATEWAY_HELLO)
    worker = await start(ready=False)
    await (await opened(gw)).send(Kind.GATEWAY_CONNECTION_READY)
    failed = await worker.hears(events.Reconnecting)
    assert isinstance(failed.error, ProtocolError)
    assert "connection_ready came out of order" in str(failed.error)
    await worker.hears(events.Connected)


@pytest.mark.usefixtures("quiet")
async def test_a_drain_in_the_handshake_ends_it(gw: Gateway, start: Any) -> None:
    """HANDSHAKE --gateway_closing--> CLOSED."""
    gw.faults.lose(Kind.GATEWAY_HELLO)
    worker = await start(ready=False)
    await (await opened(gw)).send(Kind.GATEWAY_CLOSING)
    failed = await worker.hears(events.Reconnecting)
    assert isinstance(failed.error, GatewayDraining)
    await worker.hears(events.Connected)


@pytest.mark.usefixtures("quiet")
async def test_a_bug_in_the_handshake_ends_that_link_only(start: Any, breaks: Any, caplog: Any) -> None:
    """HANDSHAKE --error_execution--> CLOSED: logged with its traceback, and tried again."""
    breaks(Link, "send_worker_connect")
    worker = await start()
    assert isinstance(worker.heard(events.Reconnecting)[0].error, ZeroDivisionError)
    assert worker.states == [ConnectionState.CONNECTING, ConnectionState.ACTIVE]
    reported(caplog)


# -- link: its pulse ---------------------------------------------------------------------------------------------------------


async def test_a_bug_on_a_link_in_use_is_a_loss(gw: Gateway, start: Any, breaks: Any, caplog: Any) -> None:
    """UP --error_execution--> CLOSED: logged with its traceback, and the link is replaced."""
    breaks(Link, "send_heartbeat")
    worker = await start()
    await worker.hears(events.Connected, 2)
    assert worker.states[2] is ConnectionState.RECONNECTING
    run = await gw.invoke("app-echo", {"value": 1})
    assert run.status == "completed"
    reported(caplog)


@pytest.mark.parametrize("missing", [1, 2])
async def test_one_answer_makes_up_for_missing_heartbeats(gw: Gateway, start: Any, missing: int) -> None:
    """TWO MISSING and THREE MISSING --heartbeat_seen--> ANSWERED."""
    gw.heartbeat_interval = "200ms"
    gw.faults.lose(Kind.GATEWAY_HEARTBEAT, count=missing)
    worker = await start()
    await gw.wait_for(Kind.GATEWAY_HEARTBEAT, count=3)
    assert worker.states == [ConnectionState.CONNECTING, ConnectionState.ACTIVE]
    assert not worker.heard(events.Disconnected)


async def test_three_heartbeats_unanswered_in_a_row_end_a_link(gw: Gateway, start: Any) -> None:
    """THREE MISSING --beat--> CLOSED: the fourth is not even sent."""
    worker = await start()
    mute = gw.connections[0]
    mute.mute()
    lost = await worker.hears(events.Disconnected)
    assert "three heartbeats" in lost.reason
    await worker.hears(events.Connected, 2)
    await gw.wait_for_worker()
    sent = len(gw.frames(Kind.WORKER_HEARTBEAT, connection=mute))
    answered = len(gw.frames(Kind.GATEWAY_HEARTBEAT, connection=mute))
    assert sent - answered == 3


# -- request: between the ACK and its being written --------------------------------------------------------------------------
# On one loop with the gateway: two frames that it writes in one breath are read before anything is written in between.


@pytest.mark.usefixtures("quiet")
async def test_a_request_whose_ack_cannot_be_written_was_never_accepted(
    gw: Gateway, held: Held, start: Any, break_write: Any
) -> None:
    """ACKED --ack_failed--> ABANDONED: it does not run, and the gateway routes it anew."""
    worker = await start()
    break_write(Kind.WORKER_REQUEST_ACK)
    run = gw.start_run("app-hold")
    await held.running()
    held.release.set()
    await run.done()
    assert (run.status, held.calls) == ("completed", 1)
    assert [number for _, number in gw.ledger[run.requests[0]].dispatched] == [1, 2]
    assert len(worker.heard(events.RequestReceived)) == 1


@pytest.mark.usefixtures("quiet")
async def test_a_request_doubled_before_its_ack_is_written_runs_once(gw: Gateway, held: Held, start: Any) -> None:
    """ACKED --redelivered--> stays: acknowledged twice."""
    await start(isolation="none")
    gw.faults.repeat(Kind.GATEWAY_EXECUTOR_REQUEST)
    run = gw.start_run("app-hold")
    await gw.wait_for(Kind.WORKER_REQUEST_ACK, count=2)
    await held.running()
    held.release.set()
    await run.done()
    assert (run.status, held.calls) == ("completed", 1)
    assert len(gw.frames(Kind.WORKER_REPLY)) == 1


@pytest.mark.usefixtures("quiet")
async def test_a_lease_lost_before_the_ack_is_written_cancels_the_request(gw: Gateway, start: Any) -> None:
    """ACKED --lease_lost--> CANCELLED: nothing runs for it, no reply is sent."""
    worker = await start(isolation="none")
    run = await gw.invoke("app-echo", {"value": 1})
    replies = len(gw.frames(Kind.WORKER_REPLY))
    await gw.redeliver(run.requests[0])
    await gw.connections[0].send(Kind.WORKER_REQUEST_EXTEND_LEASE_ACK, nack(run.requests[0]))
    lost = await worker.hears(events.LeaseLost)
    assert (lost.request_id, lost.cancelled) == (run.requests[0], True)
    await ended(worker)
    assert len(gw.frames(Kind.WORKER_REPLY)) == replies
    assert len(worker.heard(events.RequestReceived)) == 1


@pytest.mark.usefixtures("quiet")
async def test_a_lease_lost_before_the_ack_is_written_can_leave_the_request_alone(gw: Gateway, start: Any) -> None:
    """ACKED --lease_lost--> stays, with `on_lease_lost="finish"`: it is answered all the same."""
    worker = await start(isolation="none", on_lease_lost="finish")
    run = await gw.invoke("app-echo", {"value": 1})
    await gw.redeliver(run.requests[0])
    await gw.connections[0].send(Kind.WORKER_REQUEST_EXTEND_LEASE_ACK, nack(run.requests[0]))
    lost = await worker.hears(events.LeaseLost)
    assert (lost.request_id, lost.cancelled) == (run.requests[0], False)
    await gw.wait_for(Kind.WORKER_REPLY, count=2)


@pytest.fixture
async def clogged(spoilt: Spoilt) -> Callable[[int], asyncio.Event]:
    """`clogged(kind)`: a frame of *kind* is never taken from the worker, as by a full socket; an event for the first."""
    stuck: dict[int, asyncio.Event] = {}
    home = asyncio.get_running_loop()

    async def before(kind: int) -> None:
        if event := stuck.get(kind):
            home.call_soon_threadsafe(event.set)
            await asyncio.get_running_loop().create_future()

    spoilt.before.append(before)
    return lambda kind: stuck.setdefault(kind, asyncio.Event())


@pytest.mark.usefixtures("quiet")
async def test_a_request_whose_ack_is_stuck_at_the_end_is_reported(
    gw: Gateway, held: Held, start: Any, clogged: Any
) -> None:
    """ACKED --discard--> DISCARDED: the worker stops waiting for a socket that takes nothing."""
    worker = await start(shutdown_timeout=0.1, flush_timeout=0.1)
    stuck = clogged(Kind.WORKER_REQUEST_ACK)
    run = gw.start_run("app-hold")
    async with asyncio.timeout(5):
        await stuck.wait()
    await ended(worker)
    lost = await worker.hears(events.ReplyLost)
    assert lost.request_id == run.requests[0]
    assert held.calls == 0


@pytest.mark.usefixtures("quiet")
async def test_a_request_whose_ack_is_stuck_on_a_link_that_ends_was_never_accepted(
    gw: Gateway, held: Held, start: Any, clogged: Any
) -> None:
    """ACKED --ack_failed--> ABANDONED when the link is closed: the worker keeps neither the request nor its lease."""
    worker = await start()
    stuck = clogged(Kind.WORKER_REQUEST_ACK)
    gw.start_run("app-hold")
    async with asyncio.timeout(5):
        await stuck.wait()
    assert [request.state for request in worker.status().in_flight] == ["ACKED"]
    gw.starts.standing = DOWN  # it does not come again over another link
    gw.connections[0].drop()
    await worker.hears(events.Reconnecting)
    await ended(worker)  # nothing is in flight that it would have to wait for
    assert not worker.heard(events.ReplyLost)
    assert held.calls == 0


# -- request: while it runs --------------------------------------------------------------------------------------------------


async def test_a_lease_lost_while_it_runs_cancels_the_function(gw: Gateway, held: Held, start: Any) -> None:
    """EXECUTING --lease_lost--> CANCELLED: no reply, no further extension, and nothing keeps a shutdown waiting."""
    gw.heartbeat_interval = "60s"
    worker = await start()
    run = gw.start_run("app-hold")
    await held.running()
    gw.faults.nack()
    lost = await worker.hears(events.LeaseLost)
    assert (lost.request_id, lost.cancelled) == (run.requests[0], True)
    mark = gw.mark
    await ended(worker)
    assert not gw.frames(Kind.WORKER_REQUEST_EXTEND_LEASE, since=mark)
    assert not gw.frames(Kind.WORKER_REPLY)


async def test_a_lease_lost_while_it_runs_can_leave_the_function_alone(gw: Gateway, held: Held, start: Any) -> None:
    """EXECUTING --lease_lost--> stays, with `on_lease_lost="finish"`: its reply is delivered."""
    gw.heartbeat_interval = "60s"
    worker = await start(on_lease_lost="finish")
    run = gw.start_run("app-hold")
    await held.running()
    gw.faults.nack()
    lost = await worker.hears(events.LeaseLost)
    assert not lost.cancelled
    mark = gw.mark
    held.release.set()
    await run.done()
    assert (run.status, run.output) == ("completed", "held")
    assert not gw.frames(Kind.WORKER_REQUEST_EXTEND_LEASE, since=mark)


async def test_a_function_that_cannot_be_stopped_runs_once_however_often_its_lease_is_lost(
    gw: Gateway, apps: Apps, start: Any
) -> None:
    """EXECUTING --lease_lost--> CANCELLED, twice: the second request, too, waits for the run that the first one began."""
    gw.heartbeat_interval = "60s"
    calls, release = list[str](), threading.Event()

    @apps.function("stuck")
    def stuck(ctx: inngest.Context) -> str:
        calls.append(ctx.run_id)
        release.wait(10)
        return "done"

    worker = await start()
    run = gw.start_run("app-stuck")
    await worker.hears(events.RequestReceived)
    for lost in (1, 2):
        gw.faults.nack()
        await worker.hears(events.LeaseLost, lost)
        await gw.redeliver(run.requests[0], fresh_lease=True)
        await worker.hears(events.RequestReceived, lost + 1)
    release.set()
    await run.done()
    assert (run.status, run.output, calls) == ("completed", "done", [run.id])


# -- request: its reply ------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("quiet")
async def test_a_request_redelivered_before_its_reply_is_confirmed_gets_the_same_reply(
    gw: Gateway, held: Held, start: Any
) -> None:
    """REPLIED --redelivered--> stays."""
    worker = await start(deadlines=replace(QUICK, reply_ack=30.0))
    gw.faults.lose(Kind.WORKER_REPLY_ACK)
    held.release.set()
    run = await gw.invoke("app-hold")
    await gw.redeliver(run.requests[0])
    await gw.wait_for(Kind.WORKER_REPLY_ACK)
    first, second = (frame.message for frame in gw.frames(Kind.WORKER_REPLY))
    assert first == second
    assert len(gw.frames(Kind.WORKER_REQUEST_ACK)) == 2
    assert held.calls == 1
    await ended(worker)
    assert not gw.calls("flush")


@pytest.mark.usefixtures("quiet")
async def test_a_request_redelivered_after_its_reply_was_confirmed_gets_the_same_reply(
    gw: Gateway, held: Held, start: Any
) -> None:
    """CONFIRMED, entered: the reply is remembered, so the function is not run again."""
    await start()
    held.release.set()
    run = await gw.invoke("app-hold")
    await gw.redeliver(run.requests[0])
    await gw.wait_for(Kind.WORKER_REPLY_ACK, count=2)
    first, second = (frame.message for frame in gw.frames(Kind.WORKER_REPLY))
    assert first == second
    assert held.calls == 1


@pytest.mark.usefixtures("quiet")
async def test_a_reply_that_is_not_confirmed_when_time_is_up_is_reported(gw: Gateway, start: Any) -> None:
    """REPLIED --discard--> DISCARDED."""
    worker = await start(deadlines=replace(QUICK, reply_ack=30.0), flush_timeout=0.1)
    gw.faults.lose(Kind.WORKER_REPLY_ACK, count=None)
    run = await gw.invoke("app-echo", {"value": 1})
    await ended(worker)
    lost = await worker.hears(events.ReplyLost)
    assert lost.request_id == run.requests[0]


@pytest.mark.usefixtures("quiet")
async def test_a_buffered_reply_goes_out_over_the_link_again_until_it_is_delivered(
    gw: Gateway, held: Held, start: Any
) -> None:
    """BUFFERED --redelivered, flush_failed--> stays, both with a link, then --reply_acked--> CONFIRMED."""
    worker = await start()
    gw.faults.lose(Kind.WORKER_REPLY_ACK, count=None)
    gw.flushes.standing = DOWN
    held.release.set()
    run = await gw.invoke("app-hold")
    await worker.hears(events.ReplyBuffered)
    await gw.redeliver(run.requests[0])
    await gw.wait_for(Kind.WORKER_REQUEST_ACK, count=2)
    await gw.until(lambda: len(gw.calls("flush")) >= 2)
    gw.faults.clear()
    await gw.wait_for(Kind.WORKER_REPLY_ACK)
    await ended(worker)
    assert held.calls == 1
    assert not worker.heard(events.ReplyFlushed)
    assert not worker.heard(events.ReplyLost)


async def test_a_lease_is_extended_until_the_reply_is_delivered(gw: Gateway, start: Any) -> None:
    """In REPLIED and BUFFERED, too, the lease is extended: if it lapsed the server would run the work again (PROTOCOL.md §7)."""
    gw.heartbeat_interval = "60s"
    worker = await start()
    gw.faults.lose(Kind.WORKER_REPLY, count=None)
    gw.flushes.standing = DOWN
    run = gw.start_run("app-echo", {"value": 1})
    await worker.hears(events.ReplyBuffered)
    await gw.wait_for(Kind.WORKER_REQUEST_EXTEND_LEASE, since=gw.mark)
    gw.flushes.clear()
    await worker.hears(events.ReplyFlushed)
    await run.done()
    mark = gw.mark
    await ended(worker)
    assert not gw.frames(Kind.WORKER_REQUEST_EXTEND_LEASE, since=mark)


@pytest.mark.usefixtures("quiet")
async def test_a_redelivery_over_a_retired_link_waits_for_the_flush(gw: Gateway, held: Held, start: Any) -> None:
    """BUFFERED --redelivered--> stays, without a current link: the retired one is still read, and takes no reply."""
    worker = await start(deadlines=replace(QUICK, settle=30.0))
    held_run = gw.start_run("app-hold")
    await held.running()
    gw.faults.lose(Kind.WORKER_REPLY_ACK, count=None)
    gw.flushes.standing = DOWN
    run = await gw.invoke("app-echo", {"value": 1})
    await worker.hears(events.ReplyBuffered)

    await gw.drain()
    await worker.hears(events.Connected, 2)
    await gw.wait_for_worker()
    retired, current = gw.connections
    gw.starts.standing = DOWN
    current.drop()
    await worker.hears(events.Reconnecting)
    replies = len(gw.frames(Kind.WORKER_REPLY))
    await gw.redeliver(run.requests[0], retired)
    await gw.redeliver(held_run.requests[0], retired)
    await gw.wait_for(Kind.WORKER_REQUEST_ACK, count=3)  # by now the first of the two was read
    assert len(gw.frames(Kind.WORKER_REPLY)) == replies

    gw.flushes.clear()
    flushed = await worker.hears(events.ReplyFlushed)
    assert flushed.request_id == run.requests[0]
    gw.faults.clear()
    gw.starts.clear()
    held.release.set()
    await held_run.done()
    assert held_run.status == "completed"


@pytest.mark.usefixtures("quiet")
async def test_a_reply_that_the_server_refuses_for_good_is_reported(gw: Gateway, start: Any) -> None:
    """BUFFERED --discard--> DISCARDED."""
    worker = await start()
    gw.faults.lose(Kind.WORKER_REPLY_ACK, count=None)
    gw.flushes.standing = Answer(400)
    run = await gw.invoke("app-echo", {"value": 1})
    lost = await worker.hears(events.ReplyLost)
    assert lost.request_id == run.requests[0]
    assert "refuses it for good" in lost.reason
    assert len(gw.calls("flush")) == 1


@pytest.mark.usefixtures("quiet")
async def test_a_retired_link_does_not_wait_for_what_is_no_longer_needed(gw: Gateway, start: Any) -> None:
    """FLUSHED, entered: the REPLY_ACK that never came is no longer owed, so the link ends with its drain."""
    worker = await start(deadlines=replace(QUICK, settle=3600.0))
    gw.faults.lose(Kind.WORKER_REPLY_ACK)
    await gw.invoke("app-echo", {"value": 1})
    await worker.hears(events.ReplyFlushed)
    await gw.drain()
    await worker.hears(events.Disconnected)
    await ended(worker)
