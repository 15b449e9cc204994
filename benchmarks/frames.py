"""The load gateway's frames, as bytes: the parts that are the same in all frames are built once (PROTOCOL.md §3, §6)."""

import json
import re
import struct
from collections.abc import Callable, Iterator
from hashlib import sha1
from itertools import count
from typing import Any, Final

from benchmarks.app import APP, SLUG
from connect import wire
from connect.gateway.executor_request import ACCOUNT_ID, ENV_ID

Kind: Final = wire.GatewayMessageType

# Placeholders as long as real ids; each request replaces them by its own.
_REQUEST, _RUN, _LEASE = (letter * 26 for letter in "QRZ")
_UUID: Final = "6b7f0c1e-5d0a-5c55-9f0e-2f7a8d1c3b4a"


def frame(payload: bytes) -> bytes:
    """*payload* as a binary WebSocket frame from a server."""
    size = len(payload)
    if size < 126:
        return struct.pack(">BB", 0x82, size) + payload
    if size < 65536:
        return struct.pack(">BBH", 0x82, 126, size) + payload
    return struct.pack(">BBQ", 0x82, 127, size) + payload


def message(kind: wire.GatewayMessageType, payload: bytes = b"") -> bytes:
    """A ConnectMessage, framed."""
    return frame(wire.ConnectMessage(kind=kind, payload=payload).SerializeToString())


def reply_ack(request_id: str) -> bytes:
    """WORKER_REPLY_ACK."""
    return _REPLY_ACK + request_id.encode()


# The frame without the id, which is the last field and always 26 bytes long.
_REPLY_ACK: Final = message(Kind.WORKER_REPLY_ACK, wire.WorkerReplyAckData(request_id=_REQUEST).SerializeToString())[
    :-26
]


def request_ids(start: str) -> Iterator[str]:
    """New ids: *start*, of 16 letters, and a count."""
    return (f"{start}{number:010d}" for number in count())


def requests(data: dict[str, Any]) -> Callable[[str, str], bytes]:
    """A function from a request id and a lease id to the GATEWAY_EXECUTOR_REQUEST frame for an event with *data*."""
    whole = message(Kind.GATEWAY_EXECUTOR_REQUEST, _request(data).SerializeToString())
    places = re.compile(f"({_REQUEST}|{_RUN}|{_LEASE})".encode())
    pieces = places.split(whole)

    def fill(request_id: str, lease_id: str) -> bytes:
        # A run of one step has one request: both get the same id.
        ids = {_REQUEST: request_id, _RUN: request_id, _LEASE: lease_id}
        filled = {place.encode(): text.encode() for place, text in ids.items()}
        return b"".join([filled.get(piece, piece) for piece in pieces])

    return fill


def _request(data: dict[str, Any]) -> wire.GatewayExecutorRequestData:
    trace = b"00-%s-%s-01" % (b"4bf92f3577b34da6a3ce929d0e0e4736", b"00f067aa0ba902b7")
    return wire.GatewayExecutorRequestData(
        request_id=_REQUEST,
        account_id=ACCOUNT_ID,
        env_id=ENV_ID,
        app_id=_UUID,
        app_name=APP,
        function_id=_UUID,
        function_slug=SLUG,
        step_id="step",
        request_payload=_payload(data),
        system_trace_ctx=b'{"traceparent":"%s"}' % trace,
        user_trace_ctx=b'{"traceparent":"%s","tracestate":"inngest@fn=%s,inngest@app=%s"}'
        % (trace, SLUG.encode(), APP.encode()),
        run_id=_RUN,
        lease_id=_LEASE,
        job_id=sha1(APP.encode(), usedforsecurity=False).hexdigest(),
    )


def _payload(data: dict[str, Any]) -> bytes:
    """The request JSON of a run's first call."""
    job_id = sha1(APP.encode(), usedforsecurity=False).hexdigest()
    event = {"data": data, "id": "01JD0000000000000000000000", "name": "bench/work", "ts": 1700000000000, "user": {}}
    context = {
        "attempt": 0,
        "disable_immediate_execution": False,
        "env": "",
        "fn_id": _UUID,
        "generation_id": 1,
        "job_id": job_id,
        "max_attempts": 4,
        "qi_id": job_id,
        "request_id": _REQUEST,
        "run_id": _RUN,
        "stack": {"current": 0, "stack": []},
        "step_id": "step",
        "use_api": False,
    }
    content = {
        "ctx": context,
        "defers": {},
        "event": event,
        "events": [event],
        "steps": {},
        "use_api": False,
        "version": -1,
    }
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
