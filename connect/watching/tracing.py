"""OpenTelemetry spans: one for each execution, one for each time the worker was connecting or draining.

An execution's span is the child of the user's trace context, which the server hands on, so it shows up in the trace of whoever
sent the event; what user code opens is its child in turn. It links to the span in which the connection that carries it was made.
Spans go to the tracer provider that the process has set up; without one they cost next to nothing and go nowhere.

Needs the extra `otel`. Attributes follow the semantic conventions for functions as a service (`faas.*`) and for errors; what only
Inngest knows is under `inngest.*`.
"""

import time
from typing import TYPE_CHECKING, Any, Final

from connect import events
from connect.execution.otel_spans import Executions, Span, SpanKind, StatusCode, tracer
from connect.status import ConnectionState

if TYPE_CHECKING:
    from connect.execution.sdk import Apps
    from connect.watching.source import Source

_ABSENT: Final = (ConnectionState.CONNECTING, ConnectionState.RECONNECTING)


def attach(worker: "Source", apps: "Apps") -> None:
    """Open spans for *worker*, and for every execution of *apps* in this process. Before it starts."""
    executions = Executions()
    apps.spans = executions
    Lifecycle(worker, executions)


class Lifecycle:
    """Spans of connecting and draining, from the worker's events. Made on the loop on which it is told of them."""

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


def _nanoseconds(at: float) -> int:
    return int(at * 1e9) if at else time.time_ns()
