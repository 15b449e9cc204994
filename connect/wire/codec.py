"""Frames and messages: decodes the frames of a gateway, encodes those of a worker (PROTOCOL.md §3). It does no I/O."""

from typing import Final, NamedTuple, TypeAlias

from google.protobuf.message import DecodeError, Message

from connect import wire
from connect.errors import ProtocolError
from connect.wire import fields

Kind = wire.GatewayMessageType

SUBPROTOCOL: Final = "v0.connect.inngest.com"
"""Of the WebSocket (PROTOCOL.md §2)."""
MESSAGE_LIMIT: Final = 8_388_608
"""Bytes of the largest message that the gateway reads; at a larger one it closes the socket with 1009 (PROTOCOL.md §2)."""

LARGE: Final = 64 * 1024
"""Bytes from which on a message must have at most `MOST_FIELDS`: many small fields take protobuf a second, and the loop with it."""
MOST_FIELDS: Final = 100

Payload: TypeAlias = (
    wire.GatewayConnectionReadyData
    | wire.GatewayExecutorRequestData
    | wire.WorkerReplyAckData
    | wire.WorkerRequestExtendLeaseAckData
    | wire.SystemError
)

# Used for each request, and looking a member up in a protobuf enum takes as long as encoding the frame: do that once.
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
    """A frame from the gateway. `kind` may be unknown to this schema; `payload` is None then, and for kinds without a message."""

    kind: int
    payload: Payload | None


def decode(data: bytes) -> Frame:
    """Decode a binary frame; an empty one is GATEWAY_HELLO. Raises: ProtocolError: the frame or its payload does not decode."""
    try:
        _check_fields(data)
        message = wire.ConnectMessage.FromString(data)
        payload = _PAYLOADS.get(message.kind)
        if payload is None:
            return Frame(message.kind, None)
        body = message.payload
        _check_fields(body)
        return Frame(message.kind, payload.FromString(body))
    except DecodeError:
        raise ProtocolError(f"a frame of {len(data)} bytes does not decode") from None


def _check_fields(message: bytes) -> None:
    if len(message) >= LARGE and fields.exceed(message, MOST_FIELDS):
        raise ProtocolError(f"a message of {len(message)} bytes has more fields than any that the protocol knows")


def encode(kind: Kind, payload: Message | bytes = b"") -> bytes:
    """A frame of *kind*; *payload* is a message, or one that is serialised already."""
    body = payload if isinstance(payload, bytes) else payload.SerializeToString()
    return wire.ConnectMessage(kind=kind, payload=body).SerializeToString()


def kind_name(kind: int) -> str:
    """The name of *kind*, such as `GATEWAY_HELLO`; `kind 99` where this schema does not know it."""
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
    """WORKER_REPLY; *body* is a serialised SDKResponse."""
    return encode(_REPLY, body)
