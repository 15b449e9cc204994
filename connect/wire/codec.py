"""Bytes ⇄ messages, pure: what a frame says, and the frames that a worker writes (PROTOCOL.md §3)."""

from typing import Final, NamedTuple, TypeAlias

from google.protobuf.message import DecodeError, Message

from connect import wire
from connect.errors import ProtocolError

Kind = wire.GatewayMessageType

MESSAGE_LIMIT: Final = 8_388_608
"""Bytes that the gateway reads in one message; above it the socket closes with 1009 (PROTOCOL.md §2)."""

Payload: TypeAlias = (
    wire.GatewayConnectionReadyData
    | wire.GatewayExecutorRequestData
    | wire.WorkerReplyAckData
    | wire.WorkerRequestExtendLeaseAckData
    | wire.SystemError
)

# Written once per request; looking a member up in a protobuf enum costs as much as encoding the frame.
_ACK: Final = Kind.WORKER_REQUEST_ACK
_EXTEND_LEASE: Final = Kind.WORKER_REQUEST_EXTEND_LEASE
_REPLY: Final = Kind.WORKER_REPLY

_PAYLOADS: Final[dict[int, type[Payload]]] = {
    Kind.GATEWAY_CONNECTION_READY: wire.GatewayConnectionReadyData,
    Kind.GATEWAY_EXECUTOR_REQUEST: wire.GatewayExecutorRequestData,
    Kind.WORKER_REPLY_ACK: wire.WorkerReplyAckData,
    Kind.WORKER_REQUEST_EXTEND_LEASE_ACK: wire.WorkerRequestExtendLeaseAckData,
    Kind.SYNC_FAILED: wire.SystemError,
}


class Frame(NamedTuple):
    """A frame from the gateway. `kind` may be one that this schema does not know; `payload` is None for an empty message."""

    kind: int
    payload: Payload | None


def decode(data: bytes) -> Frame:
    """Read a binary frame; an empty one is GATEWAY_HELLO. Raises: ProtocolError: it, or its payload, does not decode."""
    try:
        message = wire.ConnectMessage.FromString(data)
        payload = _PAYLOADS.get(message.kind)
        return Frame(message.kind, payload.FromString(message.payload) if payload else None)
    except DecodeError:
        raise ProtocolError(f"a frame of {len(data)} bytes does not decode") from None


def encode(kind: Kind, payload: Message | bytes = b"") -> bytes:
    """A frame as the gateway reads it."""
    body = payload if isinstance(payload, bytes) else payload.SerializeToString()
    return wire.ConnectMessage(kind=kind, payload=body).SerializeToString()


def kind_name(kind: int) -> str:
    """`GATEWAY_HELLO`, or the bare number of a kind that this schema does not know."""
    return Kind.Name(Kind.ValueType(kind)) if kind in Kind.values() else f"kind {kind}"


def ack(request: wire.GatewayExecutorRequestData) -> bytes:
    """WORKER_REQUEST_ACK for *request*."""
    message = wire.WorkerRequestAckData(
        request_id=request.request_id,
        account_id=request.account_id,
        env_id=request.env_id,
        app_id=request.app_id,
        function_slug=request.function_slug,
        system_trace_ctx=request.system_trace_ctx,
        user_trace_ctx=request.user_trace_ctx,
        run_id=request.run_id,
    )
    if request.HasField("step_id"):
        message.step_id = request.step_id
    return encode(_ACK, message)


def extend_lease(request: wire.GatewayExecutorRequestData, lease_id: str) -> bytes:
    """WORKER_REQUEST_EXTEND_LEASE for *request*, whose newest lease is *lease_id*."""
    message = wire.WorkerRequestExtendLeaseData(
        request_id=request.request_id,
        account_id=request.account_id,
        env_id=request.env_id,
        app_id=request.app_id,
        function_slug=request.function_slug,
        system_trace_ctx=request.system_trace_ctx,
        user_trace_ctx=request.user_trace_ctx,
        run_id=request.run_id,
        lease_id=lease_id,
    )
    if request.HasField("step_id"):
        message.step_id = request.step_id
    return encode(_EXTEND_LEASE, message)


def reply(body: bytes) -> bytes:
    """WORKER_REPLY, of a serialised SDKResponse."""
    return encode(_REPLY, body)
