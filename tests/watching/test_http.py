"""The worker's HTTP port: probes and status are true, its address is checked, and pages of other sites cannot read it."""

import socket
import threading
import urllib.request
from typing import Any

import aiohttp
import pytest
from rig import ACTIVE, DOWN, DRAINING, Apps, Held, Running, at_work, finish, reaches

from connect import events
from connect.errors import ConfigurationError
from connect.gateway import Gateway
from connect.status import ConnectionState, Status
from connect.watching.http import address, is_loopback, readiness


async def test_ready_while_it_takes_work_and_not_before(gw: Gateway, serve: Any, get: Any) -> None:
    """503 comes with the state and the reason. /livez answers all the time."""
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
    """The worker stays in service while the gateway drains, and not during its own shutdown."""
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
    """It is JSON, and lists the requests in flight."""
    await serve(signing_key="signkey-test-00112233445566778899aabbccddeeff")
    run = await at_work(gw, held)
    code, status = await get("/status")
    assert (code, status["state"], status["is_ready"]) == (200, "ACTIVE", True)
    (in_flight,) = status["in_flight"]
    assert (in_flight["request_id"], in_flight["function_slug"]) == (run.requests[0], "app-hold")
    assert "00112233" not in str(status)
    await finish(held, run)


async def test_probes_answer_while_user_code_blocks(gw: Gateway, apps: Apps, serve: Any, get: Any) -> None:
    """They run on the connection's loop, which no function can block."""
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
    """The message has the address, and what to do."""
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


async def test_on_loopback_it_answers_to_no_other_name(serve: Any, port: int) -> None:
    """DNS rebinding can lead a page of another site here; it must learn nothing."""
    await serve()
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", headers={"Host": "evil.example"}) as session:
        for path in ("/status", "/metrics", "/livez"):
            async with session.get(path) as answer:
                assert answer.status == 403


async def test_any_loopback_address_answers_to_its_own_name(start: Any, port: int) -> None:
    """Every address in 127.0.0.0/8 is this machine's."""
    await start(http=f"127.0.0.2:{port}")
    async with aiohttp.ClientSession(f"http://127.0.0.2:{port}") as session:
        async with session.get("/livez") as answer:
            assert answer.status == 200
        async with session.get("/livez", headers={"Host": f"evil.example:{port}"}) as answer:
            assert answer.status == 403


# -- addresses -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "host", "number"),
    [
        ("127.0.0.1:9090", "127.0.0.1", 9090),
        ("10.0.0.1:0", "10.0.0.1", 0),
        ("[::1]:80", "::1", 80),
        ("host.example:65535", "host.example", 65_535),
    ],
)
def test_an_address_is_a_host_and_a_port(text: str, host: str, number: int) -> None:
    assert address(text) == (host, number)


@pytest.mark.parametrize("text", ["", "9090", ":9090", "host", "host:", "host:http", "host:-1", "host:65536"])
def test_what_is_no_address_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"write HOST:PORT, such as 127\.0\.0\.1:9090"):
        address(text)


@pytest.mark.parametrize(
    ("host", "is_one"),
    [
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("localhost", True),
        ("10.0.0.1", False),
        ("::", False),
        ("192.168.0.1", False),
        ("localhost.example", False),
        ("", False),
    ],
)
def test_loopback_is_what_only_this_machine_reaches(host: str, is_one: bool) -> None:
    assert is_loopback(host) is is_one


# -- readiness -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [state for state in ConnectionState if state.name not in ("CLOSING", "PAUSED")])
def test_every_state_that_takes_no_work_has_its_reason(state: ConnectionState) -> None:
    assert readiness(Status(state=state, is_ready=True)) == {"ready": True, "state": state.value}
    said = readiness(Status(state=state, last_error="gone"))
    assert (said["ready"], said["state"], said["last_error"]) == (False, state.value, "gone")
    assert said["reason"]
