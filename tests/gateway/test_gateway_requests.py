"""The gateway forwards requests, sends them again, and extends leases by the server's rules (PROTOCOL.md §6.4, 7)."""

import asyncio
from collections.abc import Callable

import pytest
from raw_worker import RawWorker, response

from connect.gateway import Gateway, Kind
from connect.wire import GatewayExecutorRequestData, ulid

Another = Callable[..., RawWorker]
REQUEST = Kind.GATEWAY_EXECUTOR_REQUEST


async def asked(gw: Gateway, worker: RawWorker) -> GatewayExecutorRequestData:
    """A request that was sent to the worker, which has not acknowledged it."""
    gw.start_run("app-fn")
    request: GatewayExecutorRequestData = await worker.expect(REQUEST)
    return request


async def test_a_request_carries_ids_that_can_be_checked(gw: Gateway, worker: RawWorker) -> None:
    await worker.join()
    request = await asked(gw, worker)
    assert (request.app_name, request.function_slug, request.step_id) == ("app", "app-fn", "step")
    assert all(map(ulid.is_ulid, (request.request_id, request.run_id, request.lease_id)))
    assert ulid.timestamp(request.lease_id) - ulid.timestamp(request.request_id) == pytest.approx(120, abs=1)


async def test_requests_go_only_where_the_function_is_and_take_turns_there(gw: Gateway, another: Another) -> None:
    red, blue = await another().join("app-fn", "app-red"), await another().join("app-fn")
    for _ in range(4):
        gw.start_run("app-red")
        await red.expect(REQUEST)
    for _ in range(4):
        gw.start_run("app-fn")
    requests = [await worker.expect(REQUEST) for worker in (red, red, blue, blue)]
    assert {request.function_slug for request in requests} == {"app-fn"}


async def test_a_function_that_was_never_synced_is_an_error_that_names_the_synced_ones(
    gw: Gateway, worker: RawWorker
) -> None:
    await worker.join()
    with pytest.raises(LookupError, match="'app-other'; synced are: app-fn"):
        gw.start_run("app-other")


async def test_a_run_waits_for_a_worker_and_then_fails_for_want_of_one(gw: Gateway, another: Another) -> None:
    worker = await another().join()
    await worker.socket.close()
    await gw.until(lambda: not gw.connections)
    run = gw.start_run("app-fn")
    worker = await another().join()
    request = await worker.expect(REQUEST)
    await worker.ack(request)
    await worker.reply(request, 1)
    assert (await run.done()).output == 1
    assert gw.ledger.summary()["unrouted"] == gw.ledger[request.request_id].unrouted == 1
    await worker.socket.close()
    await gw.until(lambda: not gw.connections)
    gw.routing_timeout = 0.01
    run = await gw.invoke("app-fn")
    assert (run.status, run.error["name"], run.attempts) == ("failed", "connect_no_healthy_connection", 4)
    assert gw.ledger.summary()["unrouted"] == 1 + 4


async def test_an_unacknowledged_request_comes_again_with_the_same_ids_and_at_most_three_times(
    gw: Gateway, worker: RawWorker
) -> None:
    gw.ack_timeout = 0.02
    await worker.join()
    first, *again = [await asked(gw, worker)] + [await worker.expect(REQUEST) for _ in range(2)]
    assert [(r.request_id, r.lease_id) for r in again] == [(first.request_id, first.lease_id)] * 2
    next_attempt = await worker.expect(REQUEST)
    assert next_attempt.request_id != first.request_id
    assert gw.ledger[first.request_id].status == "undelivered"
    assert len(gw.ledger[first.request_id].dispatched) == 3


@pytest.mark.parametrize("leave", ["pause", "drain", "drop", "close"])
async def test_what_was_not_acknowledged_goes_elsewhere_at_once(gw: Gateway, another: Another, leave: str) -> None:
    leaving = await another().join()
    request = await asked(gw, leaving)
    staying = await another().join()
    match leave:
        case "pause":
            await leaving.send(Kind.WORKER_PAUSE)
        case "drain":
            await gw.drain(gw.connections[0])
        case "drop":
            gw.connections[0].drop()
        case "close":
            await leaving.socket.close()
    again = await staying.expect(REQUEST)
    assert (again.request_id, again.lease_id) == (request.request_id, request.lease_id)


async def test_an_acknowledged_request_stays_with_its_worker_when_the_connection_is_lost(
    gw: Gateway, another: Another
) -> None:
    worker = await another().join()
    request = await asked(gw, worker)
    await worker.ack(request)
    await gw.wait_for(Kind.WORKER_REQUEST_ACK)
    gw.connections[0].drop()
    replacement = await another().join()
    await replacement.reply(request, "done")
    assert (await gw.runs[0].done()).output == "done"
    assert len(gw.ledger[request.request_id].dispatched) == 1


async def test_a_lapsed_lease_uses_up_the_attempt_and_a_late_reply_changes_nothing(
    gw: Gateway, worker: RawWorker
) -> None:
    gw.lease_duration, gw.lease_grace = 0.05, 0.01
    await worker.join()
    request = await asked(gw, worker)
    gw.lease_duration = 120
    await worker.ack(request)
    retry = await worker.expect(REQUEST)
    assert retry.request_id != request.request_id
    entry = gw.ledger[request.request_id]
    assert (entry.status, gw.ledger.lost) == ("lapsed", [entry])
    await worker.reply(request, "late")
    assert (entry.status, entry.via, gw.ledger.lost) == ("lapsed", "socket", [])
    await worker.reply(retry, "in time")
    run = await gw.runs[0].done()
    assert (run.output, run.attempts) == ("in time", 2)


async def test_a_lease_that_is_extended_does_not_lapse(gw: Gateway, worker: RawWorker) -> None:
    gw.lease_duration, gw.lease_grace = 0.1, 0.5
    await worker.join()
    request = await asked(gw, worker)
    await worker.ack(request)
    lease_id: str | None = request.lease_id
    for _ in range(8):
        await asyncio.sleep(0.02)
        assert lease_id
        lease_id = await worker.extend(request.request_id, lease_id)
    assert gw.ledger[request.request_id].extended == 8
    await worker.reply(request, "at last")
    assert (await gw.runs[0].done()).attempts == 1


async def test_an_extension_needs_the_newest_id_and_forgives_the_one_before(gw: Gateway, worker: RawWorker) -> None:
    await worker.join()
    request = await asked(gw, worker)
    await worker.ack(request)
    first = request.lease_id
    second = await worker.extend(request.request_id, first)
    assert second
    assert second != first
    assert await worker.extend(request.request_id, first) == second, "a replay is answered with the current id"
    third = await worker.extend(request.request_id, second)
    assert third not in (None, first, second)
    assert await worker.extend(request.request_id, first) is None, "two generations old"
    gw.lease_replay = False
    assert await worker.extend(request.request_id, second) is None, "a server before the fix"
    assert gw.ledger[request.request_id].nacked == 2


async def test_a_replay_is_only_for_the_instance_that_extended(gw: Gateway, another: Another) -> None:
    one, two = await another("one").join(), await another("two").join("app-other")
    request = await asked(gw, one)
    await one.ack(request)
    second = await one.extend(request.request_id, request.lease_id)
    assert second
    assert await two.extend(request.request_id, request.lease_id) is None
    assert await two.extend(request.request_id, second), "the current id serves any instance"


async def test_a_finished_or_unknown_request_is_nacked_and_the_connection_stays(gw: Gateway, worker: RawWorker) -> None:
    await worker.join()
    request = await asked(gw, worker)
    await worker.ack(request)
    await worker.reply(request)
    await gw.runs[0].done()
    assert await worker.extend(request.request_id, request.lease_id) is None
    assert await worker.extend("unknown", request.lease_id) is None
    await worker.nothing()


async def test_an_expired_lease_is_revived_by_any_worker_that_asks(gw: Gateway, worker: RawWorker) -> None:
    gw.lease_duration, gw.lease_grace = 0.01, 10
    await worker.join()
    request = await asked(gw, worker)
    await worker.ack(request)
    await asyncio.sleep(0.02)
    assert await worker.extend(request.request_id, ulid.new())


async def test_a_lease_id_that_is_no_ulid_closes_the_connection(worker: RawWorker) -> None:
    await worker.join()
    with pytest.raises(Exception, match="1008 connect_worker_request_extend_lease_invalid_payload"):
        await worker.extend("any", "no-ulid")


@pytest.mark.parametrize(
    ("kind", "end"),
    [
        (Kind.WORKER_REQUEST_ACK, (1008, "connect_worker_request_ack_invalid_payload")),
        (Kind.WORKER_REQUEST_EXTEND_LEASE, (1008, "connect_worker_request_extend_lease_invalid_payload")),
        (Kind.WORKER_REPLY, (1011, "connect_internal_error")),
    ],
)
async def test_an_undecodable_payload_closes_with_its_own_reason(
    worker: RawWorker, kind: int, end: tuple[int, str]
) -> None:
    await worker.join()
    await worker.send(kind, b"\xff\xff")
    assert await worker.end() == end


async def test_unknown_kinds_bad_statuses_and_text_frames_are_taken(worker: RawWorker) -> None:
    await worker.join()
    await worker.send(99, b"anything")
    await worker.send(Kind.WORKER_STATUS, b"\xff\xff")
    await worker.socket.send_str("\x08\x09")
    await worker.expect(Kind.GATEWAY_HEARTBEAT)


async def test_a_message_of_eight_mebibytes_passes_and_a_byte_more_closes_1009(worker: RawWorker) -> None:
    limit = 8_388_608
    await worker.join()
    await worker.socket.send_bytes(b"\x08\x63\x12\xf8\xff\xff\x03" + b"\0" * (limit - 8) + b"")
    await worker.nothing()
    await worker.socket.send_bytes(b"\0" * (limit + 1))
    assert await worker.end() == (1009, "read limited at 8388609 bytes")


@pytest.mark.parametrize("fresh", [False, True])
async def test_a_request_is_redelivered_on_demand_with_its_lease_or_a_newer_one(
    gw: Gateway, worker: RawWorker, fresh: bool
) -> None:
    await worker.join()
    request = await asked(gw, worker)
    await worker.ack(request)
    await gw.redeliver(request.request_id, fresh_lease=fresh)
    again = await worker.expect(REQUEST)
    assert again.request_id == request.request_id
    assert (again.lease_id != request.lease_id) is fresh
    assert await worker.extend(request.request_id, again.lease_id)


async def test_a_request_is_redelivered_over_a_connection_of_choice(gw: Gateway, another: Another) -> None:
    worker = await another().join()
    request = await asked(gw, worker)
    other = await another().join()
    for receiver, connection in zip((worker, other), gw.connections, strict=True):
        await gw.redeliver(request.request_id, connection)
        assert (await receiver.expect(REQUEST)).request_id == request.request_id


async def test_a_finished_request_can_be_redelivered_and_its_second_reply_is_a_duplicate(
    gw: Gateway, worker: RawWorker
) -> None:
    await worker.join()
    request = await asked(gw, worker)
    await worker.ack(request)
    await worker.reply(request, 1)
    await gw.runs[0].done()
    await gw.redeliver(request.request_id, fresh_lease=True)
    again = await worker.expect(REQUEST)
    await worker.ack(again)
    await worker.reply(again, 1)
    entry = gw.ledger[request.request_id]
    assert (entry.duplicates, len(entry.acked), len(entry.dispatched)) == (1, 2, 2)


async def test_a_thousand_requests_at_once_find_their_replies(gw: Gateway, worker: RawWorker) -> None:
    await worker.join()
    count = 1000

    async def work() -> None:
        while True:
            kind, request = await worker.receive()
            if kind == REQUEST:
                await worker.ack(request)
                await worker.send(Kind.WORKER_REPLY, response(request, request.run_id))

    working = asyncio.create_task(work())
    runs = await asyncio.gather(*(gw.invoke("app-fn") for _ in range(count)))
    working.cancel()
    assert all(run.output == run.id for run in runs)
    summary = gw.ledger.summary()
    assert (summary["accepted"], summary["socket"], summary["lost"], summary["duplicates"]) == (count, count, 0, 0)
