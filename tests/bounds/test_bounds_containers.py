"""What a peer can name anew each time costs the worker a bounded amount of memory."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import prometheus_client
import pytest
import tenacity
from aiohttp import web
from growth import alive, growth
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from rig import Apps

from connect import Deadlines, WorkerConnection, connect, events, listeners
from connect.gateway import Answer, Gateway, Kind
from connect.wire import GatewayExecutorRequestData, StartRequest, ulid

FORGETFUL = Deadlines(pause=0.01, settle=0.3, remember=0.0)
"""Delivered replies are forgotten at once: their memory has a bound of its own."""


@pytest.fixture
async def gw() -> AsyncIterator[Gateway]:
    """A gateway that keeps no records, which would grow in the memory that is measured."""
    settings = {"heartbeat_interval": "60s", "extend_lease_interval": "60s", "close_timeout": 0.5}
    async with Gateway(log_capacity=10, ledger_capacity=10, **settings) as gateway:  # type: ignore[arg-type]
        yield gateway


@pytest.fixture
async def run(gw: Gateway, apps: Apps) -> AsyncIterator[Callable[..., Any]]:
    """Start a worker that tries again at once, whatever happens; none of its events is kept."""
    running: list[tuple[WorkerConnection, asyncio.Task[None]]] = []

    async def begin(**options: Any) -> WorkerConnection:
        eager = tenacity.AsyncRetrying(wait=tenacity.wait_fixed(0), sleep=lambda _: asyncio.sleep(0.001))
        given = {"retry": eager, "deadlines": FORGETFUL, "shutdown_signals": [], "flush_timeout": 5.0, **options}
        worker = connect([(apps.client, apps.functions)], **given)
        running.append((worker, asyncio.create_task(worker.start())))
        return worker

    yield begin
    for worker, task in running:
        await worker.close()
        await asyncio.wait_for(task, 10)


async def asked(gw: Gateway, slug: str, run_id: str = "run") -> None:
    """The gateway sends a request for function *slug*, and gets the reply."""
    request = GatewayExecutorRequestData(
        request_id=ulid.new(), app_name="app", function_slug=slug, run_id=run_id, request_payload=b"{}"
    )
    since = gw.mark
    await gw.connections[-1].send(Kind.GATEWAY_EXECUTOR_REQUEST, request)
    await gw.wait_for(Kind.WORKER_REPLY, since=since)


# -- metrics -----------------------------------------------------------------------------------------------------------------


async def test_functions_that_the_worker_does_not_have_get_no_metrics_of_their_own(gw: Gateway, run: Any) -> None:
    """A function's metrics are some 20 KB."""
    await run(http="127.0.0.1:0", status_page=True)
    await gw.wait_for_worker()
    assert await growth(lambda number: asked(gw, f"app-{number}"), 100) < 400_000


async def test_close_reasons_and_codes_get_no_metrics_of_their_own(gw: Gateway, run: Any) -> None:
    await run(http="127.0.0.1:0", status_page=True)
    before = alive(prometheus_client.Counter)
    for number in range(40):
        connection = await gw.wait_for_worker()
        await connection.close(3000 + number, f"connect_{number}" if number % 2 else "")
        await gw.until(lambda gone=connection: gone not in gw.connections)  # type: ignore[misc]
    await gw.wait_for_worker()
    assert alive(prometheus_client.Counter) < before + 30, "the transitions that came first are among them"


# -- traces ------------------------------------------------------------------------------------------------------------------


async def test_texts_of_a_gateway_are_cut_on_spans(
    gw: Gateway, run: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Spans wait to be exported: 2,048 of them, where OpenTelemetry is left as it is."""
    provider, waiting = TracerProvider(), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(waiting))
    monkeypatch.setattr(trace, "get_tracer", lambda name, version=None: provider.get_tracer(name, version))
    caplog.set_level(logging.CRITICAL, "connect.functions")  # pytest keeps every record
    await run(traces=True)
    await gw.wait_for_worker()
    name = "\U0001f600" * 900  # 3,600 bytes; what has a longer name is ignored
    assert await growth(lambda number: asked(gw, f"app-{number}-{name}", f"{number}-{name}"), 20) < 380_000
    assert len(waiting.get_finished_spans()) > 60
    provider.shutdown()


# -- what the API grants -----------------------------------------------------------------------------------------------------


async def test_an_api_that_grants_another_group_each_time_is_asked_to_avoid_the_last_ones(
    gw: Gateway, run: Any
) -> None:
    """Seen in the bytes of the start request, which lists them."""
    gw.sockets.standing = Answer(503)
    sizes: list[int] = []
    await run()
    for number in range(130):
        gw.groups = (f"group-{number:04}-{'x' * 200}",)
        since = gw.mark
        call = await gw.wait_for(lambda record: getattr(record, "path", "").endswith("start"), since=since)
        assert isinstance(call.message, StartRequest)
        sizes.append(call.message.ByteSize())
    gw.sockets.clear()
    await gw.wait_for_worker()
    assert max(sizes) < 20_000
    assert sizes[-1] > 10_000


async def test_cookies_of_a_peer_are_neither_kept_nor_sent_back(run: Any) -> None:
    sent: list[int] = []
    enough = asyncio.Event()

    async def refuse(request: web.Request) -> web.Response:
        sent.append(sum(map(len, request.headers.getall("Cookie", []))))
        if len(sent) == 50:
            enough.set()
        return web.Response(status=500, headers={"Set-Cookie": f"name-{len(sent)}={'x' * 100}"})

    app = web.Application()
    app.router.add_post("/v0/connect/start", refuse)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        # Cookies of an address without a name are never kept.
        await run(api_base_url=f"http://localhost:{runner.addresses[0][1]}")
        await asyncio.wait_for(enough.wait(), 10)
    finally:
        await runner.cleanup()
    assert sum(sent) == 0


# -- events that are not read --------------------------------------------------------------------------------------------------


async def test_events_that_no_iteration_reads_are_left_out_beyond_a_number(
    gw: Gateway, run: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The last one, `Closed`, is still read."""
    monkeypatch.setattr(listeners, "WAITING", 100)
    worker = await run()
    before = alive(events.RequestReceived)
    reading = worker.events()
    await anext(reading)
    await gw.wait_for_worker()
    for _ in range(300):
        await gw.invoke("app-echo")
    assert alive(events.RequestReceived) - before <= 100
    assert caplog.text.count("the oldest are left out") == 1
    await worker.close(wait=True)
    assert isinstance([event async for event in reading][-1], events.Closed)


async def test_events_for_a_loop_that_is_blocked_are_left_out_beyond_a_number(
    gw: Gateway, run: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """When the loop runs again it hears the last ones, in order."""
    monkeypatch.setattr(listeners, "WAITING", 100)
    worker = await run()
    before = alive(events.RequestReceived)
    listening, go, heard, asked = threading.Event(), threading.Event(), list[str](), list[str]()

    async def listen() -> None:
        worker.on(events.RequestReceived, lambda event: heard.append(event.request_id))
        listening.set()
        go.wait(30)
        await asyncio.sleep(0)  # the loop takes what waits for it
        await asyncio.sleep(0)

    thread = threading.Thread(target=lambda: asyncio.run(listen()))
    thread.start()
    try:
        assert await asyncio.to_thread(listening.wait, 10)
        await gw.wait_for_worker()
        for _ in range(300):
            asked += (await gw.invoke("app-echo")).requests
        kept = alive(events.RequestReceived)
    finally:
        go.set()
        await asyncio.to_thread(thread.join, 10)
    assert kept - before <= 101
    assert heard == asked[-len(heard) :]
    assert caplog.text.count("a loop that is blocked") == 1
