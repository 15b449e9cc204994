"""OpenTelemetry spans: one for each execution, and one for each time that the worker connects or drains.

The server hands the trace context of an event on, and an execution's span is its child: so it appears in the trace of the program
that sent the event. Spans that user code opens are its children in turn. It has a link to the span in which the worker made the
connection that carries it. Spans go to the tracer provider that the process has set up; without one they are dropped, at hardly any
cost.

Needs the extra `otel`. Attributes follow the semantic conventions for functions as a service (`faas.*`) and for errors; those that
only Inngest has are under `inngest.*`.
"""

import time
from typing import TYPE_CHECKING, Any, Final

from connect import events
from connect.execution.otel_spans import LONGEST, Executions, Span, SpanKind, StatusCode, tracer
from connect.state import ConnectionState

if TYPE_CHECKING:
    from connect.execution.sdk import Apps
    from connect.watching.source import Source

_ABSENT: Final = (ConnectionState.CONNECTING, ConnectionState.RECONNECTING)


def attach(worker: "Source", apps: "Apps") -> None:
    """Open spans for *worker*, and for every execution of *apps* in this process. Call it before the worker starts."""
    executions = Executions()
    apps.spans = executions
    Lifecycle(worker, executions)


class Lifecycle:
    """Opens a span for each time that the worker connects or drains. Make it on the loop that is to receive the worker's events."""

    def __init__(self, worker: "Source", executions: Executions) -> None:
        self._tracer = tracer()
        self._executions = executions
        self._connecting: Span | None = None
        self._draining: Span | None = None
        worker.on(events.StateChanged, self._state)
        worker.on(events.Reconnecting, self._failed)
        worker.on(events.Draining, self._drain)
        worker.on(events.Connected, self._connected)
        worker.on(events.Closed, self._closed)

    def _state(self, event: events.StateChanged) -> None:
        if event.to_state in _ABSENT and self._connecting is None:
            self._connecting = self._begin("connect", event.at, {"inngest.connect.cause": event.event})

    def _failed(self, event: events.Reconnecting) -> None:
        if self._connecting:
            what: dict[str, Any] = {"error.type": type(event.error).__name__, "exception.message": str(event.error)}
            attributes = {**what, "inngest.connect.attempt": event.attempt, "inngest.connect.delay": event.delay}
            self._connecting.add_event("attempt failed", attributes, timestamp=_nanoseconds(event.at))

    def _drain(self, event: events.Draining) -> None:
        if self._draining is None:
            self._draining = self._begin("drain", event.at, {"inngest.connect.by": event.by})
        if event.by == "gateway" and self._connecting is None:
            self._connecting = self._begin("connect", event.at, {"inngest.connect.cause": "gateway_closing"})

    def _connected(self, event: events.Connected) -> None:
        span = self._connecting or self._begin("connect", event.at, {})
        span.set_attribute("inngest.connect.connection_id", event.connection_id[:LONGEST])
        span.set_attribute("inngest.connect.gateway_group", event.gateway_group[:LONGEST])
        self._executions.connection = span.get_span_context()
        span.end(_nanoseconds(event.at))
        self._connecting = None
        self._end_drain(event.at)

    def _closed(self, event: events.Closed) -> None:
        if self._connecting:
            self._connecting.set_status(StatusCode.ERROR, str(event.error or "the worker was closed"))
            self._connecting.end(_nanoseconds(event.at))
        self._end_drain(event.at)

    def _end_drain(self, at: float) -> None:
        if self._draining:
            self._draining.end(_nanoseconds(at))
            self._draining = None

    def _begin(self, name: str, at: float, attributes: dict[str, Any]) -> Span:
        return self._tracer.start_span(name, kind=SpanKind.CLIENT, attributes=attributes, start_time=_nanoseconds(at))


def _nanoseconds(at: float) -> int:
    return int(at * 1e9) if at else time.time_ns()
