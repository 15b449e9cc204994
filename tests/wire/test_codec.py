"""Frames are encoded and decoded without loss, and no bytes raise anything but a ProtocolError."""

import contextlib
from typing import Any

import pytest
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from connect import wire
from connect.errors import ProtocolError
from connect.wire import codec
from connect.wire.codec import Kind

texts = st.text(max_size=20)
PAYLOADS: dict[int, st.SearchStrategy[Any]] = {
    Kind.GATEWAY_CONNECTION_READY: st.builds(
        wire.GatewayConnectionReadyData, heartbeat_interval=texts, extend_lease_interval=texts, status_interval=texts
    ),
    Kind.WORKER_REPLY_ACK: st.builds(wire.WorkerReplyAckData, request_id=texts),
    Kind.WORKER_REQUEST_EXTEND_LEASE_ACK: st.builds(
        wire.WorkerRequestExtendLeaseAckData, request_id=texts, new_lease_id=st.none() | texts
    ),
    Kind.SYNC_FAILED: st.builds(wire.SystemError, code=texts, message=texts),
}
requests = st.builds(
    wire.GatewayExecutorRequestData,
    request_id=texts,
    account_id=texts,
    env_id=texts,
    app_id=texts,
    app_name=texts,
    function_slug=texts,
    step_id=st.none() | texts,
    request_payload=st.binary(max_size=50),
    system_trace_ctx=st.binary(max_size=50),
    user_trace_ctx=st.binary(max_size=50),
    run_id=texts,
    lease_id=texts,
)
ECHOED = (
    "request_id",
    "account_id",
    "env_id",
    "app_id",
    "function_slug",
    "system_trace_ctx",
    "user_trace_ctx",
    "run_id",
)


def payload_of(frame: bytes, kind: int, message: type[Message]) -> Any:
    outer = wire.ConnectMessage.FromString(frame)
    assert outer.kind == kind
    return message.FromString(outer.payload)


@settings(deadline=None)
@given(st.data())
def test_what_a_gateway_encodes_is_decoded(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from([*PAYLOADS, Kind.GATEWAY_EXECUTOR_REQUEST]))
    payload = data.draw(PAYLOADS.get(kind, requests))
    frame = codec.decode(codec.encode(Kind.ValueType(kind), payload))
    assert (frame.kind, frame.payload) == (kind, payload)


@pytest.mark.parametrize("kind", sorted(set(Kind.values()) - {*PAYLOADS, Kind.GATEWAY_EXECUTOR_REQUEST}))
def test_a_kind_without_a_payload_for_workers_has_none(kind: int) -> None:
    assert codec.decode(codec.encode(Kind.ValueType(kind), b"\xff\xff")) == codec.Frame(kind, None)


def test_an_empty_frame_is_a_hello_and_heartbeats_are_two_bytes() -> None:
    assert codec.encode(Kind.GATEWAY_HELLO) == b""
    assert codec.decode(b"").kind == Kind.GATEWAY_HELLO
    assert codec.encode(Kind.WORKER_HEARTBEAT) == bytes((8, 9))
    assert codec.decode(bytes((8, 10))).kind == Kind.GATEWAY_HEARTBEAT


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_bytes_are_a_frame_or_a_protocol_error(data: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        assert codec.kind_name(codec.decode(data).kind)


@settings(deadline=None)
@given(st.sampled_from([*PAYLOADS, Kind.GATEWAY_EXECUTOR_REQUEST]), st.binary(max_size=200))
def test_so_are_bytes_in_place_of_a_payload(kind: int, data: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        assert codec.decode(codec.encode(Kind.ValueType(kind), data)).kind == kind


@settings(deadline=None)
@given(st.integers(16, 2**31 - 1))
def test_a_kind_of_the_future_is_a_number(kind: int) -> None:
    frame = codec.decode(wire.ConnectMessage(kind=kind).SerializeToString())  # type: ignore[arg-type]
    assert (frame.kind, frame.payload) == (kind, None)
    assert codec.kind_name(kind) == f"kind {kind}"


@settings(deadline=None)
@given(requests)
def test_an_unknown_field_is_passed_over(request: wire.GatewayExecutorRequestData) -> None:
    future = request.SerializeToString() + bytes((0xFA, 0x07, 3)) + b"new"  # field 127, three bytes
    frame = codec.decode(codec.encode(Kind.GATEWAY_EXECUTOR_REQUEST, future))
    assert isinstance(frame.payload, wire.GatewayExecutorRequestData)
    assert frame.payload.request_id == request.request_id


@settings(deadline=None)
@given(requests)
def test_an_ack_echoes_its_request(request: wire.GatewayExecutorRequestData) -> None:
    ack = payload_of(codec.ack(request), Kind.WORKER_REQUEST_ACK, wire.WorkerRequestAckData)
    assert all(getattr(ack, name) == getattr(request, name) for name in ECHOED)
    assert (ack.HasField("step_id"), ack.step_id) == (request.HasField("step_id"), request.step_id)


@settings(deadline=None)
@given(requests, texts)
def test_an_extension_echoes_its_request_with_the_newest_lease(
    request: wire.GatewayExecutorRequestData, lease_id: str
) -> None:
    asked = payload_of(
        codec.extend_lease(request, lease_id), Kind.WORKER_REQUEST_EXTEND_LEASE, wire.WorkerRequestExtendLeaseData
    )
    assert all(getattr(asked, name) == getattr(request, name) for name in ECHOED)
    assert (asked.HasField("step_id"), asked.step_id) == (request.HasField("step_id"), request.step_id)
    assert asked.lease_id == lease_id
