"""A bug in an action: the worker finishes what it has, and start() raises InternalError."""

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

from connect import events
from connect.connection import Connection
from connect.errors import (
    InternalError,
)
from connect.gateway import Gateway, Kind
from connect.link import Link
from connect.request import Request

pytestmark = pytest.mark.usefixtures("quiet")


def is_internal(worker: Running) -> None:
    """start() raised InternalError, with the bug as its cause."""
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
    """Entering ACTIVE for the second time goes wrong, with a function running: it finishes, its reply arrives, then the error."""
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
    """The request chart's actions are no exception: the one request is lost, loudly, the rest is finished."""
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
    """The link ends before anybody heard that it was ready: the dial loop does not wait for it for ever."""
    breaks(Link, "report_ready")
    worker = await start()
    assert isinstance(worker.heard(events.Reconnecting)[0].error, ZeroDivisionError)
    assert worker.states == [CONNECTING, ACTIVE]
    reported(caplog)
