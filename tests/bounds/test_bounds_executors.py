"""A request that was taken away before its function began leaves nothing behind, however long what it waits for is blocked."""

import asyncio
import threading
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

import blocking_functions
import pytest
from growth import growth, traced
from sdk_kit import invocation

from connect import Deadlines, WorkerConnection, connect
from connect.gateway import Gateway, Kind
from connect.wire import GatewayExecutorRequestData, WorkerRequestExtendLeaseAckData, ulid

PAYLOAD = 50_000
"""Bytes that each request holds."""
THREADS = 2


@pytest.fixture
async def gw() -> AsyncIterator[Gateway]:
    """A gateway that keeps no records, which would grow in the memory that is measured."""
    async with Gateway(
        heartbeat_interval="60s", extend_lease_interval="60s", log_capacity=20, ledger_capacity=1
    ) as gateway:
        yield gateway


@pytest.fixture
async def run(gw: Gateway, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    """Start a worker, on a thread of its own: its functions may block the loop that starts it."""
    monkeypatch.setenv("INNGEST_THREAD_POOL_MAX_WORKERS", str(THREADS))
    blocking_functions.go.clear()
    ends: list[tuple[WorkerConnection, threading.Thread]] = []

    async def begin(isolation: str) -> WorkerConnection:
        in_processes = {"apps": "blocking_functions:apps", "processes": 1}
        given: dict[str, Any] = in_processes if isolation == "process" else {"apps": blocking_functions.apps}
        worker = connect(
            **given,
            isolation=isolation,  # type: ignore[arg-type]
            api_base_url=gw.url,
            shutdown_signals=[],
            shutdown_timeout=0.1,
            flush_timeout=0.5,
            deadlines=Deadlines(pause=0.01, process_end=0.1),
        )
        thread = threading.Thread(target=lambda: asyncio.run(worker.start()))
        thread.start()
        ends.append((worker, thread))
        await gw.wait_for_worker(timeout=30)
        return worker

    yield begin
    blocking_functions.go.set()
    for worker, thread in ends:
        await worker.close()
        await asyncio.to_thread(thread.join, 20)
        assert not thread.is_alive()


async def given(gw: Gateway, slug: str) -> str:
    """Send a request for function *slug*, and wait until it is accepted; its id."""
    payload = invocation(slug, {"fill": "x" * PAYLOAD}).payload
    request = GatewayExecutorRequestData(
        request_id=ulid.new(), app_name="app", function_slug=slug, run_id=ulid.new(), request_payload=payload
    )
    since = gw.mark
    await gw.connections[-1].send(Kind.GATEWAY_EXECUTOR_REQUEST, request)
    await gw.wait_for(Kind.WORKER_REQUEST_ACK, since=since)
    return request.request_id


async def given_and_taken_away(gw: Gateway, slug: str) -> None:
    """A request that is accepted, and whose lease the gateway then refuses to extend."""
    request_id = await given(gw, slug)
    nack = WorkerRequestExtendLeaseAckData(request_id=request_id)
    await gw.connections[-1].send(Kind.WORKER_REQUEST_EXTEND_LEASE_ACK, nack)


async def test_a_call_that_waits_for_a_thread_and_is_cancelled_is_forgotten(gw: Gateway, run: Any) -> None:
    await run("thread")
    for _ in range(THREADS):
        await given(gw, "app-thread")
    assert await growth(lambda _: given_and_taken_away(gw, "app-thread"), 40) < 20 * PAYLOAD


@pytest.mark.parametrize("isolation", ["thread", "process"])
async def test_a_call_for_a_blocked_loop_that_is_cancelled_is_forgotten(gw: Gateway, run: Any, isolation: str) -> None:
    await run(isolation)
    await given(gw, "app-loop")
    assert await growth(lambda _: given_and_taken_away(gw, "app-loop"), 40) < 20 * PAYLOAD


async def test_a_result_that_no_gateway_reads_stays_in_its_process(gw: Gateway, run: Any) -> None:
    """It has 30 MB. The worker process would hold it, and the reply that is made of it."""
    await run("process")
    with traced():
        ended = await gw.invoke("app-huge")
        _, most = tracemalloc.get_traced_memory()
    assert ended.error["name"] == "ReplyTooLarge"
    assert most < 20_000_000
