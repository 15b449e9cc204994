"""An invocation: one execution that the gateway asked for, as an executor gets it."""

import json
from dataclasses import dataclass


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
