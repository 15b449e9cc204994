"""The gateway answers heartbeats, drains and stops; a test can make it misbehave (PROTOCOL.md §5, 9)."""

import asyncio
from collections.abc import Callable

import aiohttp
import pytest
from raw_worker import RawWorker, encoded, response

from connect.gateway import GARBAGE, Ended, Gateway, Kind
from connect.wire import SDKResponseStatus, WorkerReplyAckData

Another = Callable[..., RawWorker]
CLOSING = (1001, "connect_gateway_closing")


async def test_five_missed_intervals_drop_the_connection_without_a_close_frame(gw: Gateway, worker: RawWorker) -> None:
    gw.heartbeat_interval = "20ms"
    await worker.join()
    ready = gw.frames(Kind.GATEWAY_CONNECTION_READY)[0].at
    assert await worker.end() == (1006, "")
    end = await gw.wait_for(lambda record: isinstance(record, Ended))
    assert end.at - ready >= 0.099
    assert isinstance(end, Ended)
    assert end.by == "gateway"


async def test_heartbeats_keep_a_connection_alive_also_after_pause(gw: Gateway, worker: RawWorker) -> None:
    gw.heartbeat_timeout = 0.4
    await worker.join()
    for beat in range(6):
        await asyncio.sleep(0.1)
        await worker.nothing()
        if beat == 3:
            await worker.send(Kind.WORKER_PAUSE)
    assert not gw.connections[0].routable


async def test_pause_cannot_be_undone(gw: Gateway, worker: RawWorker) -> None:
    await worker.join()
    await worker.send(Kind.WORKER_PAUSE)
    await worker.send(Kind.WORKER_READY)
    await worker.nothing()
    assert not gw.connections[0].routable


async def test_a_drain_announces_itself_answers_on_and_closes_1001_after_its_window(
    gw: Gateway, another: Another
) -> None:
    old = await another().join()
    run = gw.start_run("app-fn")
    request = await old.expect(Kind.GATEWAY_EXECUTOR_REQUEST)
    await old.ack(request)
    await gw.wait_for(Kind.WORKER_REQUEST_ACK)
    await gw.drain(window=0.5)
    await old.expect(Kind.GATEWAY_CLOSING)
    await old.nothing()
    assert await old.extend(request.request_id, request.lease_id)
    await old.reply(request, 5)
    assert (await run.done()).output == 5
    new = await another().join()
    assert await old.end() == CLOSING
    await new.nothing()


async def test_no_request_reaches_a_draining_connection(gw: Gateway, another: Another) -> None:
    old = await another().join()
    await gw.drain()
    await old.expect(Kind.GATEWAY_CLOSING)
    gw.start_run("app-fn")
    new = await another().join()
    await new.expect(Kind.GATEWAY_EXECUTOR_REQUEST)
    await old.nothing()


async def test_worker_ready_on_a_draining_connection_closes_it(gw: Gateway, worker: RawWorker) -> None:
    await worker.join(worker_manual_readiness_ack=True)
    await gw.drain()
    await worker.expect(Kind.GATEWAY_CLOSING)
    await worker.send(Kind.WORKER_READY)
    assert await worker.end() == CLOSING


async def test_a_drain_drops_who_has_not_said_worker_connect(gw: Gateway, worker: RawWorker) -> None:
    await worker.open()
    await worker.expect(Kind.GATEWAY_HELLO)
    await gw.drain()
    assert await worker.end() == (1006, "")


async def test_a_drain_that_refuses_closes_upgrades_without_hello_until_it_is_over(
    gw: Gateway, another: Another
) -> None:
    await gw.drain(refuse=True)
    refused = another()
    await refused.open()
    assert await refused.end() == CLOSING
    async with refused.session.get(f"{gw.url}/ready") as answer:
        assert answer.status == 503
    gw.undrain()
    await another().join()
    async with refused.session.get(f"{gw.url}/ready") as answer:
        assert answer.status == 200


async def test_stopped_it_is_gone_and_started_again_it_is_back_on_its_port(gw: Gateway, another: Another) -> None:
    worker = await another().join()
    run, port = gw.start_run("app-fn"), gw.port
    request = await worker.expect(Kind.GATEWAY_EXECUTOR_REQUEST)
    await gw.stop()
    assert await worker.end() == (1006, "")
    with pytest.raises(aiohttp.ClientConnectorError):
        await worker.start()
    await gw.start()
    assert gw.port == port
    worker = await another().join()
    assert (await worker.expect(Kind.GATEWAY_EXECUTOR_REQUEST)).request_id == request.request_id
    await worker.reply(request, "after all")
    assert (await run.done()).output == "after all"


async def test_closing_cancels_what_still_runs(gw: Gateway, worker: RawWorker) -> None:
    await worker.join()
    run = gw.start_run("app-fn")
    request = await worker.expect(Kind.GATEWAY_EXECUTOR_REQUEST)
    await gw.close()
    assert (await run.done()).status == "cancelled"
    assert gw.ledger[request.request_id].status == "cancelled"
    await gw.close()


async def test_closing_also_ends_a_failed_run_whose_failure_handler_still_runs(gw: Gateway, worker: RawWorker) -> None:
    await worker.join("app-fn", "app-fn-failure")
    run = gw.start_run("app-fn")
    request = await worker.expect(Kind.GATEWAY_EXECUTOR_REQUEST)
    await worker.reply(request, {"message": "m"}, SDKResponseStatus.ERROR, no_retry=True)
    await worker.expect(Kind.GATEWAY_EXECUTOR_REQUEST)
    await gw.close()
    await run.done()
    assert run.on_failure is not None
    assert (run.status, run.on_failure.status) == ("failed", "cancelled")


# -- misbehaviour


async def test_a_connection_is_closed_with_any_code_and_reason(gw: Gateway, worker: RawWorker) -> None:
    await worker.join()
    closing = asyncio.create_task(gw.connections[0].close(4321, "because"))
    assert await worker.end() == (4321, "because")
    await closing


async def test_a_muted_connection_reads_and_answers_nothing(gw: Gateway, worker: RawWorker) -> None:
    await worker.join()
    gw.connections[0].mute()
    await worker.send(Kind.WORKER_HEARTBEAT)
    await gw.until(lambda: bool(gw.frames(Kind.GATEWAY_HEARTBEAT, swallowed=True)))
    assert not gw.frames(Kind.GATEWAY_HEARTBEAT)
    gw.connections[0].resume()
    await worker.nothing()


async def test_a_stalled_connection_reads_nothing_until_it_is_resumed(gw: Gateway, another: Another) -> None:
    stalled, other = await another().join(), await another().join()
    gw.connections[0].stall()
    await stalled.send(Kind.WORKER_HEARTBEAT)
    await other.nothing()
    assert len(gw.frames(Kind.WORKER_HEARTBEAT)) == 1
    gw.connections[0].resume()
    await stalled.expect(Kind.GATEWAY_HEARTBEAT)


async def test_a_stalled_connection_does_not_hold_up_the_end(gw: Gateway, worker: RawWorker) -> None:
    await worker.join()
    gw.connections[0].stall()
    await worker.send(Kind.WORKER_HEARTBEAT)
    started = asyncio.get_running_loop().time()
    await gw.stop()
    assert asyncio.get_running_loop().time() - started < 0.9
    assert await worker.end() == (1006, "")


async def test_lost_answers_are_lost_as_often_as_asked(gw: Gateway, worker: RawWorker) -> None:
    await worker.join()
    gw.faults.lose(Kind.GATEWAY_HEARTBEAT, count=2)
    for _ in range(2):
        await worker.send(Kind.WORKER_HEARTBEAT)
    await worker.nothing()
    assert [frame.fault for frame in gw.frames(Kind.GATEWAY_HEARTBEAT, swallowed=True)] == ["lose", "lose", ""]


async def test_faults_of_one_connection_spare_the_others_and_clearing_ends_them(gw: Gateway, another: Another) -> None:
    hit, spared = await another().join(), await another().join()
    gw.faults.lose(Kind.GATEWAY_HEARTBEAT, count=None, connection=gw.connections[0])
    await hit.send(Kind.WORKER_HEARTBEAT)
    await gw.wait_for(Kind.WORKER_HEARTBEAT)
    await spared.nothing()
    gw.faults.clear()
    await hit.nothing()


async def test_a_delayed_acknowledgement_is_overtaken_by_pause(gw: Gateway, another: Another) -> None:
    """It is the race of PROTOCOL.md §10: the gateway gives the request to another worker although this one runs it."""
    pausing, other = await another().join(), another()
    gw.faults.delay(Kind.WORKER_REQUEST_ACK, 5.0)
    run = gw.start_run("app-fn")
    request = await pausing.expect(Kind.GATEWAY_EXECUTOR_REQUEST)
    await pausing.ack(request)
    await pausing.send(Kind.WORKER_PAUSE)
    await other.join()
    again = await other.expect(Kind.GATEWAY_EXECUTOR_REQUEST)
    assert again.request_id == request.request_id
    await pausing.reply(request, "first")
    await other.reply(again, "second")
    assert (await run.done()).output == "first"


async def test_a_cut_ends_the_connection_at_the_very_frame(gw: Gateway, another: Another) -> None:
    worker = await another().join()
    gw.faults.cut(Kind.WORKER_REPLY)
    run = gw.start_run("app-fn")
    request = await worker.expect(Kind.GATEWAY_EXECUTOR_REQUEST)
    await worker.ack(request)
    await worker.send(Kind.WORKER_REPLY, b"")
    assert await worker.end() == (1006, "")
    assert gw.ledger[request.request_id].reply is None
    worker = await another().join()
    gw.faults.cut(Kind.WORKER_REPLY_ACK, code=1011, reason="connect_internal_error")
    with pytest.raises(Exception, match="1011 connect_internal_error"):
        await worker.reply(request, "stored")
    assert (await run.done()).output == "stored"


async def test_a_lie_is_sent_instead_or_besides(gw: Gateway, worker: RawWorker) -> None:
    await worker.join()
    gw.faults.replace(Kind.WORKER_REPLY_ACK, WorkerReplyAckData(request_id="another"))
    gw.start_run("app-fn")
    request = await worker.expect(Kind.GATEWAY_EXECUTOR_REQUEST)
    await worker.send(Kind.WORKER_REPLY, response(request))
    assert (await worker.expect(Kind.WORKER_REPLY_ACK)).request_id == "another"
    await gw.connections[0].send(99, b"news")
    assert (await worker.receive())[0] == 99


async def test_extensions_are_nacked_on_demand(gw: Gateway, worker: RawWorker) -> None:
    await worker.join()
    gw.start_run("app-fn")
    request = await worker.expect(Kind.GATEWAY_EXECUTOR_REQUEST)
    gw.faults.nack()
    assert await worker.extend(request.request_id, request.lease_id) is None
    assert await worker.extend(request.request_id, request.lease_id)


@pytest.mark.parametrize("name", GARBAGE)
async def test_garbage_is_sent_as_it_is(gw: Gateway, worker: RawWorker, name: str) -> None:
    await worker.join()
    await gw.connections[0].send_raw(GARBAGE[name])
    assert (await worker.socket.receive()).data == GARBAGE[name]


async def test_doubled_frames_from_the_worker_count_twice(gw: Gateway, worker: RawWorker) -> None:
    await worker.join()
    gw.faults.repeat(Kind.WORKER_HEARTBEAT)
    await worker.socket.send_bytes(encoded(Kind.WORKER_HEARTBEAT))
    await worker.expect(Kind.GATEWAY_HEARTBEAT)
    await worker.expect(Kind.GATEWAY_HEARTBEAT)


async def test_waiting_says_what_did_not_come_and_how_the_log_ends(gw: Gateway, worker: RawWorker) -> None:
    await worker.join()
    with pytest.raises(TimeoutError, match=r"no WORKER_PAUSE within 0\.01 s(.|\n)*GATEWAY_CONNECTION_READY"):
        await gw.wait_for(Kind.WORKER_PAUSE, timeout=0.01)


async def test_waiting_looks_back_counts_and_can_start_from_a_mark(gw: Gateway, worker: RawWorker) -> None:
    await worker.join()
    await worker.nothing()
    first = await gw.wait_for(Kind.WORKER_HEARTBEAT)
    mark = gw.mark
    waiting = asyncio.create_task(gw.wait_for(Kind.WORKER_HEARTBEAT, count=2, since=mark))
    await worker.nothing()
    await worker.nothing()
    assert (await waiting).at > first.at
    assert len(gw.frames(Kind.WORKER_HEARTBEAT)) == 3
    assert len(gw.frames(Kind.WORKER_HEARTBEAT, since=mark)) == 2


async def test_a_predicate_that_raises_fails_the_waiter_and_not_the_gateway(gw: Gateway, worker: RawWorker) -> None:
    waiting = asyncio.create_task(gw.wait_for(lambda _: bool(1 / 0)))
    await asyncio.sleep(0)
    await worker.join()
    with pytest.raises(ZeroDivisionError):
        await waiting


async def test_the_log_and_the_ledger_are_bounded() -> None:
    async with Gateway(log_capacity=3, ledger_capacity=2) as gw, aiohttp.ClientSession() as session:
        worker = await RawWorker(gw, session).join()
        for _ in range(3):
            gw.start_run("app-fn")
            await worker.expect(Kind.GATEWAY_EXECUTOR_REQUEST)
        assert (len(gw.log), len(gw.ledger), len(gw.runs)) == (3, 2, 2)
        assert gw.mark > 3
        await worker.leave()


async def test_acknowledgements_of_one_request_are_noted_so_often_and_no_more(gw: Gateway, worker: RawWorker) -> None:
    await worker.join()
    gw.start_run("app-fn")
    request = await worker.expect(Kind.GATEWAY_EXECUTOR_REQUEST)
    for _ in range(150):
        await worker.ack(request)
    await worker.reply(request)
    assert len(gw.ledger[request.request_id].acked) == 100
