"""The test gateway may serve a session of weeks, and any program on this machine: what it records has a bound."""

from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
from growth import alive, growth
from rig import Apps

from connect import Deadlines
from connect.gateway import Gateway, handshake, ledger, scheduler
from connect.gateway.granted_leases import Lease
from connect.gateway.handshake import Session
from connect.gateway.run import Function
from connect.wire import SDKResponse, StartRequest


@pytest.fixture
async def gw(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Gateway]:
    """A gateway with small bounds."""
    monkeypatch.setattr(handshake, "SESSIONS", 20)
    monkeypatch.setattr(ledger, "STRANGERS", 20)
    monkeypatch.setattr(scheduler, "FUNCTIONS", 20)
    async with Gateway(log_capacity=200, ledger_capacity=200, record_bytes=1_000_000) as gateway:
        yield gateway


@pytest.fixture
async def post(gw: Gateway) -> AsyncIterator[Callable[..., Any]]:
    """`post(path, body)`: the status of the gateway's answer."""
    async with aiohttp.ClientSession(gw.url) as session:

        async def ask(path: str, body: bytes) -> int:
            async with session.post(path, data=body) as answer:
                await answer.read()
                return answer.status

        yield ask


async def test_log_requests_and_runs_hold_so_many_bytes_and_no_more(gw: Gateway, start: Any) -> None:
    """Each of these runs is 100 KB in its event, request, reply and output."""
    await start(deadlines=Deadlines(pause=0.01, remember=0.0))
    assert await growth(lambda _: gw.invoke("app-echo", {"value": "x" * 100_000}), 40) < 2_000_000


async def test_session_tokens_are_kept_for_the_last_start_requests_only(post: Any) -> None:
    """Each is valid for five minutes, and any program may ask."""
    before = alive(Session)
    for _ in range(60):
        assert await post("/v0/connect/start", StartRequest().SerializeToString()) == 200
    assert alive(Session) - before <= 20


async def test_replies_to_unknown_requests_are_kept_for_the_last_ones_only(gw: Gateway, post: Any) -> None:
    async def flush(number: int) -> None:
        reply = SDKResponse(request_id=f"{number}-{'x' * 20_000}", system_trace_ctx=b"{}")
        assert await post("/v0/connect/flush", reply.SerializeToString()) == 200

    assert await growth(flush, 50) < 1_000_000


async def test_leases_of_requests_that_were_never_answered_are_kept_for_the_last_ones_only(
    gw: Gateway, start: Any
) -> None:
    gw.routing_timeout = 0.0
    worker = await start()
    await worker.connection.close(wait=True)
    before = alive(Lease)
    for _ in range(250):
        await gw.invoke("app-echo")
    assert alive(Lease) - before <= 200


async def test_functions_are_known_that_were_synced_last(gw: Gateway, apps: Apps, start: Any) -> None:
    async def nothing(ctx: Any) -> None: ...

    for number in range(60):
        apps.function(f"number-{number}")(nothing)
    before = alive(Function)
    await start()
    assert alive(Function) - before <= 20
    assert "app-number-59" in gw.functions


async def test_events_that_are_waited_for_leave_nothing_behind(gw: Gateway, apps: Apps, start: Any) -> None:
    """Each run waits for an event of another name."""

    @apps.function("wait")
    async def wait(ctx: Any) -> None:
        await ctx.step.wait_for_event("it", event="x" * 50_000 + ctx.run_id, timeout=timedelta(seconds=1))

    await start(deadlines=Deadlines(pause=0.01, remember=0.0))
    assert await growth(lambda _: gw.invoke("app-wait"), 20) < 1_200_000
