"""The doctor finds what is wrong between a worker and its gateway."""

from typing import Any

import pytest
from aiohttp import WSMsgType, web

from connect import wire
from connect.doctor import Mark
from connect.gateway import HANG, UNREADABLE, Answer, Ended, Gateway, Kind
from connect.wire.codec import MESSAGE_LIMIT
from tests.doctor.conftest import SUBPROTOCOL, Serve, examine


async def socket_without_a_word(request: web.Request) -> web.WebSocketResponse:
    """A WebSocket server that knows no subprotocol and sends nothing."""
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for _ in socket:
        pass
    return socket


def granting(gw: Gateway, origin: str) -> None:
    """Have the API grant another gateway from now on."""
    gw.advertise = lambda _: origin.replace("http", "ws", 1)


async def test_without_register_it_leaves_after_the_hello(dev: Gateway, apps: Any) -> None:
    findings = await examine(apps=apps())
    assert findings.wrong == []
    assert findings["message size"].mark is Mark.GOOD
    end = await dev.wait_for(lambda record: isinstance(record, Ended))
    assert isinstance(end, Ended)
    assert (end.by, end.code, end.reason) == ("worker", 1000, "WORKER_SHUTDOWN")
    assert [frame.kind for frame in dev.frames()] == [Kind.GATEWAY_HELLO]
    assert not dev.functions


async def test_with_register_the_functions_are_synced_and_no_work_is_taken(dev: Gateway, apps: Any) -> None:
    findings = await examine(apps=apps(), register=True)
    assert findings.wrong == []
    assert "synced" in findings["registration"].found
    assert "answered after" in findings["heartbeat"].found
    assert list(dev.functions) == ["app-echo"]
    assert [frame.kind for frame in dev.frames()] == [
        Kind.GATEWAY_HELLO,
        Kind.WORKER_CONNECT,
        Kind.GATEWAY_CONNECTION_READY,
        Kind.WORKER_PAUSE,
        Kind.WORKER_HEARTBEAT,
        Kind.GATEWAY_HEARTBEAT,
    ]
    [introduced] = dev.frames(Kind.WORKER_CONNECT)
    assert isinstance(introduced.message, wire.WorkerConnectRequestData)
    assert introduced.message.worker_manual_readiness_ack, "nothing is routed before WORKER_READY, which never comes"
    assert introduced.message.instance_id.endswith("-doctor"), "what the server notes of a worker here is left alone"


async def test_a_run_that_waits_for_a_worker_is_not_handed_to_the_doctor(dev: Gateway, apps: Any) -> None:
    given = apps()
    await examine(apps=given, register=True)
    dev.start_run("app-echo")
    dev.faults.delay(Kind.GATEWAY_HEARTBEAT, 0.1)
    assert (await examine(apps=given, register=True)).wrong == []
    assert dev.frames(Kind.GATEWAY_EXECUTOR_REQUEST) == []


async def test_a_gateway_that_is_not_reachable(dev: Gateway) -> None:
    async with Gateway() as gone:
        granting(dev, f"{gone.url}/v0/connect")
    told = (await examine()).diagnosis("gateway port")
    assert "nothing listens there" in told
    assert "8289" in told


async def test_a_gateway_of_another_name(dev: Gateway) -> None:
    granting(dev, "http://a..b")
    assert "is not a host's name" in (await examine()).diagnosis("gateway name")


async def test_a_port_that_is_none(dev: Gateway) -> None:
    granting(dev, "http://127.0.0.1:99999")
    assert "is not valid -> write" in (await examine()).diagnosis("gateway name")


async def test_a_granted_address_that_is_none(dev: Gateway) -> None:
    dev.advertise = lambda _: "http://127.0.0.1:1/"
    assert "must be ws or wss -> have the server grant" in (await examine()).diagnosis("gateway address")


async def test_the_gateway_that_the_environment_names_is_dialled_instead(
    dev: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    dev.advertise = lambda _: "ws://127.0.0.1:1/v0/connect"
    monkeypatch.setenv("INNGEST_CONNECT_GATEWAY_URL", dev.url.replace("http", "ws"))
    findings = await examine()
    assert findings.wrong == []
    assert "instead of ws://127.0.0.1:1/v0/connect" in findings["gateway address"].found


@pytest.mark.parametrize("status", [200, 403, 404, 426, 502])
async def test_an_upgrade_that_is_refused(dev: Gateway, serve: Serve, status: int) -> None:
    async def refuse(_: web.Request) -> web.Response:
        return web.Response(status=status)

    granting(dev, await serve(refuse))
    told = (await examine()).diagnosis("WebSocket")
    assert f"status {status}" in told
    assert "pass WebSockets on" in told


async def test_an_upgrade_that_hangs_ends_with_the_timeout(dev: Gateway) -> None:
    dev.sockets.push(HANG)
    assert "no result within 0.2 s" in (await examine(timeout=0.2)).diagnosis("WebSocket")


async def test_a_socket_without_the_subprotocol_or_a_hello(dev: Gateway, serve: Serve) -> None:
    granting(dev, await serve(socket_without_a_word))
    findings = await examine(timeout=0.2)
    assert findings.wrong == ["subprotocol", "hello"]
    assert SUBPROTOCOL in findings["subprotocol"].found
    assert "Sec-WebSocket-Protocol" in findings["subprotocol"].next


async def test_a_gateway_without_the_subprotocol_that_says_hello(dev: Gateway, serve: Serve) -> None:
    async def greet(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_bytes(b"")
        await socket.receive()
        return socket

    granting(dev, await serve(greet))
    findings = await examine()
    assert SUBPROTOCOL in findings.diagnosis("subprotocol")
    assert findings["hello"].mark is Mark.GOOD


async def test_no_hello(dev: Gateway) -> None:
    dev.faults.lose(Kind.GATEWAY_HELLO)
    assert "no result within 0.2 s" in (await examine(timeout=0.2)).diagnosis("hello")


@pytest.mark.parametrize(
    ("message", "said"),
    [("hello", "a text message came"), (b"\xff\xff", "does not decode")],
)
async def test_something_else_than_a_hello(dev: Gateway, serve: Serve, message: str | bytes, said: str) -> None:
    async def talk(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=[SUBPROTOCOL])
        await socket.prepare(request)
        await (socket.send_str(message) if isinstance(message, str) else socket.send_bytes(message))
        assert (await socket.receive()).type is WSMsgType.CLOSE
        return socket

    granting(dev, await serve(talk))
    told = (await examine()).diagnosis("hello")
    assert said in told
    assert "-> check that the address is an Inngest gateway's" in told


async def test_a_gateway_that_drains(dev: Gateway) -> None:
    await dev.drain(refuse=True)
    told = (await examine()).diagnosis("hello")
    assert "being drained" in told
    assert "wait a little" in told


@pytest.mark.parametrize(("code", "said"), [(None, "1006"), (1011, "1011 connect_internal_error")])
async def test_a_close_in_place_of_the_hello(dev: Gateway, code: int | None, said: str) -> None:
    dev.faults.cut(Kind.GATEWAY_HELLO, code=code, reason="connect_internal_error" if code else "")
    assert said in (await examine()).diagnosis("hello")


@pytest.mark.parametrize(("code", "said"), [(None, "1006"), (1011, "1011 connect_internal_error")])
async def test_a_close_during_the_handshake(dev: Gateway, apps: Any, code: int | None, said: str) -> None:
    dev.faults.cut(Kind.WORKER_CONNECT, code=code, reason="connect_internal_error" if code else "")
    told = (await examine(apps=apps(), register=True)).diagnosis("registration")
    assert said in told
    assert "GATEWAY_CONNECTION_READY" in told


async def test_functions_that_the_server_refuses(dev: Gateway, apps: Any) -> None:
    dev.faults.fail_sync("At least one function is invalid")
    told = (await examine(apps=apps(), register=True)).diagnosis("registration")
    assert "At least one function is invalid" in told
    assert "change the functions" in told


async def test_too_many_apps(dev: Gateway, apps: Any) -> None:
    dev.apps_limit = 0
    assert "more apps than" in (await examine(apps=apps(), register=True)).diagnosis("registration")


async def test_a_session_token_that_is_not_the_gateways(dev: Gateway, apps: Any) -> None:
    dev.session_lifetime = 0.0
    told = (await examine(apps=apps(), register=True)).diagnosis("registration")
    assert told.endswith("-> the gateway does not know the session token: check that API and gateway are of one server")


async def test_a_sync_that_takes_too_long(dev: Gateway, apps: Any) -> None:
    dev.faults.lose(Kind.GATEWAY_CONNECTION_READY)
    findings = await examine(apps=apps(), register=True, timeout=0.3)
    assert "a first sync may take minutes: try --timeout" in findings.diagnosis("registration")


async def test_heartbeats_without_an_answer(dev: Gateway, apps: Any) -> None:
    dev.faults.lose(Kind.GATEWAY_HEARTBEAT, None)
    findings = await examine(apps=apps(), register=True, timeout=0.3)
    assert "no result within 0.3 s" in findings.diagnosis("heartbeat")


async def test_one_heartbeat_may_go_unanswered(dev: Gateway, apps: Any) -> None:
    dev.faults.lose(Kind.GATEWAY_HEARTBEAT)
    findings = await examine(apps=apps(), register=True, timeout=2.0)
    assert findings["heartbeat"].mark is Mark.GOOD


async def test_a_registration_that_no_gateway_would_read_is_not_sent(dev: Gateway, apps: Any) -> None:
    findings = await examine(apps=apps("x" * MESSAGE_LIMIT), register=True)
    assert "spread the apps over several workers" in findings.diagnosis("message size")
    assert findings["registration"].found == "not checked, because of: message size"
    assert dev.frames(UNREADABLE) == []
    assert not findings.verdict.connects


async def test_a_refusal_of_the_socket_by_script(dev: Gateway) -> None:
    dev.sockets.push(Answer(503))
    assert "status 503" in (await examine()).diagnosis("WebSocket")
