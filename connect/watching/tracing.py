"""OpenTelemetry spans: one for each execution, one for each time the worker was connecting or draining.

An execution's span is the child of the user's trace context, which the server hands on, so it shows up in the trace of whoever
sent the event; what user code opens is its child in turn. It links to the span in which the connection that carries it was made.
Spans go to the tracer provider that the process has set up; without one they cost next to nothing and go nowhere.

Needs the extra `otel`. Attributes follow the semantic conventions for functions as a service (`faas.*`) and for errors; what only
Inngest knows is under `inngest.*`.
"""

import contextlib
import importlib.metadata
import os
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from connect import events
from connect.delivery.replies import STATUS_NAMES
from connect.errors import ConfigurationError
from connect.execution.invocation import Invocation
from connect.execution.outcome import Outcome
from connect.status import ConnectionState

if TYPE_CHECKING:
    from connect.execution.sdk import Apps
    from connect.watching.source import Source

try:
    from opentelemetry import trace
    from opentelemetry.context import Context
    from opentelemetry.trace import Link, Span, SpanContext, SpanKind, StatusCode
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ImportError as error:
    cure = "pip install opentelemetry-sdk opentelemetry-exporter-otlp-proto-http"
    raise ConfigurationError(f"traces need OpenTelemetry: {cure}") from error

_PROPAGATOR: Final = TraceContextTextMapPropagator()
_ABSENT: Final = (ConnectionState.CONNECTING, ConnectionState.RECONNECTING)


def _tracer() -> trace.Tracer:
    return trace.get_tracer("statechart-connect", importlib.metadata.version("statechart-connect"))


def attach(worker: "Source", apps: "Apps") -> None:
    """Open spans for *worker*, and for every execution of *apps* in this process. Before it starts."""
    executions = Executions()
    apps.spans = executions
    Lifecycle(worker, executions)


def export() -> None:
    """Send spans by OTLP over HTTP to where the environment says (`OTEL_EXPORTER_OTLP_ENDPOINT` and its kin), for a process that
    has set up no tracer provider. What is left goes out when the interpreter ends."""
    if _has_no_provider():
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        named = {} if os.environ.get("OTEL_SERVICE_NAME") else {SERVICE_NAME: "inngest-worker"}
        provider = TracerProvider(resource=Resource.create(named))
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        trace.set_tracer_provider(provider)


def _has_no_provider() -> bool:
    """Whether the process has set up no tracer provider. True where OpenTelemetry does not tell: it keeps the first one anyway."""
    stand_in = getattr(trace, "ProxyTracerProvider", None)
    return stand_in is None or isinstance(trace.get_tracer_provider(), stand_in)


class Executions:
    """Spans around executions. `span` is called where user code runs, on whatever thread or process that is."""

    def __init__(self) -> None:
        self.connection: SpanContext | None = None
        self._tracer = _tracer()

    @contextlib.contextmanager
    def span(self, invocation: Invocation) -> Iterator["Execution"]:
        """The span of *invocation* is current inside; an exception of its own making ends it as an error and goes on."""
        with self._tracer.start_as_current_span(
            f"execute {invocation.function_slug}",
            context=_PROPAGATOR.extract(invocation.headers),
            kind=SpanKind.CONSUMER,
            attributes=_attributes(invocation),
            links=_links(self.connection or _known(invocation.connection)),
        ) as span:
            yield Execution(span)

    def traceparent(self) -> str:
        """The span in which the present connection was made, for another process; "": there is none."""
        known = self.connection
        return f"00-{known.trace_id:032x}-{known.span_id:016x}-{known.trace_flags:02x}" if known else ""


class Execution:
    """An open span."""

    def __init__(self, span: Span) -> None:
        self._span = span

    def note(self, outcome: Outcome) -> None:
        """Say what it came to. A step that is not the last one (NOT_COMPLETED) is no error."""
        status = STATUS_NAMES[outcome.status]
        self._span.set_attribute("inngest.status", status)
        if status == "ERROR":
            self._span.set_attribute("error.type", "final" if outcome.no_retry else "retriable")
            self._span.set_status(StatusCode.ERROR, outcome.body[:200].decode(errors="replace"))


class Lifecycle:
    """Spans of connecting and draining, from the worker's events. Made on the loop on which it is told of them."""

    def __init__(self, worker: "Source", executions: Executions) -> None:
        self._tracer = _tracer()
        self._executions = executions
        self._connecting: Span | None = None
        self._draining: Span | None = None
        worker.on(events.StateChanged, self._state)
        worker.on(events.Reconnecting, self._failed)
        worker.on(events.Draining, self._drain)
        worker.on(events.Connected, self._connected)
        worker.on(events.Closed, self._closed)

    def _state(self, told: events.StateChanged) -> None:
        if told.to_state in _ABSENT and self._connecting is None:
            self._connecting = self._begin("connect", told.at, {"inngest.connect.cause": told.event})

    def _failed(self, told: events.Reconnecting) -> None:
        if self._connecting:
            what: dict[str, Any] = {"error.type": type(told.error).__name__, "exception.message": str(told.error)}
            attributes = {**what, "inngest.connect.attempt": told.attempt, "inngest.connect.delay": told.delay}
            self._connecting.add_event("attempt failed", attributes, timestamp=_nanoseconds(told.at))

    def _drain(self, told: events.Draining) -> None:
        if self._draining is None:
            self._draining = self._begin("drain", told.at, {"inngest.connect.by": told.by})
        if told.by == "gateway" and self._connecting is None:
            self._connecting = self._begin("connect", told.at, {"inngest.connect.cause": "gateway_closing"})

    def _connected(self, told: events.Connected) -> None:
        span = self._connecting or self._begin("connect", told.at, {})
        span.set_attribute("inngest.connect.connection_id", told.connection_id)
        span.set_attribute("inngest.connect.gateway_group", told.gateway_group)
        self._executions.connection = span.get_span_context()
        span.end(_nanoseconds(told.at))
        self._connecting = None
        self._end_drain(told.at)

    def _closed(self, told: events.Closed) -> None:
        if self._connecting:
            self._connecting.set_status(StatusCode.ERROR, str(told.error or "the worker was closed"))
            self._connecting.end(_nanoseconds(told.at))
        self._end_drain(told.at)

    def _end_drain(self, at: float) -> None:
        if self._draining:
            self._draining.end(_nanoseconds(at))
            self._draining = None

    def _begin(self, name: str, at: float, attributes: dict[str, Any]) -> Span:
        return self._tracer.start_span(name, kind=SpanKind.CLIENT, attributes=attributes, start_time=_nanoseconds(at))


def _known(traceparent: str) -> SpanContext:
    return trace.get_current_span(_PROPAGATOR.extract({"traceparent": traceparent}, Context())).get_span_context()


def _links(connection: SpanContext) -> list[Link]:
    return [Link(connection)] if connection.is_valid else []


def _attributes(invocation: Invocation) -> dict[str, Any]:
    attributes = {
        "faas.name": invocation.function_slug,
        "faas.invocation_id": invocation.request_id,
        "faas.trigger": "pubsub",
        "inngest.app": invocation.app_name,
        "inngest.run_id": invocation.run_id,
        "inngest.step_id": invocation.step_id,
    }
    return {name: value for name, value in attributes.items() if value is not None}


def _nanoseconds(at: float) -> int:
    return int(at * 1e9) if at else time.time_ns()
