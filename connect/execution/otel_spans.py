"""OpenTelemetry spans for executions, opened on the thread or in the process where user code runs. Needs the extra `otel`.

`connect.watching.tracing` describes them.
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
    raise ConfigurationError(f"traces need OpenTelemetry: {cure}", "traces") from error

__all__ = ["LONGEST", "Execution", "Executions", "Span", "SpanKind", "StatusCode", "export", "tracer"]

LONGEST: Final = 256
"""Characters of the longest text on a span. The gateway names what it likes, and spans wait to be exported."""
_PROPAGATOR: Final = TraceContextTextMapPropagator()


def tracer() -> trace.Tracer:
    """The tracer of this package: it opens the worker's spans."""
    return trace.get_tracer("statechart-connect", importlib.metadata.version("statechart-connect"))


def export() -> None:
    """Send spans by OTLP over HTTP, as the environment's `OTEL_…` variables say (`OTEL_EXPORTER_OTLP_ENDPOINT`).

    Does nothing if the process has set up a tracer provider. The last spans are sent when the interpreter ends.
    """
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
    """Whether the process has set up no tracer provider. True if OpenTelemetry does not say: it keeps the first one anyway."""
    stand_in = getattr(trace, "ProxyTracerProvider", None)
    return stand_in is None or isinstance(trace.get_tracer_provider(), stand_in)


class Executions:
    """Opens a span for each execution. Call `span` on the thread and in the process where user code runs."""

    def __init__(self) -> None:
        self.connection: SpanContext | None = None
        self._tracer = tracer()

    @contextlib.contextmanager
    def span(self, invocation: Invocation) -> Iterator["Execution"]:
        """Make the span of *invocation* current while the block runs. An exception ends it as an error and is raised on."""
        with self._tracer.start_as_current_span(
            f"execute {invocation.function_slug}"[:LONGEST],
            context=_PROPAGATOR.extract(invocation.headers),
            kind=SpanKind.CONSUMER,
            attributes=_attributes(invocation),
            links=_links(self.connection or _known(invocation.connection)),
        ) as span:
            yield Execution(span)

    def traceparent(self) -> str:
        """The W3C traceparent of the span in which the present connection was made, for another process; "": there is none."""
        known = self.connection
        return f"00-{known.trace_id:032x}-{known.span_id:016x}-{known.trace_flags:02x}" if known else ""


class Execution:
    """The open span of an execution."""

    def __init__(self, span: Span) -> None:
        self._span = span

    def note(self, outcome: Outcome) -> None:
        """Note the outcome on the span. NOT_COMPLETED, a step that is not the last one, is no error."""
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
    return {name: value[:LONGEST] for name, value in attributes.items() if value is not None}
