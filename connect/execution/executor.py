"""The seam between the connection and user code: an invocation goes in, an outcome comes out."""

import json
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from connect.wire import SDKResponseStatus


@dataclass(frozen=True, slots=True)
class Invocation:
    """One execution that the gateway asked for.

    `payload` is the request JSON (PROTOCOL.md §6.2) as it came; `step_id` is None where no single step is targeted;
    `trace_context` is the user's W3C trace context as JSON, which may be anything (§6.3).
    """

    request_id: str
    run_id: str
    app_name: str
    function_slug: str
    step_id: str | None
    payload: bytes
    job_id: str = ""
    trace_context: bytes = b""
    connection: str = ""
    """The span in which the connection that brought it was made, as a W3C `traceparent`, for a process that does not know it."""

    @property
    def headers(self) -> dict[str, str]:
        """What the SDK's request handler and middleware read: ids, and the trace context where there is one. Made anew each time:
        the connection's loop has no use for them."""
        headers = {"x-request-id": self.request_id, "x-inngest-job-id": self.job_id}
        try:
            context = json.loads(self.trace_context or b"{}")
        except (ValueError, RecursionError):
            context = None
        if isinstance(context, dict):
            headers |= {key: context[key] for key in ("traceparent", "tracestate") if isinstance(context.get(key), str)}
        return {key: text for key, text in headers.items() if text}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an execution came to: the part of an SDKResponse that user code decides (PROTOCOL.md §6.6)."""

    status: SDKResponseStatus
    body: bytes
    no_retry: bool = False
    retry_after: str | None = None
    sdk_version: str = ""
    request_version: int = 0


class Executor(Protocol):
    """Runs invocations. All three methods are called on the connection's loop."""

    async def start(self) -> None:
        """Be ready to execute. Called once, before the first dial."""

    async def execute(self, invocation: Invocation) -> Outcome:
        """Run *invocation* to its outcome.

        A function that fails is an outcome too (ERROR): raising means that the executor itself is broken, and is answered
        with a retriable ERROR reply. Cancelling asks the user's code to stop, and this call to return once it has: by
        `CancelledError` where it stopped, with its outcome where it could not be stopped (a sync function on a thread).
        """

    async def stop(self) -> None:
        """Release threads and processes. No call of `execute` is under way, save what could not be stopped."""


class Span(Protocol):
    """The trace of one execution, open."""

    def note(self, outcome: Outcome) -> None:
        """Say what it came to."""


class Spans(Protocol):
    """What opens them: called where user code runs."""

    def span(self, invocation: Invocation) -> AbstractContextManager[Span]: ...

    def traceparent(self) -> str:
        """The span in which the present connection was made; "": there is none."""
