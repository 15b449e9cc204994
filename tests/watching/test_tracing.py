"""OpenTelemetry: executions are in the trace of the event's sender; connecting and draining have spans of their own."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from aiohttp import web
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from rig import ACTIVE, DOWN, Apps, Held, at_work, finish, reaches

from connect import events
from connect.execution import otel_spans
from connect.gateway import Gateway

TRACE_ID, SPAN_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SENT = {"traceparent": f"00-{TRACE_ID}-{SPAN_ID}-01"}


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[TracerProvider]:
    """A tracer provider for this test alone, which the worker and user code find."""
    made = TracerProvider()
    monkeypatch.setattr(trace, "get_tracer", lambda name, version=None: made.get_tracer(name, version))
    yield made
    made.shutdown()


@pytest.fixture
def spans(provider: TracerProvider) -> InMemorySpanExporter:
    """The spans that have ended."""
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return exporter


def named(spans: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    """The spans with this name, in the order in which they ended."""
    return [span for span in spans.get_finished_spans() if span.name == name]


@pytest.fixture(params=["thread", "none"])
def isolation(request: pytest.FixtureRequest) -> Any:
    return request.param


async def test_an_execution_is_a_child_of_the_users_trace(
    gw: Gateway, start: Any, spans: InMemorySpanExporter, isolation: Any
) -> None:
    """The span says what ran and how it ended, and links to the span of the connection that brought it."""
    gw.user_trace_ctx = json.dumps(SENT).encode()
    await start(traces=True, isolation=isolation)
    run = await gw.invoke("app-echo", {"value": 1})
    (span,) = named(spans, "execute app-echo")
    assert span.context is not None
    assert span.parent is not None
    assert (f"{span.context.trace_id:032x}", f"{span.parent.span_id:016x}") == (TRACE_ID, SPAN_ID)
    assert span.kind is SpanKind.CONSUMER
    assert dict(span.attributes or {}) == {
        "faas.name": "app-echo",
        "faas.invocation_id": run.requests[0],
        "faas.trigger": "pubsub",
        "inngest.app": "app",
        "inngest.run_id": run.id,
        "inngest.status": "DONE",
    }
    (connecting,) = named(spans, "connect")
    assert [link.context for link in span.links] == [connecting.context]


async def test_what_user_code_opens_is_inside(
    gw: Gateway, apps: Apps, start: Any, provider: TracerProvider, spans: InMemorySpanExporter, isolation: Any
) -> None:
    """This holds in async functions, and in sync ones on their threads."""

    @apps.function("async")
    async def on_a_loop(ctx: Any) -> None:
        with provider.get_tracer("user").start_as_current_span("inner async"):
            await asyncio.sleep(0)

    @apps.function("sync")
    def on_a_thread(ctx: Any) -> None:
        with provider.get_tracer("user").start_as_current_span("inner sync"):
            pass

    await start(traces=True, isolation=isolation)
    for kind in ("async", "sync"):
        await gw.invoke(f"app-{kind}")
        (outer,), (inner,) = named(spans, f"execute app-{kind}"), named(spans, f"inner {kind}")
        assert inner.parent is not None
        assert inner.parent == outer.context


async def test_a_failure_is_an_error(gw: Gateway, apps: Apps, start: Any, spans: InMemorySpanExporter) -> None:
    """The span has the reply's text."""

    @apps.function("fail")
    async def fail(ctx: Any) -> None:
        raise ValueError("no such order")

    await start(traces=True)
    await gw.invoke("app-fail")
    (span,) = named(spans, "execute app-fail")
    assert span.status.status_code is StatusCode.ERROR
    assert "no such order" in (span.status.description or "")
    assert (span.attributes or {})["inngest.status"] == "ERROR"


async def test_connecting_again_and_draining_have_spans(
    gw: Gateway, held: Held, start: Any, spans: InMemorySpanExporter
) -> None:
    """Each failed attempt is an event of the span. A drain lasts until the next link is in use, or until the end."""
    worker = await start(traces=True)
    gw.starts.standing = DOWN
    gw.connections[0].drop()
    await worker.hears(events.Reconnecting, 2)
    gw.starts.clear()
    await reaches(worker, ACTIVE, times=2)
    await gw.wait_for_worker()
    await gw.drain()
    await worker.hears(events.Connected, 3)
    run = await at_work(gw, held)
    await worker.connection.close()
    await finish(held, run)
    await worker.hears(events.Closed)
    connecting = named(spans, "connect")
    causes = [(span.attributes or {})["inngest.connect.cause"] for span in connecting]
    assert causes == ["start", "link_lost", "gateway_closing"]
    assert [event.name for event in connecting[1].events][:2] == ["attempt failed"] * 2
    assert [(span.attributes or {})["inngest.connect.by"] for span in named(spans, "drain")] == ["gateway", "worker"]


@pytest.fixture
async def collector() -> AsyncIterator[tuple[str, list[ExportTraceServiceRequest]]]:
    """An OTLP endpoint over HTTP, and what it was sent."""
    got: list[ExportTraceServiceRequest] = []

    async def take(request: web.Request) -> web.Response:
        body = await request.read()
        plain = gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body
        got.append(ExportTraceServiceRequest.FromString(plain))
        return web.Response(content_type="application/x-protobuf")

    app = web.Application()
    app.router.add_post("/v1/traces", take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    yield f"http://127.0.0.1:{port}/v1/traces", got
    await runner.cleanup()


async def test_spans_arrive_over_otlp(
    gw: Gateway, start: Any, provider: TracerProvider, collector: tuple[str, list[ExportTraceServiceRequest]]
) -> None:
    """A collector decodes them."""
    endpoint, got = collector
    exporter = OTLPSpanExporter(endpoint)
    await start(traces=True)
    spans = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    run = await gw.invoke("app-echo", {"value": 1})
    await asyncio.to_thread(exporter.export, spans.get_finished_spans())
    exporter.shutdown()
    sent = [span for each in got for one in each.resource_spans for two in one.scope_spans for span in two.spans]
    executed = next(span for span in sent if span.name == "execute app-echo")
    attributes = {pair.key: pair.value.string_value for pair in executed.attributes}
    assert (attributes["inngest.run_id"], attributes["faas.invocation_id"]) == (run.id, run.requests[0])


def test_a_provider_of_the_users_own_is_left_alone(monkeypatch: pytest.MonkeyPatch, provider: TracerProvider) -> None:
    """`--traces` sets a provider up only if there is none."""
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    monkeypatch.setattr(trace, "set_tracer_provider", lambda _: pytest.fail("replaced it"))
    otel_spans.export()
