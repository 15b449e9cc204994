"""The scenarios that this worker must master, each in a test that is named after it."""

import asyncio
import gc
import json
import threading
from dataclasses import replace
from typing import Any

import inngest
import psutil
import pytest
from rig import QUICK, Apps, Held, Running, at_work, finish

import connect.worker
from connect import ConnectionState, events
from connect.errors import ApiError, ConnectionLimitReached, HandshakeTimeout
from connect.gateway import HANG, Call, Ended, Frame, Gateway, Kind, Opened
from connect.gateway.log import Record
from connect.wire import GatewayConnectionReadyData, SDKResponse, SDKResponseStatus, WorkerConnectRequestData

PRIMARY, FALLBACK = "aa" * 32, "bb" * 32


def told(record: Record) -> str:
    """A record of the gateway's log, in a word or two."""
    match record:
        case Call():
            return f"{record.path.rpartition('/')[2]} {record.status}"
        case Frame():
            return Kind.Name(Kind.ValueType(record.kind))
        case Opened():
            return "opened"
        case Ended():
            return f"ended {record.code}"


def reply_of(gw: Gateway, run: Any) -> SDKResponse:
    """The reply to the last request of *run*."""
    reply = gw.ledger[run.requests[-1]].reply
    assert reply is not None
    return reply


# -- the handshake -----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("quiet")
async def test_three_phase_handshake(gw: Gateway, start: Any) -> None:
    """WORKER_CONNECT follows HELLO, WORKER_READY follows READY; WORKER_CONNECT says all that the grant and the SDK know."""
    await start(instance_id="me", max_worker_concurrency=7)
    assert [told(record) for record in gw.log] == [
        "start 200",
        "opened",
        "GATEWAY_HELLO",
        "WORKER_CONNECT",
        "GATEWAY_CONNECTION_READY",
        "WORKER_READY",
    ]
    connect_frame = gw.frames(Kind.WORKER_CONNECT)[0].message
    assert isinstance(connect_frame, WorkerConnectRequestData)
    assert connect_frame.connection_id == gw.connections[0].id
    assert connect_frame.instance_id == "me"
    assert connect_frame.auth_data.session_token
    assert connect_frame.worker_manual_readiness_ack
    assert connect_frame.max_worker_concurrency == 7
    assert [app.app_name for app in connect_frame.apps] == ["app"]
    assert [function["id"] for function in json.loads(connect_frame.apps[0].functions)] == ["app-echo"]
    assert connect_frame.HasField("started_at")


@pytest.mark.parametrize("stage", ["start", "socket", "hello", "ready"])
@pytest.mark.usefixtures("quiet")
async def test_setup_timeout(gw: Gateway, start: Any, stage: str) -> None:
    """Silence in any stage ends the attempt after that stage's deadline; the next attempt connects."""
    match stage:
        case "start":
            gw.starts.push(HANG)
        case "socket":
            gw.sockets.push(HANG)
        case "hello":
            gw.faults.lose(Kind.GATEWAY_HELLO)
        case "ready":
            gw.faults.lose(Kind.GATEWAY_CONNECTION_READY)
    worker = await start(ready=False, deadlines=replace(QUICK, **{stage: 0.2}))
    failed = await worker.hears(events.Reconnecting)
    assert isinstance(failed.error, HandshakeTimeout)
    assert failed.error.stage == stage
    assert "0.2 s" in str(failed.error)
    await worker.hears(events.Connected)


@pytest.mark.usefixtures("quiet")
async def test_setup_timeout_for_ready_is_doubled_and_excludes_no_gateway(gw: Gateway, start: Any) -> None:
    """A gateway that does not send READY may be syncing: the worker asks the same group again, and waits longer each time."""
    gw.faults.lose(Kind.GATEWAY_CONNECTION_READY, count=3)
    worker = await start(ready=False, deadlines=replace(QUICK, ready=0.05, ready_max=0.15))
    await worker.hears(events.Reconnecting, 3)
    said = [str(each.error) for each in worker.heard(events.Reconnecting)[:3]]
    assert [text.split(" for ")[1].split(" s ")[0] for text in said] == ["0.05", "0.1", "0.15"]
    assert all(not call.message.exclude_gateways for call in gw.calls("start"))  # type: ignore[union-attr]


# -- functions ---------------------------------------------------------------------------------------------------------------


async def test_function_executed_with_status_200_and_its_result(gw: Gateway, start: Any) -> None:
    worker = await start()
    completed = asyncio.create_task(worker.hears(events.RequestCompleted))
    run = await gw.invoke("app-echo", {"value": {"answer": 42}})
    reply = reply_of(gw, run)
    # DONE is what the wire calls the SDK's 200 (PROTOCOL.md §6.6).
    assert (reply.status, json.loads(reply.body)) == (SDKResponseStatus.DONE, {"answer": 42})
    assert (run.status, run.output, run.attempts) == ("completed", {"answer": 42}, 1)
    assert reply.run_id == run.id
    assert (await completed).status == "DONE"


async def test_function_error_gives_500(gw: Gateway, apps: Apps, start: Any) -> None:
    @apps.function("fail")
    async def fail(ctx: inngest.Context) -> None:
        raise ValueError("no such customer")

    worker = await start()
    completed = asyncio.create_task(worker.hears(events.RequestCompleted))
    run = await gw.invoke("app-fail")
    reply = reply_of(gw, run)
    # ERROR is what the wire calls the SDK's 500.
    assert (reply.status, reply.no_retry) == (SDKResponseStatus.ERROR, False)
    assert (run.status, run.error["message"]) == ("failed", "no such customer")
    assert (await completed).status == "ERROR"
    assert worker.get_state() is ConnectionState.ACTIVE


# -- from setup to work ------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("quiet")
async def test_switch_from_setup_to_active_handling(gw: Gateway, start: Any) -> None:
    """After READY the frames of the handshake are ignored, and those of work are handled."""
    worker = await start()
    gateway_side = gw.connections[0]
    await gateway_side.send(Kind.GATEWAY_HELLO)
    await gateway_side.send(Kind.GATEWAY_CONNECTION_READY, GatewayConnectionReadyData(heartbeat_interval="10ms"))
    run = await gw.invoke("app-echo", {"value": "worked"})
    assert run.output == "worked"
    assert len(gw.frames(Kind.WORKER_CONNECT)) == 1
    assert len(gw.frames(Kind.WORKER_READY)) == 1
    assert worker.states == [ConnectionState.CONNECTING, ConnectionState.ACTIVE]


@pytest.mark.usefixtures("quiet")
async def test_work_before_ready_is_not_handled(gw: Gateway, start: Any) -> None:
    """A request during the handshake ends the attempt; nothing runs, and the next attempt connects."""
    gw.faults.lose(Kind.GATEWAY_CONNECTION_READY)
    worker = await start(ready=False)
    await gw.wait_for(Kind.WORKER_CONNECT)
    await gw.connections[0].send_raw(bytes((8, Kind.GATEWAY_EXECUTOR_REQUEST)))
    failed = await worker.hears(events.Reconnecting)
    assert "GATEWAY_EXECUTOR_REQUEST came before GATEWAY_CONNECTION_READY" in str(failed.error)
    await worker.hears(events.Connected)
    assert not gw.frames(Kind.WORKER_REQUEST_ACK)
    assert not worker.heard(events.RequestReceived)


async def test_lease_extensions_at_the_interval(gw: Gateway, held: Held, start: Any) -> None:
    """While a function runs its lease is extended once per interval, with the newest id, and not longer."""
    gw.heartbeat_interval = "60s"
    worker = await start()
    run = gw.start_run("app-hold")
    await held.running()
    await gw.wait_for(Kind.WORKER_REQUEST_EXTEND_LEASE, count=4)
    held.release.set()
    await run.done()

    extensions, ready = gw.frames(Kind.WORKER_REQUEST_EXTEND_LEASE), gw.frames(Kind.GATEWAY_CONNECTION_READY)[0]
    # Sent no earlier than the sweep's ticks, which count from READY; however late they were read. Loops round to milliseconds.
    assert all(frame.at >= ready.at + 0.05 * number - 0.01 for number, frame in enumerate(extensions, 1))
    asked = [frame.message.lease_id for frame in extensions]  # type: ignore[union-attr]
    assert asked[0] == gw.ledger[run.requests[0]].message.lease_id
    assert asked == sorted(asked)  # ULIDs: a newer one never gives way to an older one
    assert len(set(asked)) > 1
    assert gw.ledger[run.requests[0]].nacked == 0

    await gw.invoke("app-echo")
    mark = gw.mark
    await worker.close(wait=True)
    assert not gw.frames(Kind.WORKER_REQUEST_EXTEND_LEASE, since=mark)


# -- states ------------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("quiet")
async def test_state_changes_tied_to_socket_events(gw: Gateway, start: Any) -> None:
    """Only the gateway's ready message causes ACTIVE."""
    gw.faults.lose(Kind.GATEWAY_CONNECTION_READY)
    worker = await start(ready=False, deadlines=replace(QUICK, ready=30.0))
    await gw.wait_for(Kind.WORKER_CONNECT)
    await worker.hears(events.LinkOpened)
    assert worker.get_state() is ConnectionState.CONNECTING
    assert worker.states == [ConnectionState.CONNECTING]
    assert not worker.is_ready

    await gw.connections[0].send(Kind.GATEWAY_CONNECTION_READY)
    active = await worker.hears(events.StateChanged, 2)
    assert (active.from_state, active.to_state) == (ConnectionState.CONNECTING, ConnectionState.ACTIVE)
    assert (active.event, active.connection_id) == ("link_ready", gw.connections[0].id)
    await gw.wait_for(Kind.WORKER_READY)
    assert worker.is_ready
    assert worker.get_connection_id() == gw.connections[0].id


@pytest.mark.parametrize(
    ("code", "reason"), [(None, ""), (1000, ""), (1011, "connect_internal_error"), (1008, "anything")]
)
@pytest.mark.usefixtures("quiet")
async def test_socket_error_leads_to_reconnecting(gw: Gateway, start: Any, code: int | None, reason: str) -> None:
    """The worker reconnects after every end of the socket, also after a normal close."""
    worker = await start()
    lost = gw.connections[0].id
    if code is None:
        gw.connections[0].drop()
    else:
        await gw.connections[0].close(code, reason)
    change = await worker.hears(events.StateChanged, 3)
    assert (change.from_state, change.to_state) == (ConnectionState.ACTIVE, ConnectionState.RECONNECTING)
    assert change.event == "link_lost"
    await worker.hears(events.Connected, 2)
    ended = worker.heard(events.Disconnected)[0]
    assert (ended.connection_id, ended.code) == (lost, code or 1006)
    assert not reason or ended.reason == reason
    assert worker.states[-1] is ConnectionState.ACTIVE


@pytest.mark.usefixtures("quiet")
async def test_event_order_connecting_link_opened_active_connected(gw: Gateway, start: Any) -> None:
    worker = await start()
    opened, connected = await worker.hears(events.LinkOpened), await worker.hears(events.Connected)
    assert [type(event) for event in worker.told if not isinstance(event, events.Moved)] == [
        events.StateChanged,
        events.LinkOpened,
        events.StateChanged,
        events.Connected,
    ]
    assert worker.states == [ConnectionState.CONNECTING, ConnectionState.ACTIVE]
    assert opened.connection_id == connected.connection_id == gw.connections[0].id
    assert connected.gateway_group == "gw-dev"


# -- the API -----------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("quiet")
async def test_fallback_signing_key(gw: Gateway, start: Any) -> None:
    """After a refusal the worker uses the other key at once, and keeps the key that was accepted."""
    gw.signing_keys = (FALLBACK,)
    worker = await start(signing_key=PRIMARY, signing_key_fallback=FALLBACK)
    first, second = gw.calls("start")
    assert (first.status, second.status) == (401, 200)
    assert first.headers["authorization"] != second.headers["authorization"]
    assert worker.heard(events.Reconnecting)[0].delay == 0

    gw.connections[0].drop()
    await worker.hears(events.Connected, 2)
    assert gw.calls("start")[-1].headers["authorization"] == second.headers["authorization"]
    assert len(gw.calls("start")) == 3


@pytest.mark.usefixtures("quiet")
async def test_failed_gateways_are_excluded(gw: Gateway, start: Any) -> None:
    """The worker avoids a group whose handshake failed or whose link was lost, until a link is ready."""
    gw.groups = ("bad", "good")
    gw.faults.cut(Kind.GATEWAY_HELLO)
    worker = await start()
    assert excluded(gw) == [[], ["bad"]]
    assert gw.connections[0].group == "good"
    assert worker.status().excluded_gateways == ()

    gw.connections[0].drop()
    await worker.hears(events.Connected, 2)
    assert excluded(gw)[2:] == [["good"]]


async def test_an_excluded_gateway_that_is_offered_anyway_is_taken(gw: Gateway, start: Any) -> None:
    gw.groups, gw.respect_exclusions = ("only",), False
    gw.faults.cut(Kind.GATEWAY_HELLO)
    await start()
    assert excluded(gw) == [[], ["only"]]


def excluded(gw: Gateway) -> list[list[str]]:
    """The groups that each start request asked to avoid."""
    return [list(call.message.exclude_gateways) for call in gw.calls("start")]  # type: ignore[union-attr]


async def test_the_clients_own_api_base_url_is_used(gw: Gateway, start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that names its API needs neither the environment nor a default."""
    monkeypatch.setenv("INNGEST_API_BASE_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("INNGEST_DEV", "http://127.0.0.1:1")
    apps = Apps(gw)

    @apps.function("noop")
    async def noop(ctx: inngest.Context) -> None: ...

    await start([(apps.client, apps.functions)])
    assert [call.path for call in gw.calls()] == ["/v0/connect/start"]


async def test_429_is_connection_limit_reached(gw: Gateway, start: Any) -> None:
    """The worker waits as long as it ever does and does not give up; closing ends the wait."""
    gw.starts.push(429)
    worker = await start(ready=False, retry=None)
    limited = await worker.hears(events.Reconnecting)
    assert isinstance(limited.error, ConnectionLimitReached)
    assert 30 <= limited.delay <= 60
    assert worker.get_state() is ConnectionState.CONNECTING
    async with asyncio.timeout(5):
        await worker.close(wait=True)


async def test_after_429_the_worker_connects_once_there_is_room(gw: Gateway, start: Any) -> None:
    gw.starts.push(429, 429)
    worker = await start()
    assert [type(each.error) for each in worker.heard(events.Reconnecting)] == [ConnectionLimitReached] * 2


async def test_a_server_error_is_retried(gw: Gateway, start: Any) -> None:
    gw.starts.push(500, 503)
    worker = await start()
    errors = [each.error for each in worker.heard(events.Reconnecting)]
    assert [error.status for error in errors if isinstance(error, ApiError)] == [500, 503]


# -- the end -----------------------------------------------------------------------------------------------------------------


def sockets() -> set[Any]:
    """The open TCP sockets of this process."""
    return {each.fd for each in psutil.Process().net_connections("tcp")}


def timers(loop: Any) -> list[Any]:
    """The timers of *loop* that are not cancelled."""
    return [handle for handle in loop._scheduled if not handle.cancelled()]


async def eventful_life(gw: Gateway, held: Held, worker: Running) -> None:
    """A life with work, a drain, a loss, and a shutdown while a function runs, so that everything is started.

    The first link still waits for an answer when all is over.
    """
    run = gw.start_run("app-hold")
    await held.running()
    gw.faults.lose(Kind.WORKER_REQUEST_EXTEND_LEASE_ACK)
    await gw.wait_for(Kind.WORKER_REQUEST_EXTEND_LEASE)
    await gw.drain()
    await worker.hears(events.Connected, 2)
    await gw.wait_for_worker()
    gw.connections[-1].drop()
    await worker.hears(events.Connected, 3)
    await worker.connection.close()
    await worker.hears(events.Draining, 2)
    held.release.set()
    await run.done()
    await worker.connection.closed()


async def test_clean_up_on_termination_leaves_no_task_timer_socket_or_thread(
    gw: Gateway, held: Held, start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection's loop is empty at the end: `dispose` has nothing to cancel."""
    gw.heartbeat_interval = "1s"
    left: list[Any] = []
    dispose = connect.worker.dispose

    def look(loop: Any) -> None:
        left.extend(asyncio.all_tasks(loop))
        dispose(loop)

    monkeypatch.setattr(connect.worker, "dispose", look)
    tasks, open_sockets, threads = asyncio.all_tasks(), sockets(), set(threading.enumerate())
    worker = await start()
    await eventful_life(gw, held, worker)
    await worker.task
    await gw.until(lambda: not gw.connections)
    await gw.runs[0].done()
    assert not left
    assert worker._loop.is_closed()
    gc.collect()
    assert asyncio.all_tasks() - tasks <= {worker.task}
    assert {thread for thread in set(threading.enumerate()) - threads if thread.name != "connect"} == set()
    assert sockets() <= open_sockets


async def test_clean_up_on_one_loop_leaves_no_task_or_timer(gw: Gateway, held: Held, start: Any) -> None:
    """With `isolation="none"` the connection uses the caller's loop, and leaves it as it was."""
    gw.heartbeat_interval = "1s"
    loop = asyncio.get_running_loop()
    tasks, armed = asyncio.all_tasks(), len(timers(loop))
    late = {"connect_timeout": 60.0, "shutdown_timeout": 60.0, "flush_timeout": 60.0}
    worker = await start(isolation="none", deadlines=replace(QUICK, settle=60.0), **late)
    await eventful_life(gw, held, worker)
    await worker.task
    await gw.close()
    assert not {task for task in asyncio.all_tasks() - tasks if not task.done()}
    assert len(timers(loop)) <= armed, timers(loop)


async def test_every_move_of_the_charts_is_told(gw: Gateway, start: Any) -> None:
    """The events say where the connection and each link came from and went, also within a state."""
    worker = await start()
    await worker.hears(events.HeartbeatAnswered, 2)
    moves = worker.heard(events.Moved)
    assert [(move.event, move.target) for move in moves if move.chart == "connection"] == [("link_ready", ("ACTIVE",))]
    handshake = [move.target[-1] for move in moves if move.chart == "link" and move.source[0] == "HANDSHAKE"]
    assert handshake == ["OPENING", "GREETING", "REGISTERING", "UP"]
    beats = [move for move in moves if move.event in ("beat", "heartbeat_seen")]
    assert beats[0].source == ("UP", "PULSE", "ANSWERED")
    assert beats[1].target == ("UP", "PULSE", "ANSWERED")
    assert all(told.round_trip >= 0 for told in worker.heard(events.HeartbeatAnswered))


async def test_every_lease_that_is_extended_is_told(gw: Gateway, held: Held, start: Any) -> None:
    """There is an event for each lease that the gateway extended, with how late it was asked for."""
    worker = await start()
    run = await at_work(gw, held)
    await worker.hears(events.LeaseExtended, 3)
    await finish(held, run)
    told = worker.heard(events.LeaseExtended)
    assert {event.request_id for event in told} == set(run.requests)
    assert len(told) <= len(gw.frames(Kind.WORKER_REQUEST_EXTEND_LEASE_ACK))
