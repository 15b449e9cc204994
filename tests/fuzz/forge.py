"""Forges frames of a gateway: messages are filled by the schema, then spoilt on the wire in ways that only a protobuf has."""

import contextlib
import json
import random
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from connect import wire
from connect.errors import ProtocolError
from connect.gateway import GARBAGE, Kind
from connect.wire import codec, ulid

KINDS: Final[dict[int, type[Message] | None]] = {
    Kind.GATEWAY_HELLO: None,
    Kind.GATEWAY_CONNECTION_READY: wire.GatewayConnectionReadyData,
    Kind.GATEWAY_EXECUTOR_REQUEST: wire.GatewayExecutorRequestData,
    Kind.WORKER_REPLY_ACK: wire.WorkerReplyAckData,
    Kind.GATEWAY_HEARTBEAT: None,
    Kind.GATEWAY_CLOSING: None,
    Kind.WORKER_REQUEST_EXTEND_LEASE_ACK: wire.WorkerRequestExtendLeaseAckData,
    Kind.SYNC_FAILED: wire.SystemError,
}
"""What a gateway sends."""

INTERVALS: Final = ("", "0s", "1ns", "-1s", "20ms", "1s", "9999999h", "1h1h1h", "NaN", "10", "\u0661s")
TEXTS: Final = ("", "x", "\0", "\n\x1b[31m", "\u202eabc", "🙂", "é" * 5_000, "y" * 200_000)
BYTES: Final = (b"", b"{}", b"null", b"[" * 5_000, b'{"ctx":{}}', b"\xff\xfe", b"z" * 300_000, b'{"traceparent":1}')

VARINT, FIXED64, LENGTH, GROUP, END_GROUP, FIXED32 = range(6)


class Field(NamedTuple):
    """A field on the wire. *value* is what follows the tag, encoded."""

    number: int
    wire_type: int
    value: bytes


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def counted(data: bytes) -> bytes:
    return varint(len(data)) + data


def encoded(fields: Sequence[Field]) -> bytes:
    return b"".join(varint(each.number << 3 | each.wire_type) + each.value for each in fields)


class Forge:
    """Draws from *chance*. `ids` are the request ids that a frame may be about; it adds those that it makes up."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.ids: list[str] = []
        self.acknowledged: set[str] = set()
        """Request ids of the reply ACKs that it made up: a worker has to believe those."""

    def frame(self) -> bytes | str:
        """A frame, valid or spoilt."""
        if self._chance.random() < 0.03:
            return self._chance.choice(list(GARBAGE.values()))
        kind = self._chance.choice(list(KINDS))
        fields = [
            Field(1, VARINT, varint(kind)),
            Field(2, LENGTH, counted(self.payload(kind))),
        ]
        data = self._spoilt(fields) if self._chance.random() < 0.3 else encoded(fields)
        self._note(data)
        return data

    def payload(self, kind: int) -> bytes:
        """A payload of *kind*, valid or spoilt."""
        shape = KINDS.get(kind)
        if shape is None:
            return b"" if self._chance.random() < 0.8 else self._chance.randbytes(20)
        fields = [self._field(each) for each in shape.DESCRIPTOR.fields if self._chance.random() < 0.9]
        data = self._spoilt(fields) if self._chance.random() < 0.5 else encoded(fields)
        self._note(codec.encode(Kind.ValueType(kind), data))
        return data

    def _note(self, frame: bytes) -> None:
        with contextlib.suppress(ProtocolError):
            payload = codec.decode(frame).payload
            if isinstance(payload, wire.WorkerReplyAckData):
                self.acknowledged.add(payload.request_id)

    def answer(self, message: bytes) -> bytes:
        """The body of an HTTP answer, spoilt; *message* is the right one."""
        spoil = self._chance.choice(
            (self._truncated, self._flipped, lambda _: self._chance.choice(BYTES), lambda data: data * 3)
        )
        return spoil(message)

    # -- a field as the schema has it

    def _field(self, field: FieldDescriptor) -> Field:
        if field.type == FieldDescriptor.TYPE_STRING:
            text = self._text(field.name)
            if self._chance.random() < 0.03:
                return Field(field.number, LENGTH, counted(b"\xc3\x28" + text.encode()))  # no UTF-8
            return Field(field.number, LENGTH, counted(text.encode()))
        if field.type == FieldDescriptor.TYPE_BYTES:
            data = self._request_json() if field.name == "request_payload" else self._chance.choice(BYTES)
            return Field(field.number, LENGTH, counted(data))
        return Field(field.number, VARINT, varint(self._chance.randrange(2**32)))

    def _text(self, name: str) -> str:
        odd = self._chance.random() < 0.15
        if odd:
            return self._chance.choice(TEXTS)
        if name.endswith("_interval"):
            return self._chance.choice(INTERVALS)
        if name == "request_id":
            if self.ids and self._chance.random() < 0.7:
                return self._chance.choice(self.ids[-50:])
            self.ids.append(ulid.new())
            return self.ids[-1]
        if name.endswith("lease_id"):
            return "" if self._chance.random() < 0.2 else ulid.new()
        if name == "app_name":
            return "app"
        if name == "function_slug":
            return self._chance.choice(("app-echo", "app-slow", "app-fail", "app-sync", "app-none"))
        return ulid.new()

    def _request_json(self) -> bytes:
        if self._chance.random() < 0.3:
            return self._chance.choice(BYTES)
        event = {"name": "echo", "data": {"value": 1}, "id": "e", "ts": 1}
        context = {
            "attempt": 0,
            "disable_immediate_execution": False,
            "fn_id": "f",
            "run_id": "r",
            "stack": {"stack": []},
        }
        content: dict[str, Any] = {"ctx": context, "event": event, "events": [event], "steps": {}, "use_api": False}
        if self._chance.random() < 0.2:
            del content[self._chance.choice(list(content))]
        return json.dumps(content).encode()

    # -- spoiling

    def _spoilt(self, fields: list[Field]) -> bytes:
        """*fields* as bytes, with one to three things wrong."""
        fields = list(fields)
        for _ in range(self._chance.randint(1, 3)):
            self._chance.choice(self._of_fields)(self, fields)
        data = encoded(fields)
        return self._chance.choice((self._truncated, self._flipped))(data) if self._chance.random() < 0.3 else data

    def _truncated(self, data: bytes) -> bytes:
        return data[: self._chance.randrange(len(data) + 1)]

    def _flipped(self, data: bytes) -> bytes:
        spoilt = bytearray(data)
        for _ in range(min(len(spoilt), 3)):
            spoilt[self._chance.randrange(len(spoilt))] ^= 1 << self._chance.randrange(8)
        return bytes(spoilt)

    def _leave_out(self, fields: list[Field]) -> None:
        if fields:
            fields.pop(self._chance.randrange(len(fields)))

    def _double(self, fields: list[Field]) -> None:
        if fields:
            fields.insert(self._chance.randrange(len(fields)), self._chance.choice(fields))

    def _retype(self, fields: list[Field]) -> None:
        if fields:
            place = self._chance.randrange(len(fields))
            of_type = {VARINT: varint(7), FIXED64: b"\1" * 8, FIXED32: b"\1" * 4, LENGTH: counted(b"\x08\x01")}
            wire_type = self._chance.choice(list(of_type))
            fields[place] = Field(fields[place].number, wire_type, of_type[wire_type])

    def _huge_number(self, fields: list[Field]) -> None:
        value = self._chance.choice(
            (b"\xff" * 9 + b"\x01", b"\xff" * 10, b"\xff" * 11 + b"\x01", b"\x80" * 9 + b"\x00")
        )
        fields.append(Field(self._chance.choice((1, 2, 99)), VARINT, value))

    def _wrong_length(self, fields: list[Field]) -> None:
        fields.append(
            Field(self._chance.choice((1, 2, 99)), LENGTH, varint(self._chance.choice((5, 2**31 - 1, 2**32, 2**63))))
        )

    def _unknown(self, fields: list[Field]) -> None:
        fields.append(Field(self._chance.choice((0, 77, 18_999, 19_500, 2**29 - 1)), LENGTH, counted(b"unknown" * 100)))

    def _nest(self, fields: list[Field]) -> None:
        depth = self._chance.choice((1, 99, 101, 5_000))
        if self._chance.random() < 0.5:
            fields.append(
                Field(88, GROUP, encoded([Field(88, GROUP, b"")] * depth + [Field(88, END_GROUP, b"")] * (depth + 1)))
            )
        else:
            nested = b""
            for _ in range(min(depth, 500)):
                nested = encoded([Field(88, LENGTH, counted(nested))])
            fields.append(Field(88, LENGTH, counted(nested)))

    def _shuffle(self, fields: list[Field]) -> None:
        self._chance.shuffle(fields)

    _of_fields: Final[tuple[Callable[["Forge", list[Field]], None], ...]] = (
        _leave_out,
        _double,
        _retype,
        _huge_number,
        _wrong_length,
        _unknown,
        _nest,
        _shuffle,
    )
