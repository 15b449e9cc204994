"""The test gateway's end of one worker's socket: its phase, sending over it, ending it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from enum import IntEnum
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, cast

from aiohttp import WebSocketError, WSCloseCode, WSMessage, web
from google.protobuf.message import Message

from connect.gateway.faults import Fault, Faults
from connect.gateway.log import Ended, Frame, Kind, Log, Opened
from connect.wire import WorkerConnectRequestData
from connect.wire.codec import MESSAGE_LIMIT, SUBPROTOCOL, encode

if TYPE_CHECKING:
    from connect.gateway.ledger import Request

HANDSHAKE_KINDS: Final = frozenset({Kind.GATEWAY_HELLO, Kind.WORKER_CONNECT, Kind.GATEWAY_CONNECTION_READY})
READ_LIMIT: Final = 2 * MESSAGE_LIMIT
"""Bytes of the largest message that is read at all."""
TOO_LARGE: Final = f"read limited at {MESSAGE_LIMIT + 1} bytes"
"""The reason with which the server closes after a message that is too large."""
_Proceed: TypeAlias = Callable[[Message | bytes], Awaitable[bool]]


class Socket(web.WebSocketResponse):
    """A worker's WebSocket. After a message that is too large it closes with the server's words (PROTOCOL.md §2).

    Up to READ_LIMIT the message is read all the same: a peer that still writes would see a reset, and not the close frame.
    """

    def __init__(self, close_seconds: float) -> None:
        super().__init__(protocols=(SUBPROTOCOL,), compress=False, max_msg_size=READ_LIMIT, timeout=close_seconds)

    async def close(self, *, code: int = WSCloseCode.OK, message: bytes = b"", drain: bool = True) -> bool:
        """As aiohttp's, which calls it without a message after one over READ_LIMIT."""
        if code == WSCloseCode.MESSAGE_TOO_BIG:
            message = TOO_LARGE.encode()
        return await super().close(code=code, message=message, drain=drain)


def is_too_large(message: WSMessage) -> bool:
    """Whether *message* is over the server's limit, or stands for one over READ_LIMIT."""
    if isinstance(message.data, bytes | str):
        return len(message.data) > MESSAGE_LIMIT
    return isinstance(message.data, WebSocketError) and message.data.code == WSCloseCode.MESSAGE_TOO_BIG


class Phase(IntEnum):
    """The phase of a connection. It only moves forward."""

    HANDSHAKE = 0
    READY = 1
    DRAINING = 2
    DISCONNECTING = 3


class Connection:
    """One worker's socket. `worker`, `group` and `slugs` are set once the gateway has accepted its WORKER_CONNECT."""

    def __init__(
        self, number: int, request: web.Request, socket: web.WebSocketResponse, log: Log, faults: Faults
    ) -> None:
        self.number = number
        """Counted from 1 over the gateway's life; log records have it as `connection`."""
        self.phase = Phase.HANDSHAKE
        self.worker = WorkerConnectRequestData()
        self.group = ""
        self.slugs: dict[str, frozenset[str]] = {}
        """Function slugs by app name."""
        self.connected = False
        """GATEWAY_CONNECTION_READY was sent."""
        self.announced = False
        """GATEWAY_CLOSING was sent."""
        self.last_heartbeat = 0.0
        self.unacked: dict[str, Request] = {}
        """Requests, by id, that were forwarded over this connection and are not acknowledged yet."""
        self._request = request
        self._socket = socket
        self._log = log
        self._faults = faults
        self._ended = False
        self._muted = False
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._timer: asyncio.TimerHandle | None = None
        self._closing: asyncio.Task[bool] | None = None
        self._late: set[asyncio.Task[None]] = set()
        log.add(Opened(time.monotonic(), number))

    def __repr__(self) -> str:
        return f"<Connection #{self.number} {self.id} {self.phase.name}>"

    @property
    def id(self) -> str:
        """The connection id that the worker gave; empty before WORKER_CONNECT."""
        return self.worker.connection_id

    @property
    def routable(self) -> bool:
        """Whether requests may be forwarded over it."""
        return self.phase is Phase.READY

    def serves(self, app_name: str, slug: str) -> bool:
        """Whether it is routable and its worker has the function."""
        return self.routable and slug in self.slugs.get(app_name, ())

    # -- sending

    async def send(self, kind: int, payload: Message | bytes = b"") -> bool:
        """Send a frame, subject to the faults of its kind. Returns False if it was not written by now."""
        fault = self._faults.take(kind, self)
        if fault is None:
            return await self._write(kind, payload)
        return await self.apply_fault(fault, "out", kind, payload, lambda replaced: self._write(kind, replaced))

    async def send_raw(self, data: bytes | str) -> None:
        """Send *data* as it is, bytes as a binary message and str as text. It is not checked, and no fault applies."""
        if isinstance(data, str):
            await self._socket.send_str(data)
        else:
            await self._socket.send_bytes(data)

    async def _write(self, kind: int, payload: Message | bytes) -> bool:
        body = payload if isinstance(payload, bytes) else payload.SerializeToString()
        data = encode(cast(Kind, kind), body)  # enums are open in proto3: a kind that the schema lacks can be sent too
        message = None if isinstance(payload, bytes) else payload
        fault = "mute" if self._muted else ""
        if self._ended:
            return False
        self._log.add(Frame(time.monotonic(), self.number, "out", kind, message, len(data), fault))
        if fault:
            return False
        try:
            await self._socket.send_bytes(data)
        except ConnectionError:
            return False
        return True

    async def apply_fault(
        self,
        fault: Fault,
        direction: Literal["in", "out"],
        kind: int,
        payload: Message | bytes,
        proceed: _Proceed,
    ) -> bool:
        """Do to a frame what *fault* says; *proceed* sends or handles the frame. For the gateway itself."""
        match fault.act:
            case "delay" if kind in HANDSHAKE_KINDS:
                await asyncio.sleep(fault.seconds)
                return await proceed(payload)
            case "delay":
                self._do_later(fault.seconds, proceed, payload)
            case "repeat":
                await proceed(payload)
                return await proceed(payload)
            case "replace":
                return await proceed(fault.payload)
            case "lose" | "cut":
                message = None if isinstance(payload, bytes) else payload
                self._log.add(Frame(time.monotonic(), self.number, direction, kind, message, 0, fault.act))
                if fault.act == "cut":
                    self._cut(fault)
        return False

    def _cut(self, fault: Fault) -> None:
        if fault.code is None:
            self.drop()
        else:
            self._begin_closing(fault.code, fault.reason)

    def _do_later(self, seconds: float, proceed: _Proceed, payload: Message | bytes) -> None:
        async def later() -> None:
            await asyncio.sleep(seconds)
            await proceed(payload)

        task = asyncio.create_task(later())
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    # -- receiving

    async def receive(self) -> WSMessage:
        """The next message; for the gateway itself."""
        message = await self._socket.receive()
        if not self._flowing.is_set():
            await self._flowing.wait()
        return message

    # -- misbehaving

    def mute(self) -> None:
        """Write nothing from now on, but go on reading, until `resume`: a peer that is half dead."""
        self._muted = True

    def stall(self) -> None:
        """Read nothing from now on, not even pings and close frames, until `resume`."""
        self._flowing.clear()

    def resume(self) -> None:
        """End `mute` and `stall`."""
        self._muted = False
        self._flowing.set()

    # -- ending

    def drop(self) -> None:
        """End the connection without a close frame; the worker sees 1006."""
        self.note_end("gateway", 1006)
        self._flowing.set()
        if self._request.transport is not None:
            self._request.transport.abort()

    async def close(self, code: int, reason: str = "") -> None:
        """End the connection with a close frame; return once the worker has answered it, or `close_timeout` has passed."""
        await asyncio.shield(self._begin_closing(code, reason))

    def _begin_closing(self, code: int, reason: str) -> asyncio.Task[bool]:
        if self._closing is None:
            self.note_end("gateway", code, reason)
            self._flowing.set()
            self._closing = asyncio.create_task(self._socket.close(code=code, message=reason.encode()))
        return self._closing

    def close_after(self, seconds: float, code: int, reason: str) -> None:
        """Close the connection in *seconds*, unless it has ended by then. For the gateway itself."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._begin_closing, code, reason)

    def note_end(self, by: Literal["worker", "gateway"], code: int, reason: str = "") -> None:
        """Note the connection's end, once, and release its unacknowledged requests. For the gateway itself."""
        if self._ended:
            return
        self._ended = True
        if self._timer is not None:
            self._timer.cancel()
        self.advance(Phase.DISCONNECTING)
        self._log.add(Ended(time.monotonic(), self.number, by, code, reason))

    def advance(self, phase: Phase) -> None:
        """Move forward to *phase*; from DRAINING on, release the unacknowledged requests. For the gateway itself."""
        if phase <= self.phase:
            return
        self.phase = phase
        if phase >= Phase.DRAINING:
            self.release()
        self._log.changed()

    def release(self) -> None:
        """Let unacknowledged requests be forwarded to another connection at once. For the gateway itself."""
        for request in list(self.unacked.values()):
            request.decide(accepted=False)

    async def finish(self) -> None:
        """Discard delayed frames, and wait until closing is over. For the gateway itself, once per connection, at its end."""
        for task in self._late:
            task.cancel()
        if self._closing is not None:
            await asyncio.wait({self._closing})
