"""Bad input from a peer, or from the user's own code, is reported and costs no work."""

import asyncio
import contextlib
import hashlib
import logging
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import WSMsgType, web
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rig import PATIENT, QUICK, Apps

from connect import events, wire
from connect.errors import HandshakeTimeout, LinkLost, ProtocolError
from connect.gateway import GARBAGE, Answer, Gateway, Kind, Opened
from connect.log_format import REPEATS

PRIMARY, FALLBACK = "ab" * 32, "cd" * 32


# -- endpoints (a granted one: test_worker_faults_connecting) -------------------------------------------------------------------


async def test_a_rewritten_endpoint_that_is_none_is_an_error_of_that_attempt(gw: Gateway, start: Any) -> None:
    wrong = iter(["http", "ftp"])

    def rewrite(granted: str) -> str:
        return granted.replace("ws:", f"{next(wrong, 'ws')}:")

    worker = await start(rewrite_gateway_endpoint=rewrite)
    assert [type(event.error) for event in worker.heard(events.Reconnecting)] == [ProtocolError] * 2


async def test_a_rewriting_that_raises_is_an_error_of_that_attempt(gw: Gateway, start: Any) -> None:
    faults = iter([RuntimeError("mine")])

    def rewrite(granted: str) -> str:
        for fault in faults:
            raise fault
        return granted

    worker = await start(rewrite_gateway_endpoint=rewrite)
    assert [str(event.error) for event in worker.heard(events.Reconnecting)] == ["mine"]


async def test_a_gateway_url_without_a_path_gets_one(gw: Gateway, start: Any) -> None:
    await start(gateway_url=gw.url.replace("http", "ws"))
    assert (await gw.invoke("app-echo", {"value": 1})).output == 1


# -- frames ------------------------------------------------------------------------------------------------------------------

UNKNOWN = "01JZZZZZZZZZZZZZZZZZZZZZZZ"
FRAMES: dict[str, bytes | str] = {
    **GARBAGE,
    "seven mebibytes of a kind unknown": wire.ConnectMessage(
        kind=77, payload=bytes(7 * 1024 * 1024)
    ).SerializeToString(),  # type: ignore[arg-type]
    "seven mebibytes of text": "x" * (7 * 1024 * 1024),
    "reply ACK for a request unknown": wire.ConnectMessage(
        kind=Kind.WORKER_REPLY_ACK, payload=wire.WorkerReplyAckData(request_id=UNKNOWN).SerializeToString()
    ).SerializeToString(),
    "lease ACK for a request unknown": wire.ConnectMessage(
        kind=Kind.WORKER_REQUEST_EXTEND_LEASE_ACK,
        payload=wire.WorkerRequestExtendLeaseAckData(request_id=UNKNOWN, new_lease_id=UNKNOWN).SerializeToString(),
    ).SerializeToString(),
    "nack for a request unknown": wire.ConnectMessage(
        kind=Kind.WORKER_REQUEST_EXTEND_LEASE_ACK,
        payload=wire.WorkerRequestExtendLeaseAckData(request_id=UNKNOWN).SerializeToString(),
    ).SerializeToString(),
    "a kind below zero": bytes((8, *[255] * 9, 1)),
    **{
        f"a request with {name} of two mebibytes": wire.ConnectMessage(
            kind=Kind.GATEWAY_EXECUTOR_REQUEST,
            payload=wire.GatewayExecutorRequestData(
                **{"request_id": UNKNOWN, "function_slug": "app-echo", "app_name": "app", name: "x" * 2**21}
            ).SerializeToString(),
        ).SerializeToString()
        for name in ("request_id", "run_id", "app_name", "function_slug", "lease_id")
    },
}


@pytest.mark.parametrize("name", FRAMES)
@pytest.mark.usefixtures("quiet")
async def test_a_frame_without_sense_changes_nothing(gw: Gateway, start: Any, held: Any, name: str) -> None:
    """The link stays, and so does the work in flight."""
    worker = await start(deadlines=PATIENT)
    run = gw.start_run("app-hold")
    await held.running()
    await gw.connections[0].send_raw(FRAMES[name])
    assert (await gw.invoke("app-echo", {"value": 1})).output == 1
    held.release.set()
    assert (await run.done()).output == "held"
    assert len(worker.heard(events.Connected)) == 1
    assert not worker.heard(events.Disconnected)
    assert not worker.heard(events.LeaseLost)


@pytest.mark.parametrize("name", ["no protobuf", "text", "truncated frame", "unknown kind"])
@pytest.mark.usefixtures("quiet")
async def test_a_frame_without_sense_is_logged_as_what_may_come_again(
    gw: Gateway, start: Any, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    await start()
    await gw.connections[0].send_raw(GARBAGE[name])
    await gw.invoke("app-echo", {"value": 1})
    (said,) = [record for record in caplog.records if "ignored a frame that means nothing here" in record.getMessage()]
    assert said.levelname == "WARNING"
    assert said.__dict__.items() >= REPEATS.items(), "a gateway that sends one with each request would fill the log"


@pytest.mark.parametrize("name", FRAMES)
async def test_a_frame_without_sense_in_the_handshake_costs_that_attempt_at_most(
    gw: Gateway, start: Any, name: str
) -> None:
    gw.faults.delay(Kind.GATEWAY_CONNECTION_READY, 0.1)
    worker = await start(ready=False)
    await gw.wait_for(Kind.WORKER_CONNECT)
    await gw.connections[0].send_raw(FRAMES[name])
    await worker.hears(events.Connected)
    await gw.wait_for_worker()
    assert (await gw.invoke("app-echo", {"value": 1})).output == 1
    assert len(worker.heard(events.Reconnecting)) <= 1


@pytest.mark.usefixtures("quiet")
async def test_a_frame_too_large_to_be_read_costs_its_link(gw: Gateway, start: Any) -> None:
    worker = await start()
    with contextlib.suppress(ConnectionError):
        await gw.connections[0].send_raw(bytes(17 * 1024 * 1024))
    await worker.hears(events.Connected, 2)
    await gw.wait_for_worker()
    assert (await gw.invoke("app-echo", {"value": 1})).output == 1


anything = st.binary(max_size=100) | st.builds(
    lambda kind, payload: wire.ConnectMessage(kind=kind, payload=payload).SerializeToString(),
    st.integers(0, 20),
    st.binary(max_size=60),
)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(frames=st.lists(anything, min_size=5, max_size=30))
async def test_no_bytes_at_all_stop_a_worker(gw: Gateway, start: Any, frames: list[bytes]) -> None:
    """The frames are random; some of them are valid, such as a GATEWAY_CLOSING."""
    worker = await start(deadlines=QUICK)
    for frame in frames:
        with contextlib.suppress(ConnectionError):
            await gw.connections[-1].send_raw(frame)
    assert (await gw.invoke("app-echo", {"value": 1})).output == 1
    await worker.close(wait=True)
    assert worker.status().unexpected_events == 0


# -- intervals ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("interval", ["", "nonsense", "0s", "1m30s", "-1s", "1ns", "9" * 100])
async def test_an_interval_of_any_kind_is_lived_with(gw: Gateway, start: Any, interval: str) -> None:
    gw.heartbeat_interval = gw.extend_lease_interval = gw.status_interval = interval
    gw.heartbeat_timeout = 5.0
    await start()
    assert (await gw.invoke("app-echo", {"value": 1})).output == 1


async def test_an_interval_of_a_nanosecond_does_not_spin(gw: Gateway, start: Any, held: Any) -> None:
    gw.heartbeat_interval = gw.extend_lease_interval = gw.status_interval = "1ns"
    gw.heartbeat_timeout = 5.0
    await start()
    run = gw.start_run("app-hold")
    await held.running()
    for kind in (Kind.WORKER_HEARTBEAT, Kind.WORKER_REQUEST_EXTEND_LEASE, Kind.WORKER_STATUS):
        await gw.wait_for(kind, count=20)
        frames = gw.frames(kind)
        assert frames[19].at - frames[0].at > 0.1
    held.release.set()
    assert (await run.done()).output == "held"


# -- peers that are not quite what they should be ------------------------------------------------------------------------------


@asynccontextmanager
async def a_bare_gateway(*frames: bytes | str, hold: bool = True) -> AsyncIterator[str]:
    """A server that knows start and a WebSocket without any subprotocol, on which it says *frames*; its URL."""

    async def begin(request: web.Request) -> web.Response:
        grant = wire.StartResponse(connection_id="c", gateway_endpoint=f"ws://{request.host}/v0/connect")
        return web.Response(body=grant.SerializeToString())

    async def upgrade(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        for frame in frames:
            await (socket.send_str(frame) if isinstance(frame, str) else socket.send_bytes(frame))
        while hold and (await socket.receive()).type is WSMsgType.BINARY:
            pass
        return socket

    app = web.Application()
    app.add_routes([web.post("/v0/connect/start", begin), web.get("/v0/connect", upgrade)])
    runner = web.AppRunner(app, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


READY = wire.ConnectMessage(kind=Kind.GATEWAY_CONNECTION_READY).SerializeToString()
REQUEST = wire.ConnectMessage(kind=Kind.GATEWAY_EXECUTOR_REQUEST).SerializeToString()


async def test_a_server_that_answers_no_subprotocol_will_do(apps: Apps, start: Any) -> None:
    async with a_bare_gateway(b"", READY) as url:
        worker = await start(ready=False, api_base_url=url)
        await worker.hears(events.Connected)
        await worker.close(wait=True)


@pytest.mark.parametrize(
    ("frames", "error"),
    [
        ((READY,), ProtocolError),
        ((b"", b""), ProtocolError),
        ((REQUEST,), ProtocolError),
        ((b"", REQUEST), ProtocolError),
        ((), HandshakeTimeout),
        (("text", b"\xff"), HandshakeTimeout),
        ((b"",), HandshakeTimeout),
    ],
)
async def test_a_handshake_out_of_order_or_unfinished_is_an_error_of_that_attempt(
    apps: Apps, start: Any, frames: tuple[bytes | str, ...], error: type[Exception]
) -> None:
    async with a_bare_gateway(*frames) as url:
        worker = await start(ready=False, api_base_url=url, deadlines=replace(QUICK, hello=0.2, ready=0.2))
        failure = await worker.hears(events.Reconnecting, 2)
        assert type(failure.error) is error
        await worker.close(wait=True)


async def test_a_gateway_that_hangs_up_in_the_middle_of_its_greeting_is_an_error_of_that_attempt(
    apps: Apps, start: Any
) -> None:
    async with a_bare_gateway(b"", hold=False) as url:
        worker = await start(ready=False, api_base_url=url, deadlines=replace(QUICK, hello=0.3, ready=0.3))
        failure = await worker.hears(events.Reconnecting, 2)
        assert isinstance(failure.error, LinkLost)
        await worker.close(wait=True)


@asynccontextmanager
async def an_old_proxy(port: int) -> AsyncIterator[str]:
    """A proxy that speaks HTTP/1.0: one connection at a time, one request on each, and its end ends the answer; its URL."""
    turn = asyncio.Lock()
    tasks: set[asyncio.Task[Any]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(task := asyncio.current_task())  # type: ignore[arg-type]
        async with turn:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
            )
            back, forth = await asyncio.open_connection("127.0.0.1", port)
            forth.write(head.replace(b" HTTP/1.1", b" HTTP/1.0") + await reader.readexactly(length))
            writer.write((await back.read()).replace(b"HTTP/1.1", b"HTTP/1.0", 1))
            forth.close()
            await writer.drain()
            writer.close()
        tasks.discard(task)  # type: ignore[arg-type]

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await server.wait_closed()
        assert not tasks


@pytest.mark.usefixtures("quiet")  # whether heartbeats of 50 ms come in time is no question of this test
async def test_an_api_behind_an_old_proxy_will_do(gw: Gateway, start: Any) -> None:
    async with an_old_proxy(gw.port) as url:
        worker = await start(api_base_url=url, gateway_url=gw.url.replace("http", "ws"))
        gw.faults.lose(Kind.WORKER_REPLY, None)
        runs = [gw.start_run("app-echo", {"value": value}) for value in range(20)]
        assert [(await run.done()).output for run in runs] == list(range(20))
        await worker.close(wait=True)
    assert len(gw.calls("start")) == 1
    assert len(gw.calls("flush")) == 20


# -- replies -----------------------------------------------------------------------------------------------------------------


async def test_what_the_outbox_must_evict_is_an_error_line_and_an_event(
    gw: Gateway, start: Any, caplog: pytest.LogCaptureFixture
) -> None:
    worker = await start(outbox_limit=20_000)
    gw.faults.lose(Kind.WORKER_REPLY, None)
    gw.flushes.standing = Answer(status=500)
    first = gw.start_run("app-echo", {"value": "x" * 15_000})
    await worker.hears(events.ReplyBuffered)
    second = gw.start_run("app-echo", {"value": "y" * 15_000})
    lost = await worker.hears(events.ReplyLost)
    assert lost.request_id == first.requests[0]
    assert "outbox is full" in lost.reason
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len([text for text in errors if first.requests[0] in text and "outbox is full" in text]) == 1
    gw.flushes.clear()
    assert (await second.done()).output == "y" * 15_000


async def test_a_reply_that_the_server_refuses_for_good_is_given_up_and_reported(
    gw: Gateway, start: Any, caplog: pytest.LogCaptureFixture
) -> None:
    worker = await start()
    gw.faults.lose(Kind.WORKER_REPLY, None)
    gw.flushes.push(400)
    run = gw.start_run("app-echo", {"value": 1})
    lost = await worker.hears(events.ReplyLost)
    assert lost.request_id == run.requests[0]
    assert "400" in lost.reason
    assert [record.levelname for record in caplog.records if lost.request_id in record.getMessage()][-1] == "ERROR"
    await worker.close(wait=True)
    assert [call.status for call in gw.calls("flush")] == [400]
    assert worker.status().outbox_replies == 0


async def test_replies_whose_acks_are_lost_are_flushed(gw: Gateway, start: Any) -> None:
    worker = await start()
    gw.faults.lose(Kind.WORKER_REPLY_ACK, None)
    for value in range(5):
        assert (await gw.invoke("app-echo", {"value": value})).output == value
    await worker.hears(events.ReplyFlushed, 5)
    await worker.close(wait=True)
    assert gw.ledger.summary()["duplicates"] == 5
    assert worker.status().outbox_replies == 0


async def test_a_flush_turns_to_the_fallback_key_at_once(gw: Gateway, start: Any) -> None:
    gw.signing_keys = (PRIMARY,)
    worker = await start(signing_key=PRIMARY, signing_key_fallback=FALLBACK)
    gw.signing_keys = (FALLBACK,)
    gw.faults.lose(Kind.WORKER_REPLY)
    assert (await gw.invoke("app-echo", {"value": 1})).output == 1
    await worker.hears(events.ReplyFlushed)
    assert [call.status for call in gw.calls("flush")] == [401, 200]


# -- secrets -----------------------------------------------------------------------------------------------------------------


async def test_no_secret_is_shown(gw: Gateway, start: Any, held: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The worker meets every trouble with keys, and logs at DEBUG."""
    caplog.set_level(logging.DEBUG)
    gw.signing_keys = (FALLBACK,)
    worker = await start(
        signing_key=f"signkey-prod-{PRIMARY}", signing_key_fallback=f"signkey-prod-{FALLBACK}", env="staging"
    )
    run = gw.start_run("app-hold")
    await held.running()
    gw.flushes.push(401, 401, 500)
    gw.faults.cut(Kind.WORKER_REPLY)
    gw.starts.push(401, 401, 429, Answer(body=b"\xff"))
    held.release.set()
    await run.done()
    await worker.hears(events.Connected, 2)
    shown = [repr(worker.connection), repr(worker.status()), repr(worker.connection._known)]
    await worker.close(wait=True)
    shown += [caplog.text, *map(repr, worker.told), *map(str, worker.told), repr(worker.connection._known)]

    introduction = gw.frames(Kind.WORKER_CONNECT)[0].message
    assert isinstance(introduction, wire.WorkerConnectRequestData)
    hashes = [hashlib.sha256(bytes.fromhex(key)).hexdigest() for key in (PRIMARY, FALLBACK)]
    tokens = [introduction.auth_data.session_token, introduction.auth_data.sync_token]
    for secret in (PRIMARY, FALLBACK, *hashes, *tokens):
        assert len(secret) > 20
        assert not any(secret in text for text in shown)


@pytest.fixture
async def suspicious_proxy() -> AsyncIterator[str]:
    """The address, with a password, of a proxy that refuses every request."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        yield f"http://me:p@zzyzx@127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize("stage", ["start", "socket"])
async def test_no_password_of_a_proxy_or_an_address_is_shown(
    gw: Gateway,
    start: Any,
    suspicious_proxy: str,
    stage: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """aiohttp's error shows the whole address of a proxy that refuses."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("HTTPS_PROXY", suspicious_proxy)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    addresses = {
        "start": {"api_base_url": "https://me:p@zzyzx@api.invalid"},
        "socket": {"gateway_url": "wss://me:p@zzyzx@gateway.invalid"},
    }
    worker = await start(ready=False, **addresses[stage])
    failed = await worker.hears(events.Reconnecting)
    chained = "".join(traceback.format_exception(failed.error))
    assert "407" in chained
    for shown in (caplog.text, chained, repr(worker.told), repr(worker.status())):
        assert "zzyzx" not in shown


async def test_a_socket_is_not_opened_more_often_than_needed(gw: Gateway, start: Any) -> None:
    await start()
    assert len(gw.calls("start")) == 1
    assert sum(isinstance(record, Opened) for record in gw.log) == 1
