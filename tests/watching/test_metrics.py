"""`/metrics` agrees with what the gateway saw, to the request."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from rig import ACTIVE, DOWN, QUICK, RECONNECTING, Apps, Held, at_work, reaches

from connect import events
from connect.gateway import Gateway, Kind, Opened


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample of a page of metrics."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def total(get: Any, name: str, **labels: str) -> float:
    """The sum of what `/metrics` says under *name*, where all *labels* fit."""
    _, text = await get("/metrics")
    wanted = set(labels.items())
    return sum(value for (found, has), value in samples(text).items() if found == name and wanted <= set(has))


@pytest.mark.usefixtures("quiet")
async def test_metrics_agree_with_the_gateway_to_the_request(gw: Gateway, apps: Apps, serve: Any, get: Any) -> None:
    """The worker is under load, with failures, drains, losses and replies that had to be flushed."""

    @apps.function("fail")
    async def fail(ctx: Any) -> None:
        raise ValueError("no")

    worker = await serve(deadlines=replace(QUICK, reply_ack=2.0))
    runs = [gw.start_run("app-fail" if number % 5 == 0 else "app-echo", {"value": number}) for number in range(200)]
    await asyncio.gather(*(run.done() for run in runs))
    gw.faults.lose(Kind.WORKER_REPLY_ACK, count=None)
    gw.flushes.push(DOWN)
    late = gw.start_run("app-echo", {"value": 1})
    await worker.hears(events.ReplyFlushed)
    gw.faults.clear()
    await late.done()
    await gw.drain()
    await worker.hears(events.Connected, 2)
    gw.connections[-1].drop()
    await worker.hears(events.Connected, 3)
    await gw.wait_for_worker()
    since = gw.mark
    await gw.redeliver(runs[0].requests[0])  # it is answered from memory: nothing is executed, nothing counted
    await gw.wait_for(Kind.WORKER_REPLY, since=since)

    acked = {frame.message.request_id for frame in gw.frames(Kind.WORKER_REQUEST_ACK)}
    assert await total(get, "inngest_connect_requests_received_total") == len(acked) == 201
    assert await total(get, "inngest_connect_requests_total") == 201
    assert await total(get, "inngest_connect_requests_total", function="app-fail", status="ERROR") == 40
    assert await total(get, "inngest_connect_requests_total", function="app-echo", status="DONE") == 161
    assert await total(get, "inngest_connect_request_seconds_count") == 201
    assert await total(get, "inngest_connect_flushes_total", result="delivered") == 1
    assert await total(get, "inngest_connect_flushes_total") == len(gw.calls("flush"))
    assert await total(get, "inngest_connect_links_total") == sum(isinstance(record, Opened) for record in gw.log) == 3
    assert await total(get, "inngest_connect_link_losses_total", cause="no close frame") == 1
    assert await total(get, "inngest_connect_reconnect_seconds_count", cause="gateway_closing") == 1
    assert await total(get, "inngest_connect_reconnect_seconds_count", cause="link_lost") == 1
    assert await total(get, "inngest_connect_transitions_total", chart="connection", event="link_lost") == 1
    assert await total(get, "inngest_connect_in_flight") == 0
    assert await total(get, "inngest_connect_state", state="ACTIVE") == 1
    assert await total(get, "inngest_connect_unexpected_events_total") == 0


async def test_leases_are_counted_as_the_gateway_grants_and_refuses_them(
    gw: Gateway, held: Held, serve: Any, get: Any
) -> None:
    """How late each extension was asked for is counted, too."""
    worker = await serve()
    await at_work(gw, held)
    await worker.hears(events.LeaseExtended, 2)
    gw.faults.nack()
    await worker.hears(events.LeaseLost)
    answers = [frame.message for frame in gw.frames(Kind.WORKER_REQUEST_EXTEND_LEASE_ACK)]
    granted = sum(bool(answer.new_lease_id) for answer in answers)
    assert await total(get, "inngest_connect_lease_extensions_total") == granted >= 2
    assert await total(get, "inngest_connect_lease_late_seconds_count") == granted
    assert await total(get, "inngest_connect_leases_lost_total", function="app-hold") == len(answers) - granted == 1


async def test_time_is_counted_in_the_state_in_which_it_was_spent(gw: Gateway, serve: Any, get: Any) -> None:
    """A state that was never entered has no time. Heartbeats and leases have times of their own."""
    worker = await serve()
    gw.starts.standing = DOWN
    gw.connections[0].drop()
    await reaches(worker, RECONNECTING)
    await worker.hears(events.Reconnecting, 3)
    gw.starts.clear()
    await reaches(worker, ACTIVE, times=2)
    await worker.hears(events.HeartbeatAnswered)
    for state in ("CONNECTING", "ACTIVE", "RECONNECTING"):
        assert await total(get, "inngest_connect_state_seconds_total", state=state) > 0
    assert await total(get, "inngest_connect_state_seconds_total", state="DRAINING") == 0
    assert await total(get, "inngest_connect_failed_attempts_total") == len(worker.heard(events.Reconnecting))
    assert await total(get, "inngest_connect_heartbeat_seconds_count") >= 1
