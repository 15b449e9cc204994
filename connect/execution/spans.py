"""Spans: what an executor needs of tracing, so that it does not depend on OpenTelemetry."""

from contextlib import AbstractContextManager
from typing import Protocol

from connect.execution.invocation import Invocation
from connect.execution.outcome import Outcome


class Span(Protocol):
    """The trace of one execution, open."""

    def note(self, outcome: Outcome) -> None:
        """Say what it came to."""


class Spans(Protocol):
    """What opens them: called where user code runs."""

    def span(self, invocation: Invocation) -> AbstractContextManager[Span]: ...

    def traceparent(self) -> str:
        """The span in which the present connection was made; "": there is none."""
