"""How many fields a message has, asked before protobuf decodes it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connect import wire
from connect.wire import fields


@given(st.binary(max_size=300), st.text(max_size=300), st.integers(0, 2**31 - 1))
def test_a_message_that_protobuf_wrote_does_not_exceed_the_number_of_its_fields(
    body: bytes, text: str, kind: int
) -> None:
    message = wire.ConnectMessage(kind=kind, payload=body).SerializeToString()  # type: ignore[arg-type]
    assert not fields.exceed(message, 2)
    request = wire.GatewayExecutorRequestData(request_payload=body, request_id=text, run_id=text)
    assert not fields.exceed(request.SerializeToString(), 3)


@pytest.mark.parametrize("field", [b"\x78\x01", b"\x79" + bytes(8), b"\x7a\x01x", b"\x7d" + bytes(4)])
def test_one_field_too_many_exceeds(field: bytes) -> None:
    assert not fields.exceed(field * 5, 5)
    assert fields.exceed(field * 6, 5)


@pytest.mark.parametrize("message", [b"\x7b\x7c", b"\xff", b"\x7a\x05x", b"\x08", b"\xff" * 20, b"\x79\x01"])
def test_groups_and_what_does_not_decode_exceed_any_number(message: bytes) -> None:
    assert fields.exceed(message, 100)


@given(st.binary(max_size=60))
def test_nothing_is_raised_for_any_bytes(message: bytes) -> None:
    assert fields.exceed(message, 3) in (True, False)
