"""The test gateway builds GATEWAY_EXECUTOR_REQUEST: ids, trace contexts and the request JSON (PROTOCOL.md §6.1-6.3)."""

import json
import uuid
from typing import Any, Final

from connect.gateway.run import Function, Run
from connect.gateway.settings import Settings
from connect.wire import GatewayExecutorRequestData, ulid

ACCOUNT_ID: Final = "00000000-0000-4000-a000-000000000000"
ENV_ID: Final = "00000000-0000-4000-b000-000000000000"


def request_for(
    run: Run, function: Function, step_id: str, attempt: int, settings: Settings
) -> GatewayExecutorRequestData:
    """A new request: execute *run*, or only its step *step_id*. *attempt* counts from 0."""
    context = _context(run, function, step_id, attempt)
    return GatewayExecutorRequestData(
        request_id=context["request_id"],
        account_id=ACCOUNT_ID,
        env_id=ENV_ID,
        app_id=_uuid(function.app_name),
        app_name=function.app_name,
        function_id=context["fn_id"],
        function_slug=function.slug,
        step_id=step_id,
        request_payload=_payload(run, context, settings.payload_limit),
        system_trace_ctx=_either(settings.system_trace_ctx, _trace_context(run)),
        user_trace_ctx=_either(settings.user_trace_ctx, b"{}"),
        run_id=run.id,
        job_id=context["job_id"],
    )


def canonical(content: Any) -> bytes:
    """*content* as the JSON that a worker gets, whether in a request or from the API."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode(errors="replace")


def _context(run: Run, function: Function, step_id: str, attempt: int) -> dict[str, Any]:
    job_id = ulid.new()
    finished = list(run.memos)
    return {
        "attempt": attempt,
        "disable_immediate_execution": run.planning,
        "env": "",
        "fn_id": _uuid(function.slug),
        "generation_id": 1,
        "job_id": job_id,
        "max_attempts": function.attempts,
        "qi_id": job_id,
        "request_id": ulid.new(),
        "run_id": run.id,
        "stack": {"current": len(finished), "stack": finished},
        "step_id": step_id,
        "use_api": False,
    }


def _payload(run: Run, context: dict[str, Any], limit: int) -> bytes:
    """The request JSON. If it has more than *limit* bytes, it leaves out the steps, then the events: the worker fetches them."""
    content: dict[str, Any] = {
        "ctx": context,
        "defers": {},
        "event": run.event,
        "events": [run.event],
        "steps": run.memos,
        "use_api": False,
        "version": run.version,
    }
    payload = canonical(content)
    for part, emptied in (("steps", {}), ("events", [])):
        if len(payload) <= limit:
            break
        content[part] = emptied
        content["use_api"] = context["use_api"] = True
        payload = canonical(content)
    return payload


def _uuid(name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, name))


def _trace_context(run: Run) -> bytes:
    return b'{"traceparent":"00-%s-%s-01"}' % (uuid.uuid5(uuid.NAMESPACE_URL, run.id).hex.encode(), b"1" * 16)


def _either(chosen: bytes | None, default: bytes) -> bytes:
    return default if chosen is None else chosen
