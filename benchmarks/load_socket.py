"""The load gateway's end of a connection: HTTP requests, then perhaps a WebSocket. Written by hand, to use little CPU."""

import asyncio
import base64
import hashlib
import struct
from collections.abc import Iterator
from typing import Any, Final, Protocol

from benchmarks import frames
from benchmarks.frames import Kind
from connect import wire
from connect.wire import ulid
from connect.wire.codec import SUBPROTOCOL

_ACCEPT: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_BINARY, _CLOSE, _PING = 2, 8, 9


class Listener(Protocol):
    """A connected worker, as its socket sees it."""

    def received(self, payloads: list[bytes]) -> None:
        """Handle frames that came at the same time."""


class Site(Protocol):
    """The gateway, as its sockets see it."""

    address: str
    intervals: wire.GatewayConnectionReadyData

    def routable(self, name: str, socket: "Socket") -> Listener:
        """Note that the worker *name* takes requests over *socket*. Returns the listener for its frames."""

    def flushed(self, request_id: str) -> None:
        """Note a reply that came over HTTP."""


class Socket(asyncio.Protocol):
    """One TCP connection: HTTP requests, then perhaps a WebSocket. `flush` writes what is in `out`."""

    def __init__(self, site: Site) -> None:
        self.out: list[bytes] = []
        self._site = site
        self._rest = b""
        self._is_websocket = False
        self._registration = wire.WorkerConnectRequestData()
        self._worker: Listener | None = None
        self._transport: asyncio.Transport

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._rest = self._rest + data if self._rest else data
        while not self._is_websocket and self._http():
            pass
        if self._is_websocket:
            payloads = list(self._frames())
            if payloads and self._worker:
                self._worker.received(payloads)
            elif payloads:
                self._shake_hands(payloads)
        self.flush()

    def flush(self) -> None:
        if self.out:
            self._transport.write(b"".join(self.out))
            self.out.clear()

    # -- HTTP

    def _http(self) -> bool:
        """Answer the next request, if all of it has come. Returns whether it had."""
        head, separator, rest = self._rest.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        headers = dict(line.lower().split(b": ", 1) for line in lines[1:])
        size = int(headers.get(b"content-length", 0))
        if not separator or len(rest) < size:
            return False
        self._rest = rest[size:]
        if b"upgrade" in headers:
            key = dict(line.split(b": ", 1) for line in lines[1:] if line.lower().startswith(b"sec-websocket-key"))
            self._upgrade(next(iter(key.values())))
        else:
            self._respond(lines[0].split(b" ")[1], rest[:size])
        return True

    def _respond(self, path: bytes, body: bytes) -> None:
        if path == b"/v0/connect/start":
            answer = wire.StartResponse(
                connection_id=ulid.new(),
                gateway_endpoint=f"ws://{self._site.address}/v0/connect",
                gateway_group="load",
                session_token="session",  # noqa: S106 - it is not checked
            ).SerializeToString()
        else:
            # A worker flushes replies that were not acknowledged in time. Here that is a fault, so it is counted.
            request_id = wire.SDKResponse.FromString(body).request_id
            self._site.flushed(request_id)
            answer = wire.FlushResponse(request_id=request_id).SerializeToString()
        self.out.append(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(answer), answer))

    def _upgrade(self, key: bytes) -> None:
        accept = base64.b64encode(hashlib.sha1(key + _ACCEPT, usedforsecurity=False).digest())
        self.out.append(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Protocol: %s\r\nSec-WebSocket-Accept: %s\r\n\r\n" % (SUBPROTOCOL.encode(), accept)
        )
        self.out.append(frames.message(Kind.GATEWAY_HELLO))
        self._is_websocket = True

    # -- WebSocket

    def _frames(self) -> Iterator[bytes]:
        """The payloads of the complete binary frames; control frames are answered."""
        data, at = self._rest, 0
        while len(data) - at >= 6:
            size, start = data[at + 1] & 127, at + 6
            if size == 126:
                size, start = int.from_bytes(data[at + 2 : at + 4]), at + 8
            elif size == 127:
                size, start = struct.unpack_from(">Q", data, at + 2)[0], at + 14
            if len(data) < start + size:
                break
            payload = unmasked(data[start : start + size], data[start - 4 : start])
            opcode, at = data[at] & 15, start + size
            if opcode == _BINARY:
                yield payload
            else:
                self._control(opcode, payload)
        self._rest = data[at:]

    def _control(self, opcode: int, payload: bytes) -> None:
        if opcode == _PING:
            self.out.append(bytes((0x8A, len(payload))) + payload)
        elif opcode == _CLOSE:
            self.out.append(bytes((0x88, len(payload))) + payload)
            self.flush()
            self._transport.close()

    def _shake_hands(self, payloads: list[bytes]) -> None:
        """Handle WORKER_CONNECT, and WORKER_READY if the worker has announced it."""
        for payload in payloads:
            message = wire.ConnectMessage.FromString(payload)
            if message.kind == Kind.WORKER_CONNECT:
                self._registration = wire.WorkerConnectRequestData.FromString(message.payload)
                ready = self._site.intervals.SerializeToString()
                self.out.append(frames.message(Kind.GATEWAY_CONNECTION_READY, ready))
            if message.kind == Kind.WORKER_READY or not self._registration.worker_manual_readiness_ack:
                self._worker = self._site.routable(self._registration.instance_id, self)


def unmasked(payload: bytes, mask: bytes) -> bytes:
    size = len(payload)
    key = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "little") ^ int.from_bytes(key, "little")).to_bytes(size, "little")
