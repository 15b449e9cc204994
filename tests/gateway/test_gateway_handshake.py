"""The gateway makes the checks of a handshake in their order, with their exact close codes (PROTOCOL.md §4.1)."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from raw_worker import RawWorker, function

from connect.gateway import UNREADABLE, Ended, Frame, Gateway, Kind, Opened
from connect.wire import AppConfiguration, AuthData, StartResponse

INVALID = (1008, "connect_worker_hello_invalid_payload")
INTERNAL = (1011, "connect_internal_error")


def app(functions: Any, name: str = "app") -> AppConfiguration:
    return AppConfiguration(app_name=name, functions=json.dumps(functions).encode())


async def test_hello_is_an_empty_binary_frame_and_ready_carries_the_intervals_as_they_were_given(
    gw: Gateway, worker: RawWorker
) -> None:
    gw.heartbeat_interval, gw.extend_lease_interval, gw.status_interval = "1m30s", "nonsense", ""
    await worker.open()
    hello = await worker.socket.receive()
    assert (hello.type.name, hello.data) == ("BINARY", b"")
    await worker.send(Kind.WORKER_CONNECT, worker.introduction())
    ready = await worker.expect(Kind.GATEWAY_CONNECTION_READY)
    assert (ready.heartbeat_interval, ready.extend_lease_interval, ready.status_interval) == ("1m30s", "nonsense", "")


async def test_the_subprotocol_is_chosen_where_it_is_offered(worker: RawWorker) -> None:
    await worker.join()
    assert worker.socket.protocol == "v0.connect.inngest.com"


async def test_a_worker_that_keeps_silent_is_dropped_without_a_close_frame(gw: Gateway, worker: RawWorker) -> None:
    gw.handshake_timeout = 0.02
    await worker.open()
    await worker.expect(Kind.GATEWAY_HELLO)
    assert await worker.end() == (1006, "")


async def test_a_heartbeat_before_worker_connect_is_refused(worker: RawWorker) -> None:
    await worker.open()
    await worker.expect(Kind.GATEWAY_HELLO)
    await worker.send(Kind.WORKER_HEARTBEAT)
    assert await worker.end() == (1008, "connect_worker_hello_invalid_msg")


@pytest.mark.parametrize(
    ("fields", "end"),
    [
        ({"connection_id": "not-a-ulid"}, INVALID),
        ({"instance_id": ""}, INVALID),
        ({"auth_data": AuthData(session_token="forged")}, (1008, "connect_authentication_failed")),
        ({"apps": []}, INVALID),
        ({"apps": [app([], f"app-{n}") for n in range(11)]}, (1008, "connect_too_many_apps_per_connection")),
        ({"apps": [AppConfiguration(app_name="app", functions=b"{")]}, INTERNAL),
        ({"apps": [AppConfiguration(app_name="app", functions=b"")]}, INTERNAL),
        ({"apps": [app({"id": "no-array"})]}, INTERNAL),
        ({"apps": [app(["no-object"])]}, INTERNAL),
        ({"apps": [app([{"id": "a", "steps": "text"}])]}, INTERNAL),
        ({"apps": [app([{"id": "a", "steps": {"step": 3}}])]}, INTERNAL),
        ({"apps": [app([{"id": "a", "steps": {"step": {"retries": {"attempts": "many"}}}}])]}, INTERNAL),
        ({"apps": [app([{"id": "a", "triggers": [3]}])]}, INTERNAL),
        ({"apps": [AppConfiguration(app_name="app", functions=b"[" * 100_000)]}, INTERNAL),
        ({"capabilities": b'{"a":' * 100_000}, INTERNAL),
        ({"capabilities": b""}, INTERNAL),
    ],
)
async def test_a_failing_check_ends_with_its_code_and_reason(
    worker: RawWorker, fields: dict[str, Any], end: tuple[int, str]
) -> None:
    await worker.open()
    await worker.expect(Kind.GATEWAY_HELLO)
    await worker.send(Kind.WORKER_CONNECT, worker.introduction(**fields))
    assert await worker.end() == end


async def test_the_checks_come_in_order(worker: RawWorker) -> None:
    """The instance id is checked before the token, and the token before the apps are counted."""
    for fields, end in [
        ({"auth_data": AuthData(session_token="forged"), "apps": []}, (1008, "connect_authentication_failed")),
        ({"auth_data": AuthData(session_token="forged"), "instance_id": ""}, INVALID),
    ]:
        await worker.open()
        await worker.expect(Kind.GATEWAY_HELLO)
        await worker.send(Kind.WORKER_CONNECT, worker.introduction(**fields))
        assert await worker.end() == end


async def test_an_undecodable_payload_is_an_invalid_hello(worker: RawWorker) -> None:
    await worker.open()
    await worker.expect(Kind.GATEWAY_HELLO)
    await worker.send(Kind.WORKER_CONNECT, b"\xff\xff")
    assert await worker.end() == INVALID


@pytest.mark.parametrize("joined", [False, True])
async def test_a_frame_that_is_no_message_closes_1007(gw: Gateway, worker: RawWorker, joined: bool) -> None:
    if joined:
        await worker.join()
    else:
        await worker.open()
        await worker.expect(Kind.GATEWAY_HELLO)
    await worker.socket.send_bytes(b"\xff\xff\xff")
    assert await worker.end() == (1007, "failed to unmarshal Protobuf")
    assert gw.frames(UNREADABLE)


async def test_an_expired_session_token_is_refused_and_a_valid_one_may_be_used_twice(
    gw: Gateway, worker: RawWorker
) -> None:
    await worker.join()
    first = worker.started
    gw.session_lifetime = 0.0
    await worker.open()
    await worker.expect(Kind.GATEWAY_HELLO)
    await worker.send(Kind.WORKER_CONNECT, worker.introduction())
    assert await worker.end() == (1008, "connect_authentication_failed")
    await worker.open()
    worker.started = first
    await worker.expect(Kind.GATEWAY_HELLO)
    await worker.send(Kind.WORKER_CONNECT, worker.introduction())
    await worker.expect(Kind.GATEWAY_CONNECTION_READY)


@pytest.mark.parametrize(
    ("apps", "message"),
    [([app([], "")], "App ID required"), ([app([{"name": "no id"}])], "At least one function is invalid")],
)
async def test_a_sync_that_cannot_succeed_is_said_before_the_close(
    worker: RawWorker, apps: list[AppConfiguration], message: str
) -> None:
    await worker.open()
    await worker.expect(Kind.GATEWAY_HELLO)
    await worker.send(Kind.WORKER_CONNECT, worker.introduction(apps=apps))
    failure = await worker.expect(Kind.SYNC_FAILED)
    assert (failure.code, failure.message) == ("", message)
    assert await worker.end() == (1008, "")


async def test_sync_failures_on_demand(gw: Gateway, worker: RawWorker) -> None:
    gw.faults.fail_sync("Too many", code="plan_limit")
    await worker.open()
    await worker.expect(Kind.GATEWAY_HELLO)
    await worker.send(Kind.WORKER_CONNECT, worker.introduction())
    assert (await worker.expect(Kind.SYNC_FAILED)).message == "Too many"
    assert await worker.end() == (1008, "plan_limit")
    await worker.join()


async def test_an_empty_list_of_functions_and_an_unchecked_connection_id_are_fine(worker: RawWorker) -> None:
    await worker.join(apps=[app([])], connection_id="01ARZ3NDEKTSV4RRFFQ69G5FAV")


async def test_manual_readiness_takes_no_work_and_no_heartbeat_answer_before_worker_ready(
    gw: Gateway, worker: RawWorker
) -> None:
    await worker.join(worker_manual_readiness_ack=True)
    run = gw.start_run("app-fn")
    await worker.send(Kind.WORKER_HEARTBEAT)
    await gw.wait_for(Kind.WORKER_HEARTBEAT)
    assert not gw.connections[0].routable
    await worker.send(Kind.WORKER_READY)
    request = await worker.expect(Kind.GATEWAY_EXECUTOR_REQUEST)
    await worker.nothing()
    await worker.ack(request)
    await worker.reply(request, 7)
    assert (await run.done()).output == 7


@pytest.mark.parametrize("kind", [Kind.GATEWAY_HELLO, Kind.GATEWAY_CONNECTION_READY])
async def test_a_lost_handshake_frame_leaves_the_connection_in_its_handshake(
    gw: Gateway, worker: RawWorker, kind: int
) -> None:
    gw.faults.lose(kind)
    await worker.open()
    await worker.send(Kind.WORKER_CONNECT, worker.introduction())
    await gw.wait_for(Kind.WORKER_CONNECT)
    if kind == Kind.GATEWAY_HELLO:
        await worker.expect(Kind.GATEWAY_CONNECTION_READY)
    else:
        await worker.expect(Kind.GATEWAY_HELLO)
        await gw.wait_for(lambda record: isinstance(record, Frame) and record.fault == "lose")
        assert not gw.connections[0].connected


async def test_hello_twice_and_ready_late(gw: Gateway, worker: RawWorker) -> None:
    gw.faults.repeat(Kind.GATEWAY_HELLO)
    gw.faults.delay(Kind.GATEWAY_CONNECTION_READY, 0.03)
    await worker.open()
    await worker.expect(Kind.GATEWAY_HELLO)
    await worker.expect(Kind.GATEWAY_HELLO)
    await worker.send(Kind.WORKER_CONNECT, worker.introduction())
    asked = await gw.wait_for(Kind.WORKER_CONNECT)
    await worker.expect(Kind.GATEWAY_CONNECTION_READY)
    assert gw.frames(Kind.GATEWAY_CONNECTION_READY)[0].at - asked.at >= 0.03


async def test_ready_may_be_nonsense(gw: Gateway, worker: RawWorker) -> None:
    gw.faults.replace(Kind.GATEWAY_CONNECTION_READY, b"\x0a\x03\xff\xfe\xfd")
    await worker.open()
    await worker.expect(Kind.GATEWAY_HELLO)
    await worker.send(Kind.WORKER_CONNECT, worker.introduction())
    message = await worker.socket.receive()
    assert message.data.endswith(b"\x0a\x03\xff\xfe\xfd")


async def test_a_worker_connect_that_is_lost_runs_into_the_limit(gw: Gateway, worker: RawWorker) -> None:
    gw.handshake_timeout = 0.02
    gw.faults.lose(Kind.WORKER_CONNECT)
    await worker.open()
    await worker.expect(Kind.GATEWAY_HELLO)
    await worker.send(Kind.WORKER_CONNECT, worker.introduction())
    assert await worker.end() == (1006, "")


async def test_the_log_tells_the_whole_story(gw: Gateway, worker: RawWorker) -> None:
    await worker.join(max_worker_concurrency=3)
    connection = gw.connections[0]
    assert (connection.id, connection.worker.max_worker_concurrency) == (worker.started.connection_id, 3)
    await worker.socket.close(code=1000, message=b"WORKER_SHUTDOWN")
    end = await gw.wait_for(lambda record: isinstance(record, Ended))
    assert isinstance(end, Ended)
    assert (end.by, end.code, end.reason) == ("worker", 1000, "WORKER_SHUTDOWN")
    story = [str(record) for record in gw.log]
    assert story == [
        "/v0/connect/start 200",
        "#1 opened",
        "#1 -> GATEWAY_HELLO",
        "#1 <- WORKER_CONNECT",
        "#1 -> GATEWAY_CONNECTION_READY",
        "#1 ended by the worker: 1000 WORKER_SHUTDOWN",
    ]
    assert sum(isinstance(record, Opened) for record in gw.log) == 1
    assert [record.at for record in gw.log] == sorted(record.at for record in gw.log)


async def test_every_function_of_every_app_is_known_afterwards(gw: Gateway, another: Callable[..., RawWorker]) -> None:
    await another().join(apps=[app([function("a-1", retries=0)], "a"), app([function("b-1")], "b")])
    assert {f.slug: (f.app_name, f.attempts) for f in gw.functions.values()} == {"a-1": ("a", 1), "b-1": ("b", 4)}


async def test_the_endpoint_is_made_of_the_host_header_or_a_lie(gw: Gateway, worker: RawWorker) -> None:
    await worker.start()
    assert worker.started.gateway_endpoint == f"ws://127.0.0.1:{gw.port}/v0/connect"
    gw.advertise = lambda endpoint: endpoint.replace("127.0.0.1", "gateway.invalid")
    _, content = await worker.start()
    assert StartResponse.FromString(content).gateway_endpoint == f"ws://gateway.invalid:{gw.port}/v0/connect"
