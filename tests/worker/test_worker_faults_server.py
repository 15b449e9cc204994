"""Faults of the server that a worker has to survive, or must not provoke (docs/faults.md)."""

import asyncio
import threading
import time
from typing import Any

import inngest
import pytest
from rig import PATIENT, ends

from connect import ConfigurationError, ConnectionState, connect, events, wire
from connect.gateway import Gateway, Kind, Opened


def _acks(gw: Gateway) -> list[str]:
    return [frame.message.request_id for frame in gw.frames(Kind.WORKER_REQUEST_ACK)]  # type: ignore[union-attr]


async def test_user_code_that_blocks_delays_no_heartbeat_and_no_lease(gw: Gateway, apps: Any) -> None:
    """A burst of runs, one of which blocks its loop for longer than the gateway's patience; that loop is a thread's here."""
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


@pytest.mark.usefixtures("quiet")
async def test_a_drained_gateway_is_left_only_for_a_link_that_takes_work(gw: Gateway, start: Any) -> None:
    """While requests go on without a pause: none is dispatched twice, and none waits."""
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
async def test_a_request_is_acknowledged_before_it_runs_and_once_more_when_it_comes_again(
    gw: Gateway, start: Any, held: Any
) -> None:
    gw.ack_timeout = 0.3
    await start()
    gw.faults.lose(Kind.WORKER_REQUEST_ACK)
    run = gw.start_run("app-hold")
    await gw.wait_for(Kind.WORKER_REQUEST_ACK)
    held.release.set()
    assert (await run.done()).output == "held"
    request = gw.ledger[run.requests[0]]
    assert (len(request.dispatched), held.calls, request.duplicates) == (2, 1, 0)


@pytest.mark.usefixtures("quiet")
async def test_a_request_that_was_answered_is_answered_the_same_when_it_comes_again(
    gw: Gateway, start: Any, held: Any
) -> None:
    await start()
    held.release.set()
    run = await gw.invoke("app-hold")
    await gw.wait_for(Kind.WORKER_REPLY_ACK)
    await gw.redeliver(run.requests[0], fresh_lease=True)
    await gw.wait_for(Kind.WORKER_REPLY_ACK, count=2)
    first, second = (frame.message for frame in gw.frames(Kind.WORKER_REPLY))
    assert first == second
    assert held.calls == 1


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


async def test_a_reply_that_no_gateway_reads_becomes_an_error_that_says_so(gw: Gateway, start: Any, apps: Any) -> None:
    gw.heartbeat_interval = gw.extend_lease_interval = "30s"

    @apps.function("huge")
    async def huge(ctx: inngest.Context) -> str:
        return "x" * int(ctx.event.data["size"])

    worker = await start()
    fits = await gw.invoke("app-huge", {"size": 8_388_608 - 1000})
    assert fits.status == "completed"
    run = await gw.invoke("app-huge", {"size": 8_388_608})
    assert run.error["name"] == "ReplyTooLarge"
    assert "8388608" in run.error["message"]
    reply = gw.ledger[run.requests[0]].reply
    assert reply is not None
    assert reply.no_retry
    assert not worker.heard(events.Disconnected)


@pytest.mark.usefixtures("quiet")
async def test_an_error_after_a_reply_was_stored_makes_it_come_twice_and_run_once(
    gw: Gateway, start: Any, held: Any
) -> None:
    worker = await start(deadlines=PATIENT)
    held.release.set()
    gw.faults.cut(Kind.WORKER_REPLY_ACK, code=1011, reason="connect_internal_error")
    run = await gw.invoke("app-hold")
    await worker.hears(events.ReplyFlushed)
    assert run.output == "held"
    assert gw.ledger[run.requests[0]].duplicates == 1
    assert held.calls == 1


async def test_a_worker_without_apps_is_not_made() -> None:
    with pytest.raises(ConfigurationError, match="no apps provided"):
        connect([])


async def test_heartbeats_that_are_answered_late_are_answered(gw: Gateway, start: Any) -> None:
    """Two and a half intervals late, as by a gateway that has them wait behind data."""
    gw.heartbeat_interval = "400ms"
    gw.faults.delay(Kind.GATEWAY_HEARTBEAT, 1.0, None)
    worker = await start()
    await gw.wait_for(Kind.GATEWAY_HEARTBEAT, count=3)
    assert not worker.heard(events.Disconnected)


async def test_system_attributes_are_always_sent(gw: Gateway, start: Any) -> None:
    await start()
    system = gw.connections[0].worker.system_attributes
    assert system.cpu_cores > 0
    assert system.mem_bytes > 0
    assert system.os


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


@pytest.mark.parametrize("how", ["option", "environment", "rewrite"])
@pytest.mark.usefixtures("quiet")
async def test_a_wrong_endpoint_can_be_overridden(
    gw: Gateway, start: Any, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    gw.advertise = lambda _: "ws://127.0.0.1:9/v0/connect"
    right = f"{gw.url.replace('http', 'ws')}/v0/connect"
    if how == "environment":
        monkeypatch.setenv("INNGEST_CONNECT_GATEWAY_URL", right)
    options: dict[str, Any] = {
        "option": {"gateway_url": right},
        "environment": {},
        "rewrite": {"rewrite_gateway_endpoint": lambda granted: granted.replace(":9/", f":{gw.port}/")},
    }[how]
    await start(**options)
    assert (await gw.invoke("app-echo", {"value": 1})).output == 1
