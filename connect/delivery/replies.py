"""Replies: an outcome serialised as an SDKResponse (PROTOCOL.md §6.6), and the outcomes that the worker makes itself."""

from typing import Final

from connect import wire
from connect.execution.outcome import CANCELLED_OP, Outcome, failure, too_large
from connect.log_format import about_request
from connect.redaction import logger
from connect.wire.codec import MESSAGE_LIMIT

_FRAMING: Final = 10
"""Bytes that a frame adds to its payload at most: the kind, a tag and a length."""

log = logger("connect.requests")


def serialise(data: wire.GatewayExecutorRequestData, outcome: Outcome) -> bytes:
    """The SDKResponse for *data*, serialised; one that is larger than the gateway reads is replaced by an ERROR that says so."""
    body = _response(data, outcome).SerializeToString()
    if len(body) + _FRAMING > MESSAGE_LIMIT:
        log.error(
            "the reply to request %s (run %s, %s) has %d bytes, more than a gateway reads: sent an error instead",
            data.request_id,
            data.run_id,
            data.function_slug,
            len(body),
            extra=about_request(data.request_id, data.run_id, data.function_slug),
        )
        return _response(data, too_large(len(body))).SerializeToString()
    return body


def _response(data: wire.GatewayExecutorRequestData, outcome: Outcome) -> wire.SDKResponse:
    response = wire.SDKResponse(
        request_id=data.request_id,
        account_id=data.account_id,
        env_id=data.env_id,
        app_id=data.app_id,
        status=outcome.status,
        body=outcome.body,
        no_retry=outcome.no_retry,
        sdk_version=outcome.sdk_version,
        request_version=outcome.request_version,
        # Sent back byte for byte; an empty one becomes `{}`, since the flush refuses it (PROTOCOL.md §8.2).
        system_trace_ctx=data.system_trace_ctx or b"{}",
        user_trace_ctx=data.user_trace_ctx,
        run_id=data.run_id,
    )
    if outcome.retry_after is not None:
        response.retry_after = outcome.retry_after
    return response


CANCELLED: Final = failure(
    "WorkerShutdown",
    "cancelled: the worker had to stop before this was finished; it is safe to retry",
    retry_after="1",
    op=CANCELLED_OP,
)
BROKEN: Final = failure("WorkerError", "the worker could not run this, and its log says why; it is safe to retry")
