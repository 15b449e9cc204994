"""A reply cannot be sent, is not confirmed, or is too large (docs/faults.md)."""

from typing import Any

import inngest
import pytest
from rig import PATIENT

from connect import events
from connect.gateway import Gateway, Kind


async def test_a_reply_that_cannot_be_sent_marks_its_link_dead(gw: Gateway, start: Any, break_write: Any) -> None:
    gw.heartbeat_interval = "30s"
    worker = await start(deadlines=PATIENT)
    break_write(Kind.WORKER_REPLY)
    run = await gw.invoke("app-echo", {"value": 1})
    assert (run.output, gw.ledger[run.requests[0]].via) == (1, "flush")
    await worker.hears(events.Connected, 2)


async def test_a_reply_ack_clears_what_is_pending(gw: Gateway, start: Any) -> None:
    worker = await start()
    await gw.invoke("app-echo", {"value": 1})
    await gw.wait_for(Kind.WORKER_REPLY_ACK)
    await gw.wait_for(Kind.GATEWAY_HEARTBEAT, since=gw.mark, count=6)
    status = worker.status()
    assert (status.in_flight, status.outbox_replies, status.outbox_bytes) == ((), 0, 0)
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
