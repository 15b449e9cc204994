"""The worker cannot connect: the API is away, an endpoint is none, a socket or a handshake fails (docs/faults.md)."""

import importlib.metadata
import logging
from typing import Any

import pytest
from rig import PATIENT, ends

from connect import ConnectionState, events
from connect.errors import LinkLost, ProtocolError
from connect.gateway import Call, Gateway, Kind, Opened


@pytest.mark.usefixtures("quiet")
async def test_an_api_outage_of_any_length_is_outlived(gw: Gateway, start: Any) -> None:
    worker = await start()
    await gw.stop()
    await worker.hears(events.Reconnecting, 12)
    assert worker.get_state() is ConnectionState.RECONNECTING
    await gw.start()
    await worker.hears(events.Connected, 2)
    assert (await gw.invoke("app-echo", {"value": 1})).output == 1


@pytest.mark.usefixtures("quiet")
async def test_an_api_that_is_down_at_first_is_waited_for(gw: Gateway, start: Any) -> None:
    gw.starts.push(*[500] * 12)
    await start()
    assert [call.status for call in gw.calls("start")] == [500] * 12 + [200]


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9/v0/connect", "127.0.0.1:9", "ws://", "", "ftp://[::1"])
@pytest.mark.usefixtures("quiet")
async def test_an_endpoint_that_is_none_is_refused_and_asked_for_again(gw: Gateway, start: Any, endpoint: str) -> None:
    gw.advertise = lambda true: endpoint or true.replace("ws://", "http://")
    worker = await start(ready=False)
    failure = await worker.hears(events.Reconnecting)
    assert isinstance(failure.error, ProtocolError)
    assert not [record for record in gw.log if isinstance(record, Opened)]
    gw.advertise = None
    await gw.wait_for_worker()


@pytest.mark.parametrize("how", ["option", "environment", "rewrite"])
@pytest.mark.usefixtures("quiet")
async def test_a_wrong_endpoint_can_be_overridden(
    gw: Gateway, start: Any, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    gw.advertise = lambda _: "ws://127.0.0.1:9/v0/connect"
    right = f"{gw.url.replace('http', 'ws')}/v0/connect"
    if how == "environment":
        monkeypatch.setenv("INNGEST_CONNECT_GATEWAY_URL", right)
    options: dict[str, Any] = {
        "option": {"gateway_url": right},
        "environment": {},
        "rewrite": {"rewrite_gateway_endpoint": lambda granted: granted.replace(":9/", f":{gw.port}/")},
    }[how]
    await start(**options)
    assert (await gw.invoke("app-echo", {"value": 1})).output == 1


@pytest.mark.usefixtures("quiet")
async def test_a_socket_that_fails_at_once_is_noticed_at_once(gw: Gateway, start: Any) -> None:
    gw.sockets.push(503)
    gw.faults.cut(Kind.GATEWAY_HELLO, 2)
    gw.faults.cut(Kind.GATEWAY_CONNECTION_READY, code=1011)
    worker = await start(deadlines=PATIENT)
    assert [type(event.error) for event in worker.heard(events.Reconnecting)] == [LinkLost] * 4
    assert len(worker.heard(events.Connected)) == 1


@pytest.mark.usefixtures("quiet")
async def test_a_handshake_that_was_not_understood_is_reported_with_reason_and_version(
    gw: Gateway, start: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "connect")
    gw.faults.replace(Kind.WORKER_CONNECT, b"\xff")
    worker = await start()
    failure = worker.heard(events.Reconnecting)[0]
    assert "1008 connect_worker_hello_invalid_payload" in str(failure.error)
    assert str(failure.error) in caplog.text
    assert f"inngest {importlib.metadata.version('inngest')}" in caplog.text


def first_frames(gw: Gateway) -> list[int]:
    """The kind of the first frame that came over each connection."""
    firsts: dict[int, int] = {}
    for frame in gw.frames():
        if frame.direction == "in":
            firsts.setdefault(frame.connection, frame.kind)
    return list(firsts.values())


async def test_nothing_is_sent_over_a_new_link_before_worker_connect(gw: Gateway, start: Any, held: Any) -> None:
    """A heartbeat, a lease and a reply come due while the new link still waits for its HELLO."""
    gw.heartbeat_timeout = 5.0
    worker = await start(deadlines=PATIENT)
    run = gw.start_run("app-hold")
    await held.running()
    gw.faults.delay(Kind.GATEWAY_HELLO, 0.3)
    gw.connections[0].drop()
    await gw.wait_for(lambda record: isinstance(record, Opened), count=2)
    held.release.set()
    assert (await run.done()).output == "held"
    await worker.hears(events.Connected, 2)
    await gw.wait_for(Kind.GATEWAY_HEARTBEAT, connection=await gw.wait_for_worker())
    assert set(first_frames(gw)) == {Kind.WORKER_CONNECT}
    assert 1008 not in [end.code for end in ends(gw)]
    assert [call for call in gw.log if isinstance(call, Call) and call.status != 200] == []
