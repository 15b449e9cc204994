"""Faults that users met in the official Python client: this worker is led into each (docs/faults.md)."""

import asyncio
import threading
from typing import Any

import inngest
import pytest
from rig import PATIENT, ends

from connect import ConnectionState, connect, events, wire
from connect.errors import ProtocolError
from connect.gateway import Call, Frame, Gateway, Kind, Opened
from connect.wire.codec import encode


def first_frames(gw: Gateway) -> list[int]:
    """The kind of the first frame that came over each connection."""
    firsts: dict[int, int] = {}
    for frame in gw.frames():
        if frame.direction == "in":
            firsts.setdefault(frame.connection, frame.kind)
    return list(firsts.values())


@pytest.mark.usefixtures("quiet")
async def test_an_api_outage_of_any_length_is_outlived(gw: Gateway, start: Any) -> None:
    worker = await start()
    await gw.stop()
    await worker.hears(events.Reconnecting, 12)
    assert worker.get_state() is ConnectionState.RECONNECTING
    await gw.start()
    await worker.hears(events.Connected, 2)
    assert (await gw.invoke("app-echo", {"value": 1})).output == 1


@pytest.mark.usefixtures("quiet")
async def test_an_api_that_is_down_at_first_is_waited_for(gw: Gateway, start: Any) -> None:
    gw.starts.push(*[500] * 12)
    await start()
    assert [call.status for call in gw.calls("start")] == [500] * 12 + [200]


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


async def test_a_worker_runs_off_the_main_thread(gw: Gateway, apps: Any) -> None:
    """With its default signals, which only the main thread may ask for."""
    made = connect([(apps.client, apps.functions)])
    ended: list[BaseException | None] = []

    def body() -> None:
        try:
            asyncio.run(made.start())
            ended.append(None)
        except BaseException as error:
            ended.append(error)

    thread = threading.Thread(target=body, name="not main")
    thread.start()
    try:
        await gw.wait_for_worker(timeout=5)
        assert (await gw.invoke("app-echo", {"value": 1})).output == 1
    finally:
        await made.close(wait=True)
        await asyncio.to_thread(thread.join, 5)
    assert ended == [None]


@pytest.mark.usefixtures("quiet")
async def test_a_branch_environment_is_named_everywhere(gw: Gateway, start: Any) -> None:
    worker = await start(signing_key=f"signkey-branch-{'ab' * 16}", env="my-branch", deadlines=PATIENT)
    gw.faults.cut(Kind.WORKER_REPLY)
    await gw.invoke("app-echo", {"value": 1})
    await worker.hears(events.ReplyFlushed)
    assert {call.headers.get("x-inngest-env") for call in gw.calls("start") + gw.calls("flush")} == {"my-branch"}
    hello = gw.frames(Kind.WORKER_CONNECT)[0].message
    assert isinstance(hello, wire.WorkerConnectRequestData)
    assert hello.environment == "my-branch"


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


@pytest.mark.parametrize("limit", [None, 7])
async def test_concurrency_is_sent_only_where_it_is_set(gw: Gateway, start: Any, limit: int | None) -> None:
    await start(max_worker_concurrency=limit)
    hello = gw.connections[0].worker
    assert hello.HasField("max_worker_concurrency") is (limit is not None)
    assert hello.max_worker_concurrency == (limit or 0)


async def test_a_reply_that_cannot_be_sent_marks_its_link_dead(gw: Gateway, start: Any, break_write: Any) -> None:
    gw.heartbeat_interval = "30s"
    worker = await start(deadlines=PATIENT)
    break_write(Kind.WORKER_REPLY)
    run = await gw.invoke("app-echo", {"value": 1})
    assert (run.output, gw.ledger[run.requests[0]].via) == (1, "flush")
    await worker.hears(events.Connected, 2)


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


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9/v0/connect", "127.0.0.1:9", "ws://", "", "ftp://[::1"])
@pytest.mark.usefixtures("quiet")
async def test_an_endpoint_that_is_none_is_refused_and_asked_for_again(gw: Gateway, start: Any, endpoint: str) -> None:
    gw.advertise = lambda true: endpoint or true.replace("ws://", "http://")
    worker = await start(ready=False)
    failure = await worker.hears(events.Reconnecting)
    assert isinstance(failure.error, ProtocolError)
    assert not [record for record in gw.log if isinstance(record, Opened)]
    gw.advertise = None
    await gw.wait_for_worker()


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


@pytest.mark.usefixtures("quiet")
async def test_a_request_of_seven_mebibytes_is_read(gw: Gateway, start: Any, apps: Any) -> None:
    @apps.function("measure")
    async def measure(ctx: inngest.Context) -> int:
        return len(str(ctx.event.data["value"]))

    gw.payload_limit = 16 * 1024 * 1024
    worker = await start()
    size = 7 * 1024 * 1024 // 2  # it travels twice: as the event, and in the list of events
    assert (await gw.invoke("app-measure", {"value": "x" * size})).output == size
    assert max(frame.size for frame in gw.frames(Kind.GATEWAY_EXECUTOR_REQUEST)) > 7 * 1024 * 1024
    assert len(worker.heard(events.Connected)) == 1


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
async def test_a_request_whose_ack_could_not_be_written_was_never_accepted(
    gw: Gateway, start: Any, held: Any, break_write: Any
) -> None:
    worker = await start()
    break_write(Kind.WORKER_REQUEST_ACK)
    run = gw.start_run("app-hold")
    await worker.hears(events.Connected, 2)
    await held.running()
    held.release.set()
    assert (await run.done()).output == "held"
    order = [type(event) for event in worker.told if isinstance(event, events.Connected | events.RequestReceived)]
    assert order == [events.Connected, events.Connected, events.RequestReceived]
    assert held.calls == 1
    assert len(gw.frames(Kind.WORKER_REPLY)) == 1
    assert not gw.calls("flush")


@pytest.mark.usefixtures("quiet")
async def test_a_reply_is_kept_until_a_flush_succeeds(gw: Gateway, start: Any, held: Any) -> None:
    worker = await start()
    gw.flushes.push(500, 401, 429, 500)
    gw.faults.lose(Kind.WORKER_REPLY, None)
    run = await gw.invoke("app-echo", {"value": 1})
    assert run.output == 1
    await worker.hears(events.ReplyFlushed)
    assert [call.status for call in gw.calls("flush")] == [500, 401, 429, 500, 200]
    assert not worker.heard(events.ReplyLost)


async def test_no_lease_is_extended_over_two_links_at_once(gw: Gateway, start: Any, held: Any) -> None:
    """A server of before inngest/inngest#4687: one extension with a superseded id, and the lease is lost.

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


async def test_nothing_is_sent_over_a_new_link_before_worker_connect(gw: Gateway, start: Any, held: Any) -> None:
    """A heartbeat, a lease and a reply come due while the new link still waits for its HELLO."""
    gw.heartbeat_timeout = 5.0
    worker = await start(deadlines=PATIENT)
    run = gw.start_run("app-hold")
    await held.running()
    gw.faults.delay(Kind.GATEWAY_HELLO, 0.3)
    gw.connections[0].drop()
    await gw.wait_for(lambda record: isinstance(record, Opened), count=2)
    held.release.set()
    assert (await run.done()).output == "held"
    await worker.hears(events.Connected, 2)
    await gw.wait_for(Kind.GATEWAY_HEARTBEAT, connection=await gw.wait_for_worker())
    assert set(first_frames(gw)) == {Kind.WORKER_CONNECT}
    assert 1008 not in [end.code for end in ends(gw)]
    assert [call for call in gw.log if isinstance(call, Call) and call.status != 200] == []
