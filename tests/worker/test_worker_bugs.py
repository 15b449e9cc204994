"""After a bug in an action the worker finishes its work, and start() raises InternalError."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from rig import (
    ACTIVE,
    CLOSED,
    CONNECTING,
    DRAINING,
    RECONNECTING,
    Held,
    Running,
    at_work,
    closed,
    finish,
    reaches,
    reported,
)

from connect import events, frames, wire
from connect import link as link_module
from connect.connection import Connection
from connect.errors import ConfigurationError, ConnectError, InternalError
from connect.execution import Invocation, Outcome
from connect.frames import Frames
from connect.gateway import Gateway, Kind
from connect.link import Link
from connect.request import Request
from connect.requests import Requests
from connect.transport.api import Api

pytestmark = pytest.mark.usefixtures("quiet")


def is_internal(worker: Running) -> None:
    """Whether start() raised InternalError with the bug as its cause."""
    error = worker.task.exception()
    assert isinstance(error, InternalError)
    assert isinstance(error.__cause__, ZeroDivisionError)


async def test_a_bug_while_connecting_closes_at_once(start: Any, breaks: Any, caplog: Any) -> None:
    breaks(Connection, "dial")
    worker = await start(ready=False)
    await closed(worker)
    is_internal(worker)
    assert worker.states == [CONNECTING, CLOSED]
    reported(caplog)


async def test_a_bug_while_active_leaves_start_once_work_is_finished(
    gw: Gateway, held: Held, start: Any, breaks: Any, caplog: Any
) -> None:
    """An action raises when ACTIVE is entered for the second time. The function that runs then finishes, and its reply arrives."""
    breaks(Connection, "flush_replies", nth=2)
    worker = await start()
    run = await at_work(gw, held)
    gw.connections[0].drop()
    await gw.wait_for(Kind.WORKER_PAUSE)
    assert worker.is_closing
    assert not worker.task.done()
    await finish(held, run)
    await closed(worker)
    is_internal(worker)
    assert worker.states == [CONNECTING, ACTIVE, RECONNECTING, ACTIVE, DRAINING, CLOSED]
    reported(caplog)


async def test_a_bug_while_reconnecting_leaves_start_once_work_is_finished(
    gw: Gateway, held: Held, start: Any, breaks: Any, caplog: Any
) -> None:
    breaks(Connection, "dial", nth=2)
    worker = await start()
    run = await at_work(gw, held)
    gw.connections[0].drop()
    await reaches(worker, DRAINING)
    await finish(held, run)
    await closed(worker)
    is_internal(worker)
    assert worker.states == [CONNECTING, ACTIVE, RECONNECTING, DRAINING, CLOSED]
    assert gw.ledger[run.requests[0]].via == "flush"
    reported(caplog)


async def test_a_bug_while_replacing_leaves_start_once_work_is_finished(
    gw: Gateway, held: Held, start: Any, breaks: Any, caplog: Any
) -> None:
    breaks(Connection, "dial", nth=2)
    worker = await start()
    run = await at_work(gw, held)
    await gw.drain()
    await reaches(worker, DRAINING)
    await finish(held, run)
    await closed(worker)
    is_internal(worker)
    assert worker.states == [CONNECTING, ACTIVE, DRAINING, CLOSED]
    assert gw.ledger[run.requests[0]].via == "socket"
    reported(caplog)


async def test_a_bug_while_stopping_closes_at_once_and_reports_what_is_lost(
    gw: Gateway, held: Held, start: Any, breaks: Any, caplog: Any
) -> None:
    breaks(Connection, "pause_links")
    worker = await start()
    run = await at_work(gw, held)
    await worker.close()
    lost = await worker.hears(events.ReplyLost)
    await closed(worker)
    is_internal(worker)
    assert lost.request_id == run.requests[0]
    assert worker.states == [CONNECTING, ACTIVE, DRAINING, CLOSED]
    reported(caplog)


async def test_a_bug_in_a_request_leaves_start_once_the_other_work_is_finished(
    gw: Gateway, held: Held, start: Any, breaks: Any, caplog: Any
) -> None:
    """The request with the bug is lost, which is logged; the others are finished."""
    worker = await start()
    run = await at_work(gw, held)
    breaks(Request, "send_reply")
    broken = gw.start_run("app-echo")
    lost = await worker.hears(events.ReplyLost)
    assert lost.request_id == broken.requests[0]
    await gw.wait_for(Kind.WORKER_PAUSE)
    await finish(held, run)
    await closed(worker)
    is_internal(worker)
    assert worker.states == [CONNECTING, ACTIVE, DRAINING, CLOSED]
    reported(caplog)


async def test_a_bug_as_a_link_comes_up_is_a_failed_attempt(start: Any, breaks: Any, caplog: Any) -> None:
    """The link ends before it was reported as ready. The dial loop does not wait for it."""
    breaks(Link, "report_ready")
    worker = await start()
    assert isinstance(worker.heard(events.Reconnecting)[0].error, ZeroDivisionError)
    assert worker.states == [CONNECTING, ACTIVE]
    reported(caplog)


# -- bugs that would be retried for ever -------------------------------------------------------------------------------------


async def test_a_bug_in_the_start_request_ends_the_worker(gw: Gateway, start: Any, breaks: Any, caplog: Any) -> None:
    """It is logged with its traceback, and nothing is dialled again."""
    breaks(Api, "start")
    worker = await start(ready=False)
    await closed(worker)
    is_internal(worker)
    assert not gw.calls("start")
    assert not worker.heard(events.Reconnecting)
    reported(caplog)


async def test_a_bug_in_opening_the_socket_ends_the_worker(gw: Gateway, start: Any, breaks: Any, caplog: Any) -> None:
    breaks(link_module, "gateway_endpoint")
    worker = await start(ready=False)
    await closed(worker)
    is_internal(worker)
    assert len(gw.calls("start")) == 1
    reported(caplog)


async def test_a_bug_in_the_start_request_of_a_replacement_leaves_start_once_work_is_finished(
    gw: Gateway, held: Held, start: Any, breaks: Any, caplog: Any
) -> None:
    breaks(Api, "start", nth=2)
    worker = await start()
    run = await at_work(gw, held)
    gw.connections[0].drop()
    await reaches(worker, DRAINING)
    await finish(held, run)
    await closed(worker)
    is_internal(worker)
    reported(caplog)


@pytest.mark.parametrize(
    ("owner", "name"),
    [(Requests, "receive"), (Requests, "lease_answered"), (Frames, "_on_heartbeat")],
)
async def test_a_bug_in_what_handles_a_frame_ends_the_worker(
    gw: Gateway,
    held: Held,
    start: Any,
    breaks: Any,
    caplog: Any,
    owner: type,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The frame would come again over every new link. The request that it was about is run elsewhere, or finished here."""
    breaks(owner, name)
    gw.heartbeat_interval = gw.extend_lease_interval = "50ms"
    if name == "_on_heartbeat":
        monkeypatch.setitem(frames._HANDLERS, Kind.GATEWAY_HEARTBEAT, Frames._on_heartbeat)
    worker = await start()
    gw.start_run("app-hold")
    await reaches(worker, DRAINING)
    held.release.set()
    await closed(worker)
    is_internal(worker)
    assert worker.states[:3] == [CONNECTING, ACTIVE, DRAINING]
    reported(caplog)


async def test_a_second_bug_in_the_actions_of_links_ends_the_worker(
    gw: Gateway, start: Any, breaks: Any, caplog: Any
) -> None:
    """The first one costs its link only; met by every link, it would be retried for ever."""
    gw.heartbeat_interval = "50ms"
    breaks(Link, "send_worker_connect")
    breaks(Link, "send_heartbeat")
    worker = await start(ready=False)
    await closed(worker)
    is_internal(worker)
    assert worker.states == [CONNECTING, ACTIVE, DRAINING, CLOSED]
    reported(caplog)


async def test_a_bug_in_a_flush_ends_the_worker_and_loses_no_reply(
    gw: Gateway, held: Held, start: Any, breaks: Any, caplog: Any
) -> None:
    """The flush is tried again while the worker stops."""
    breaks(Api, "flush")
    worker = await start()
    gw.faults.lose(Kind.WORKER_REPLY_ACK, count=None)
    run = gw.start_run("app-echo")
    await run.done()
    await closed(worker)
    is_internal(worker)
    assert not worker.heard(events.ReplyLost)
    assert [call.status for call in gw.calls("flush")] == [200]
    reported(caplog)


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "http://127.0.0.1:1", "https://[::1]:1"])
async def test_a_proxy_that_cannot_be_used_is_no_bug(start: Any, monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    """The environment is the user's: the attempt fails with a line that says why, and is made again."""
    monkeypatch.setenv("http_proxy", proxy)
    monkeypatch.setenv("no_proxy", "")
    worker = await start(ready=False)
    failed = await worker.hears(events.Reconnecting, 2)
    assert isinstance(failed.error, ConnectError)


@pytest.mark.parametrize("proxy", ["http://[::1", "http://127.0.0.1:99999"])
async def test_a_proxy_that_is_none_is_refused_at_once(start: Any, monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("http_proxy", proxy)
    monkeypatch.setenv("no_proxy", "")
    with pytest.raises(ConfigurationError, match=r"^http_proxy names a proxy without"):
        await start(ready=False)


@pytest.mark.parametrize("host", ["a" * 70 + ".invalid", "a..b"])
async def test_a_host_that_no_resolver_takes_is_no_bug(start: Any, host: str) -> None:
    worker = await start(ready=False, api_base_url=f"http://{host}:8288")
    failed = await worker.hears(events.Reconnecting)
    assert isinstance(failed.error, ConnectError)


@pytest.mark.parametrize(("owner", "name"), [(Connection, "_make_link"), (Link, "start")])
async def test_a_bug_before_an_attempt_begins_ends_the_worker(
    gw: Gateway, start: Any, breaks: Any, caplog: Any, owner: type, name: str
) -> None:
    breaks(owner, name)
    worker = await start(ready=False)
    await closed(worker)
    is_internal(worker)
    assert not gw.calls("start")
    reported(caplog)


@pytest.mark.parametrize(("owner", "name"), [(Request, "_extend"), (Requests, "status")])
async def test_a_bug_that_each_tick_would_meet_ends_the_worker(
    gw: Gateway, held: Held, start: Any, breaks: Any, caplog: Any, owner: type, name: str
) -> None:
    gw.extend_lease_interval = gw.status_interval = "50ms"
    breaks(owner, name)
    worker = await start()
    run = await at_work(gw, held)
    await reaches(worker, DRAINING)
    await finish(held, run)
    await closed(worker)
    is_internal(worker)
    reported(caplog)


class Leaving:
    """An executor that ends the connection's loop with its first request, and answers the others."""

    def __init__(self) -> None:
        self.asked = 0

    async def start(self) -> None:
        """Nothing to do."""

    async def execute(self, invocation: Invocation) -> Outcome:
        self.asked += 1
        if self.asked == 1:
            raise SystemExit(3)
        await asyncio.sleep(0.2)
        return Outcome(wire.SDKResponseStatus.DONE, b'"done"')

    async def stop(self) -> None:
        """Nothing to do."""


async def test_what_stops_the_connections_loop_ends_the_worker_once_work_is_finished(
    gw: Gateway, start: Any, caplog: Any
) -> None:
    worker = await start(executor=Leaving())
    runs = [gw.start_run("app-echo"), gw.start_run("app-echo")]
    async with asyncio.timeout(10):
        for run in runs:
            await run.done()
    assert [run.status for run in runs] == ["failed", "completed"]
    await closed(worker)
    error = worker.task.exception()
    assert isinstance(error, InternalError)
    assert "event loop was stopped by SystemExit: 3" in str(error)
    caplog.clear()


class Odd:
    """An executor that does as it is told."""

    def __init__(self, execute: Callable[[Invocation], Any]) -> None:
        self.execute = execute

    async def start(self) -> None:
        """Nothing to do."""

    async def stop(self) -> None:
        """Nothing to do."""


def raises(_: Invocation) -> Any:
    raise ValueError("before there is a coroutine")


async def returns_bytes(_: Invocation) -> Any:
    return b'{"a": 1}'


async def returns_nothing(_: Invocation) -> Any:
    return None


@pytest.mark.parametrize("execute", [raises, returns_bytes, returns_nothing])
async def test_an_executor_that_does_what_it_must_not_fails_that_request_alone(
    gw: Gateway, start: Any, execute: Any, caplog: Any
) -> None:
    worker = await start(executor=Odd(execute))
    run = gw.start_run("app-echo")
    async with asyncio.timeout(5):
        await run.done()
    assert run.status == "failed"
    assert "the executor failed on request" in caplog.text
    assert worker.get_state() is ACTIVE
    assert len(gw.connections) == 1
    caplog.clear()


async def test_an_executor_may_return_a_future(gw: Gateway, start: Any) -> None:
    def execute(_: Invocation) -> Any:
        loop = asyncio.get_running_loop()
        outcome = loop.create_future()
        loop.call_soon(outcome.set_result, Outcome(wire.SDKResponseStatus.DONE, b'"done"'))
        return outcome

    await start(executor=Odd(execute))
    assert (await gw.invoke("app-echo")).output == "done"
