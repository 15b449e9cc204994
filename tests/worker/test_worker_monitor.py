"""The worker's own HTTP port: what probes, Prometheus and people read there is true."""

import asyncio
import json
import socket
import threading
import urllib.request
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families
from rig import ACTIVE, DOWN, DRAINING, QUICK, RECONNECTING, Apps, Held, Running, at_work, finish, reaches

from connect import events
from connect.errors import ConfigurationError
from connect.gateway import Gateway, Kind, Opened


@pytest.fixture
def port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


@pytest.fixture
async def get(port: int) -> AsyncIterator[Callable[..., Any]]:
    """`get(path)`: status code and body, JSON decoded."""
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:

        async def ask(path: str) -> tuple[int, Any]:
            async with session.get(path, timeout=aiohttp.ClientTimeout(5)) as answer:
                is_json = answer.content_type == "application/json"
                return answer.status, await (answer.json() if is_json else answer.text())

        yield ask


@pytest.fixture
def serve(start: Any, port: int) -> Callable[..., Any]:
    """Start a worker with its port open."""
    return lambda *given, **options: start(*given, http=f"127.0.0.1:{port}", **options)


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


async def test_ready_while_it_takes_work_and_not_before(gw: Gateway, serve: Any, get: Any) -> None:
    """503 names the state and the reason; alive it is all the time."""
    gw.starts.standing = DOWN
    worker = await serve(ready=False)
    await worker.hears(events.Reconnecting)
    code, said = await get("/readyz")
    assert (code, said["state"], said["reason"]) == (503, "CONNECTING", "not connected yet")
    assert "500" in said["last_error"]
    assert (await get("/livez"))[0] == 200
    gw.starts.clear()
    await reaches(worker, ACTIVE)
    assert await get("/readyz") == (200, {"ready": True, "state": "ACTIVE"})
    assert worker.status().last_error is None


async def test_ready_during_a_hand_over_not_during_a_shutdown(gw: Gateway, held: Held, serve: Any, get: Any) -> None:
    """A gateway's drain is no reason to take the worker out of service; its own shutdown is."""
    worker = await serve()
    run = await at_work(gw, held)
    gw.starts.standing = DOWN
    await gw.drain()
    await reaches(worker, DRAINING)
    assert await get("/readyz") == (200, {"ready": True, "state": "DRAINING"})
    gw.starts.clear()
    await reaches(worker, ACTIVE, times=2)
    await worker.connection.close()
    await reaches(worker, DRAINING, times=2)
    code, said = await get("/readyz")
    assert (code, said["reason"]) == (503, "shutting down")
    await finish(held, run)


async def test_the_status_is_the_workers_own(gw: Gateway, held: Held, serve: Any, get: Any) -> None:
    """As JSON, with what is in flight."""
    await serve(signing_key="signkey-test-00112233445566778899aabbccddeeff")
    run = await at_work(gw, held)
    code, status = await get("/status")
    assert (code, status["state"], status["is_ready"]) == (200, "ACTIVE", True)
    (in_flight,) = status["in_flight"]
    assert (in_flight["request_id"], in_flight["function_slug"]) == (run.requests[0], "app-hold")
    assert "00112233" not in str(status)
    await finish(held, run)


@pytest.mark.usefixtures("quiet")
async def test_metrics_agree_with_the_gateway_to_the_request(gw: Gateway, apps: Apps, serve: Any, get: Any) -> None:
    """Under load, with failures, drains, losses and replies that had to be flushed."""

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
    """With how late each extension was asked for."""
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
    """States that were never entered have none, heartbeats and leases their own times."""
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


async def test_probes_answer_while_user_code_blocks(gw: Gateway, apps: Apps, serve: Any, get: Any) -> None:
    """They run beside the connection, where no function can hold them up."""
    inside, release = threading.Event(), threading.Event()

    @apps.function("block")
    async def block(ctx: Any) -> None:
        inside.set()
        release.wait(10)

    loop_of_its_own: Running = await serve(isolation="thread")
    answers: list[int] = []

    def probe() -> None:
        inside.wait(10)
        url = f"http://127.0.0.1:{loop_of_its_own.connection._known.http[1]}/livez"
        with urllib.request.urlopen(url, timeout=5) as answer:
            answers.append(answer.status)
        release.set()

    thread = threading.Thread(target=probe)
    thread.start()
    await gw.invoke("app-block")
    thread.join(10)
    assert answers == [200]


async def test_a_port_in_use_is_refused_before_anything_is_dialled(gw: Gateway, start: Any, port: int) -> None:
    """With the address, and what to do."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        with pytest.raises(ConfigurationError, match=rf"http: cannot listen on 127.0.0.1:{port} .*another address"):
            await start(http=f"127.0.0.1:{port}")
    assert not gw.calls("start")


@pytest.mark.parametrize("host", ["no such host", f"{'a' * 70}.example"])
async def test_a_host_that_is_none_is_refused(gw: Gateway, start: Any, host: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"http: cannot listen on {host}:9090 .*another address"):
        await start(http=f"{host}:9090")
    assert not gw.calls("start")


@pytest.mark.parametrize("http", ["9090", "127.0.0.1", ":9090", "127.0.0.1:http", "127.0.0.1:70000"])
async def test_an_address_that_is_none_is_refused(start: Any, http: str) -> None:
    with pytest.raises(ConfigurationError, match="write HOST:PORT"):
        await start(http=http)


async def test_the_live_page_is_served_read_only(gw: Gateway, serve: Any, get: Any, port: int) -> None:
    """The same page as the lab's, without its buttons: nothing there takes a POST."""
    await serve(status_page=True)
    code, page = await get("/")
    assert (code, 'name="lab-token" content=""' in page) == (200, True)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        async with session.get("/feed") as feed:
            await feed.content.readline()
            snapshot = json.loads((await feed.content.readline()).removeprefix(b"data: "))
        async with session.post("/do/drop") as answer:
            assert answer.status == 404
    assert snapshot["status"]["state"] == "ACTIVE"
    assert "world" not in snapshot


async def test_on_loopback_it_answers_to_no_other_name(serve: Any, port: int) -> None:
    """A page that was lured here by DNS rebinding learns nothing."""
    await serve()
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", headers={"Host": "evil.example"}) as session:
        for path in ("/status", "/metrics", "/livez"):
            async with session.get(path) as answer:
                assert answer.status == 403


async def test_any_loopback_address_answers_to_its_own_name(start: Any, port: int) -> None:
    """All of 127.0.0.0/8 is this machine alone."""
    await start(http=f"127.0.0.2:{port}")
    async with aiohttp.ClientSession(f"http://127.0.0.2:{port}") as session:
        async with session.get("/livez") as answer:
            assert answer.status == 200
        async with session.get("/livez", headers={"Host": f"evil.example:{port}"}) as answer:
            assert answer.status == 403


async def test_a_feed_that_is_asked_for_with_nonsense_starts_at_the_beginning(serve: Any, port: int) -> None:
    """Nobody can make the worker log errors by asking."""
    await serve(status_page=True)
    async with (
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
        session.get("/feed", headers={"Last-Event-ID": "nonsense"}) as feed,
    ):
        assert feed.status == 200
        await feed.content.readline()
        snapshot = json.loads((await feed.content.readline()).removeprefix(b"data: "))
    assert snapshot["moments"][0]["number"] == 1


async def test_a_page_that_knew_another_process_is_told_all_of_this_one(serve: Any, port: int) -> None:
    """The number that it remembers was the other's."""
    await serve(status_page=True)
    async with (
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
        session.get("/feed", headers={"Last-Event-ID": "another-5000"}) as feed,
    ):
        sent_id = (await feed.content.readline()).decode()
        snapshot = json.loads((await feed.content.readline()).removeprefix(b"data: "))
    assert snapshot["moments"][0]["number"] == 1
    assert sent_id.strip() == f"id: {snapshot['session']}-{snapshot['moments'][-1]['number']}"


async def test_a_live_page_needs_an_address(start: Any) -> None:
    with pytest.raises(ConfigurationError, match="status_page needs an address"):
        await start(status_page=True)
