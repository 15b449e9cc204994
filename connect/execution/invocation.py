"""An invocation: what an executor is given, one execution that the gateway asked for."""

import json
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Invocation:
    """One execution that the gateway asked for.

    `function_slug` is the function's id, app included. `step_id` is None where no single step is asked for. `payload` is the
    request JSON (PROTOCOL.md §6.2) as it came. `trace_context` is the user's W3C trace context as JSON; nothing checks its
    content (§6.3).
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
    """The W3C `traceparent` of the span in which the connection was made; "" except with `isolation="process"` and traces."""

    @property
    def headers(self) -> dict[str, str]:
        """What the SDK's request handler and middleware read: the ids, and `traceparent` and `tracestate` where there are any.

        Built at each access, since only the executor reads them.
        """
        headers = {"x-request-id": self.request_id, "x-inngest-job-id": self.job_id}
        if self.trace_context not in (b"", b"{}"):
            headers |= self._trace_headers()
        return {key: text for key, text in headers.items() if text}

    def _trace_headers(self) -> dict[str, str]:
        try:
            context = json.loads(self.trace_context)
        except (ValueError, RecursionError):
            return {}
        if not isinstance(context, dict):
            return {}
        return {key: context[key] for key in ("traceparent", "tracestate") if isinstance(context.get(key), str)}
