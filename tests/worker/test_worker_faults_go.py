"""Faults that users met in the official Go client: this worker is led into each (docs/faults.md)."""

import asyncio
import importlib.metadata
import logging
from collections.abc import Callable
from typing import Any

import pytest
import tenacity
from rig import PATIENT, ends

from connect import events
from connect.gateway import HANG, Gateway, Kind
from connect.wire.codec import encode


async def test_no_key_is_needed_in_development(gw: Gateway, start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("INNGEST_SIGNING_KEY", raising=False)
    await start()
    assert ["authorization" in call.headers for call in gw.calls("start")] == [False]
    assert (await gw.invoke("app-echo", {"value": 1})).output == 1


@pytest.mark.usefixtures("quiet")
async def test_a_handshake_that_was_not_understood_is_reported_with_reason_and_version(
    gw: Gateway, start: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "connect")
    gw.faults.replace(Kind.WORKER_CONNECT, b"\xff")
    worker = await start()
    failure = worker.heard(events.Reconnecting)[0]
    assert "1008 connect_worker_hello_invalid_payload" in str(failure.error)
    assert str(failure.error) in caplog.text
    assert f"inngest {importlib.metadata.version('inngest')}" in caplog.text


async def test_nothing_is_extended_once_its_request_has_ended(gw: Gateway, start: Any) -> None:
    worker = await start()
    for value in range(3):
        await gw.invoke("app-echo", {"value": value})
    await gw.wait_for(Kind.WORKER_REPLY_ACK, count=3)
    mark = gw.mark
    await gw.wait_for(Kind.GATEWAY_HEARTBEAT, since=mark, count=4)
    assert not gw.frames(Kind.WORKER_REQUEST_EXTEND_LEASE, since=mark)
    assert worker.status().in_flight == ()


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


@pytest.mark.parametrize(
    ("given", "sent"), [(b"", b"{}"), (b"{}", b"{}"), (b'{ "traceparent" : "00-1" }', b'{ "traceparent" : "00-1" }')]
)
@pytest.mark.usefixtures("quiet")
async def test_a_flushed_reply_has_the_trace_context_of_its_request(
    gw: Gateway, start: Any, given: bytes, sent: bytes
) -> None:
    gw.system_trace_ctx = given
    worker = await start()
    gw.faults.lose(Kind.WORKER_REPLY)
    assert (await gw.invoke("app-echo", {"value": 1})).output == 1
    await worker.hears(events.ReplyFlushed)
    calls = gw.calls("flush")
    assert [call.status for call in calls] == [200]
    assert calls[0].message.system_trace_ctx == sent


async def test_a_lease_answer_that_was_overtaken_brings_no_older_lease(gw: Gateway, start: Any, held: Any) -> None:
    """It comes last of all: what is asked from then on reaches the gateway, but no answer reaches the worker."""
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


async def test_a_reply_ack_clears_what_is_pending(gw: Gateway, start: Any) -> None:
    worker = await start()
    await gw.invoke("app-echo", {"value": 1})
    await gw.wait_for(Kind.WORKER_REPLY_ACK)
    await gw.wait_for(Kind.GATEWAY_HEARTBEAT, since=gw.mark, count=6)
    status = worker.status()
    assert (status.in_flight, status.outbox_replies, status.outbox_bytes) == ((), 0, 0)
    assert not gw.calls("flush")


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
    """Also while it waits to try again: for a minute here."""
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


async def test_two_unanswered_heartbeats_are_borne(gw: Gateway, start: Any) -> None:
    gw.heartbeat_interval = "300ms"
    worker = await start()
    gw.faults.lose(Kind.GATEWAY_HEARTBEAT, 2)
    await gw.wait_for(Kind.GATEWAY_HEARTBEAT, count=5)
    assert not worker.heard(events.Disconnected)


async def test_a_peer_that_answers_no_heartbeat_is_left(gw: Gateway, start: Any) -> None:
    worker = await start()
    gw.connections[0].mute()
    gone = await worker.hears(events.Disconnected)
    assert "three heartbeats" in gone.reason
    await worker.hears(events.Connected, 2)
