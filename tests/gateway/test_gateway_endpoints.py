"""The gateway answers POST /v0/connect/start and /v0/connect/flush (PROTOCOL.md §1, 8.2)."""

import asyncio
import hashlib
import json

import aiohttp
import pytest
from raw_worker import RawWorker, response

from connect.gateway import HANG, Answer, Gateway, Kind
from connect.wire import FlushResponse, GatewayExecutorRequestData, SDKResponse, StartRequest

KEY = "signkey-test-" + "ab" * 32
HASHED = hashlib.sha256(bytes.fromhex("ab" * 32)).hexdigest()


async def test_without_signing_keys_everyone_is_let_in_and_the_bearer_comes_back(worker: RawWorker) -> None:
    assert (await worker.start())[0] == 200
    assert worker.started.sync_token == ""
    await worker.start(bearer="whatever")
    assert worker.started.sync_token == "whatever"
    assert worker.started.gateway_group == "gw-dev"


@pytest.mark.parametrize("bearer", [HASHED, f"signkey-test-{HASHED}", KEY])
async def test_a_key_is_known_hashed_or_plain_with_its_prefix_or_without(
    gw: Gateway, worker: RawWorker, bearer: str
) -> None:
    gw.signing_keys = [KEY]
    assert (await worker.start(bearer=bearer))[0] == 200


@pytest.mark.parametrize("bearer", [None, "f" * 64])
async def test_a_wrong_key_is_401(gw: Gateway, worker: RawWorker, bearer: str | None) -> None:
    gw.signing_keys = [KEY]
    status, body = await worker.start(bearer=bearer)
    assert (status, json.loads(body)["status"]) == (401, 401)
    assert (await worker.flush(SDKResponse(request_id="x", system_trace_ctx=b"{}")))[0] == 401


async def test_answers_come_in_line_then_the_standing_one(gw: Gateway, worker: RawWorker) -> None:
    gw.starts.push(429, Answer(body=b"\xff\xff"), 500)
    gw.starts.standing = Answer(503)
    answers = [await worker.start() if n != 1 else await worker.start(body=b"") for n in range(5)]
    assert [status for status, _ in answers] == [429, 200, 500, 503, 503]
    assert answers[1][1] == b"\xff\xff"
    gw.starts.clear()
    assert (await worker.start())[0] == 200


async def test_a_body_that_is_no_start_request_is_400_and_a_get_405(gw: Gateway, worker: RawWorker) -> None:
    assert (await worker.start(body=b"\xff\xff"))[0] == 400
    async with worker.session.get(f"{gw.url}/v0/connect/start") as answer:
        assert answer.status == 405


async def test_answers_may_be_late_or_never_come(gw: Gateway, worker: RawWorker) -> None:
    gw.starts.push(Answer(delay=0.03), HANG)
    before = asyncio.get_running_loop().time()
    await worker.start()
    assert asyncio.get_running_loop().time() - before >= 0.03
    hung = asyncio.create_task(worker.start())
    await gw.until(lambda: len(gw.calls("start")) == 2)
    await gw.stop()
    with pytest.raises(aiohttp.ClientError):
        await hung


async def test_answers_are_held_until_they_are_released(gw: Gateway, worker: RawWorker) -> None:
    """The answer is the one that the script has at the moment of the release."""
    gw.starts.hold()
    held = asyncio.create_task(worker.start())
    gw.flushes.push(503)
    assert (await worker.flush(SDKResponse(request_id="x", system_trace_ctx=b"{}")))[0] == 503
    assert not held.done()
    gw.starts.push(429)
    gw.starts.release()
    assert (await held)[0] == 429
    assert (await worker.start())[0] == 200


async def test_a_gateway_that_stops_holds_nothing_any_longer(gw: Gateway, worker: RawWorker) -> None:
    gw.starts.hold()
    held = asyncio.create_task(worker.start())
    assert (await worker.flush(SDKResponse(request_id="x", system_trace_ctx=b"{}")))[0] == 200
    await gw.stop()
    with pytest.raises(aiohttp.ClientError):
        await held
    await gw.start()
    assert (await worker.start())[0] == 200


async def test_groups_go_round_and_exclusions_are_respected_while_another_is_left(
    gw: Gateway, worker: RawWorker
) -> None:
    gw.groups = ("red", "blue")

    async def group(*exclude: str) -> str:
        await worker.start(exclude)
        return worker.started.gateway_group

    assert {await group(), await group()} == {"red", "blue"}
    assert [await group("red"), await group("red")] == ["blue", "blue"]
    assert await group("red", "blue") in ("red", "blue")
    gw.respect_exclusions = False
    assert {await group("red"), await group("red")} == {"red", "blue"}
    last = gw.calls("start")[-1].message
    assert isinstance(last, StartRequest)
    assert list(last.exclude_gateways) == ["red"]
    await worker.join()
    assert gw.connections[0].group == worker.started.gateway_group


async def test_headers_are_on_record_and_not_in_the_repr(gw: Gateway, worker: RawWorker) -> None:
    await worker.start(bearer="secret-key")
    [call] = gw.calls("start")
    assert call.headers["authorization"] == "Bearer secret-key"
    assert "secret" not in repr(call)


async def test_a_refused_upgrade_is_an_http_status(gw: Gateway, worker: RawWorker) -> None:
    gw.sockets.push(503)
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await worker.open()
    assert refused.value.status == 503
    await worker.join()


# -- flush


@pytest.mark.parametrize(
    ("context", "status"),
    [(b"{}", 200), (b"null", 200), (b'{"a":"b"}', 200), (b"", 400), (b"[]", 400), (b"x", 400), (b"[" * 100_000, 400)],
)
async def test_flush_wants_an_object_or_null_as_the_system_trace_context(
    worker: RawWorker, context: bytes, status: int
) -> None:
    answered, body = await worker.flush(SDKResponse(request_id="x", system_trace_ctx=context))
    assert answered == status
    assert status == 400 or FlushResponse.FromString(body).request_id == "x"


@pytest.mark.parametrize("body", [b"", b"\xff\xff"])
async def test_flush_without_a_reply_is_400(worker: RawWorker, body: bytes) -> None:
    assert (await worker.flush(body))[0] == 400


async def test_the_first_reply_wins_over_whichever_way(gw: Gateway, worker: RawWorker) -> None:
    await worker.join()
    run = gw.start_run("app-fn")
    request = await worker.expect(Kind.GATEWAY_EXECUTOR_REQUEST)
    await worker.ack(request)
    assert (await worker.flush(response(request, "flushed")))[0] == 200
    await worker.reply(request, "sent")
    assert (await worker.flush(response(request, "flushed again")))[0] == 200
    assert (await run.done()).output == "flushed"
    entry = gw.ledger[request.request_id]
    assert (entry.via, entry.duplicates, entry.status, len(entry.acked)) == ("flush", 2, "replied", 1)
    assert gw.ledger.summary() == {
        "requests": 1,
        "accepted": 1,
        "lost": 0,
        "socket": 0,
        "flush": 1,
        "duplicates": 2,
        "nacked": 0,
        "unrouted": 0,
        "strangers": 0,
        "replied": 1,
    }


async def test_a_reply_to_nothing_is_acknowledged_and_counted(gw: Gateway, worker: RawWorker) -> None:
    await worker.join()
    await worker.reply(GatewayExecutorRequestData(request_id="nobody"))
    assert gw.ledger.strangers == ["nobody"]


async def test_flush_answers_by_script(gw: Gateway, worker: RawWorker) -> None:
    gw.flushes.push(400, 401, 500)
    reply = SDKResponse(request_id="x", system_trace_ctx=b"{}")
    assert [(await worker.flush(reply))[0] for _ in range(4)] == [400, 401, 500, 200]
    assert gw.ledger.strangers == ["x"]
