"""What the executors need of tracing. `connect.execution.otel_spans` implements it with OpenTelemetry, which is an extra."""

from contextlib import AbstractContextManager
from typing import Protocol

from connect.execution.invocation import Invocation
from connect.execution.outcome import Outcome


class Span(Protocol):
    """The open span of one execution."""

    def note(self, outcome: Outcome) -> None:
        """Record *outcome* on the span."""


class Spans(Protocol):
    """Opens spans, on the thread or in the process where user code runs."""

    def span(self, invocation: Invocation) -> AbstractContextManager[Span]:
        """The span of *invocation*, current inside the `with`."""

    def traceparent(self) -> str:
        """The W3C `traceparent` of the span in which the connection was made; "" where there is none."""
