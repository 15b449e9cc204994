"""OpenTelemetry spans around executions, opened on the thread or in the process where user code runs. Needs the extra `otel`.

`connect.watching.tracing` says what they hold.
"""

import contextlib
import importlib.metadata
import os
from collections.abc import Iterator
from typing import Any, Final

from connect.errors import ConfigurationError
from connect.execution.invocation import Invocation
from connect.execution.outcome import STATUS_NAMES, Outcome

try:
    from opentelemetry import trace
    from opentelemetry.context import Context
    from opentelemetry.trace import Link, Span, SpanContext, SpanKind, StatusCode
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ImportError as error:
    cure = "pip install opentelemetry-sdk opentelemetry-exporter-otlp-proto-http"
    raise ConfigurationError(f"traces need OpenTelemetry: {cure}") from error

__all__ = ["Execution", "Executions", "Span", "SpanKind", "StatusCode", "export", "tracer"]

_PROPAGATOR: Final = TraceContextTextMapPropagator()


def tracer() -> trace.Tracer:
    """What opens the worker's spans."""
    return trace.get_tracer("statechart-connect", importlib.metadata.version("statechart-connect"))


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
        self._tracer = tracer()

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
