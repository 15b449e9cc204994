"""The test gateway handles a worker's messages: the handshake first, then each frame until the connection ends."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias

from aiohttp import WSMessage, WSMsgType
from google.protobuf.message import DecodeError, Message

from connect.gateway.dispatcher import Dispatcher
from connect.gateway.faults import Faults
from connect.gateway.granted_leases import lease_answer
from connect.gateway.handshake import (
    INTERNAL_ERROR,
    INVALID_MESSAGE,
    Refused,
    Registration,
    Sessions,
    check_worker_connect,
)
from connect.gateway.log import UNREADABLE, Frame, Kind, Log
from connect.gateway.settings import Settings
from connect.gateway.worker_socket import TOO_LARGE, Connection, Phase, is_too_large
from connect.wire import (
    ConnectMessage,
    GatewayConnectionReadyData,
    SDKResponse,
    WorkerConnectRequestData,
    WorkerReplyAckData,
    WorkerRequestAckData,
    WorkerRequestExtendLeaseData,
    WorkerStatusData,
    ulid,
)

CLOSING: Final = "connect_gateway_closing"
_PAYLOADS: Final[dict[int, type[Message]]] = {
    Kind.WORKER_CONNECT: WorkerConnectRequestData,
    Kind.WORKER_REQUEST_ACK: WorkerRequestAckData,
    Kind.WORKER_REPLY: SDKResponse,
    Kind.WORKER_REQUEST_EXTEND_LEASE: WorkerRequestExtendLeaseData,
    Kind.WORKER_STATUS: WorkerStatusData,
}
_Act: TypeAlias = Callable[[int, bytes], Awaitable[None]]


class Hangup(Exception):  # noqa: N818 - the ordinary end of a connection
    """The connection is over: the gateway closes it with code and reason; without a code, the socket has ended already."""

    def __init__(self, code: int | None = None, reason: str = "") -> None:
        super().__init__(f"{code} {reason}")
        self.code = code
        self.reason = reason


class MessageHandler:
    """Speaks the server's side of the protocol on one connection."""

    def __init__(
        self,
        connection: Connection,
        settings: Settings,
        log: Log,
        faults: Faults,
        sessions: Sessions,
        dispatcher: Dispatcher,
        register: Callable[[dict[str, list[dict[str, Any]]]], None],
    ) -> None:
        self._connection = connection
        self._settings = settings
        self._log = log
        self._faults = faults
        self._sessions = sessions
        self._dispatcher = dispatcher
        self._register = register
        self._watchdog: asyncio.TimerHandle | None = None
        self._actions: dict[int, Callable[[bytes], Awaitable[None]]] = {
            Kind.WORKER_READY: self._on_ready,
            Kind.WORKER_PAUSE: self._on_pause,
            Kind.WORKER_HEARTBEAT: self._on_heartbeat,
            Kind.WORKER_REQUEST_ACK: self._on_request_ack,
            Kind.WORKER_REPLY: self._on_reply,
            Kind.WORKER_REQUEST_EXTEND_LEASE: self._on_extend_lease,
        }

    async def run(self) -> None:
        """Handle messages until the connection ends."""
        try:
            await self._shake_hands()
            while True:
                await self._through_faults(*self._frame(await self._connection.receive()), self._act)
        except Hangup as end:
            await self._hang_up(end)
        finally:
            self._connection.note_end("worker", 1006)
            if self._watchdog is not None:
                self._watchdog.cancel()
            await self._connection.finish()

    # -- frames

    def _frame(self, message: WSMessage) -> tuple[int, bytes]:
        """Kind and payload of *message*. Raises: Hangup: it ends the connection, or it is not a frame."""
        if is_too_large(message):
            self._note(UNREADABLE, None, message.data if isinstance(message.data, bytes) else b"")
            raise Hangup(1009, TOO_LARGE)
        if message.type not in (WSMsgType.BINARY, WSMsgType.TEXT):
            self._connection.note_end("worker", *_close_code(message))
            raise Hangup
        data: bytes = message.data.encode() if isinstance(message.data, str) else message.data
        try:
            frame = ConnectMessage.FromString(data)
        except DecodeError:
            self._note(UNREADABLE, None, data)
            raise Hangup(1007, "failed to unmarshal Protobuf") from None
        return frame.kind, frame.payload

    def _note(self, kind: int, message: Message | None, data: bytes) -> None:
        self._log.add(Frame(time.monotonic(), self._connection.number, "in", kind, message, len(data)))

    async def _through_faults(self, kind: int, payload: bytes, act: _Act) -> None:
        fault = self._faults.take(kind, self._connection)
        if fault is None:
            await act(kind, payload)
            return

        async def proceed(replaced: Message | bytes) -> bool:
            await act(kind, replaced if isinstance(replaced, bytes) else replaced.SerializeToString())
            return True

        await self._connection.apply_fault(fault, "in", kind, payload, proceed)

    async def _act(self, kind: int, payload: bytes) -> None:
        self._note(kind, _readable(kind, payload), payload)
        action = self._actions.get(kind)
        if action is None:
            return
        try:
            await action(payload)
        except Hangup as end:
            await self._hang_up(end)

    async def _hang_up(self, end: Hangup) -> None:
        if end.code is not None:
            await self._connection.close(end.code, end.reason)

    # -- the handshake

    async def _shake_hands(self) -> None:
        await self._connection.send(Kind.GATEWAY_HELLO)
        kind, payload = await self._first_frame()
        self._note(kind, _readable(kind, payload), payload)
        try:
            registration = self._checked(kind, payload)
        except Refused as refusal:
            if refusal.sync_error is not None:
                await self._connection.send(Kind.SYNC_FAILED, refusal.sync_error)
            raise Hangup(refusal.code, refusal.reason) from None
        await self._welcome(registration.worker.worker_manual_readiness_ack)

    async def _first_frame(self) -> tuple[int, bytes]:
        first: list[tuple[int, bytes]] = []

        async def take(kind: int, payload: bytes) -> None:
            first.append((kind, payload))

        try:
            async with asyncio.timeout(self._settings.handshake_timeout):
                while not first:
                    await self._through_faults(*self._frame(await self._connection.receive()), take)
        except TimeoutError:
            self._connection.drop()
            raise Hangup from None
        return first[0]

    def _checked(self, kind: int, payload: bytes) -> Registration:
        if kind != Kind.WORKER_CONNECT:
            raise Refused(1008, INVALID_MESSAGE)
        registration = check_worker_connect(payload, self._sessions, self._settings.apps_limit)
        self._sync(registration)
        return registration

    def _sync(self, registration: Registration) -> None:
        connection = self._connection
        connection.worker, connection.group = registration.worker, registration.group
        if self._faults.sync_failures:
            error = self._faults.sync_failures.popleft()
            raise Refused(1008, error.code, error)
        connection.slugs = {
            app_name: frozenset(config["id"] for config in configs)
            for app_name, configs in registration.functions.items()
        }
        self._register(registration.functions)

    async def _welcome(self, manual_readiness: bool) -> None:
        intervals = GatewayConnectionReadyData(
            heartbeat_interval=self._settings.heartbeat_interval,
            extend_lease_interval=self._settings.extend_lease_interval,
            status_interval=self._settings.status_interval,
        )
        if await self._connection.send(Kind.GATEWAY_CONNECTION_READY, intervals):
            self._connection.connected = True
            self._watch()
            if not manual_readiness:
                self._make_ready()

    def _make_ready(self) -> None:
        self._connection.advance(Phase.READY)
        self._dispatcher.arrived()

    # -- liveness

    def _watch(self) -> None:
        """Start watching for heartbeats. Drop the connection once it was silent for too long, else look again when it could be."""
        now = time.monotonic()
        if self._watchdog is None:
            self._connection.last_heartbeat = now
        left = self._connection.last_heartbeat + self._settings.silence_limit - now
        if left <= 0:
            self._connection.drop()
        else:
            self._watchdog = asyncio.get_running_loop().call_later(left, self._watch)

    async def _on_heartbeat(self, _payload: bytes) -> None:
        self._connection.last_heartbeat = time.monotonic()
        if self._connection.phase in (Phase.READY, Phase.DRAINING):
            await self._connection.send(Kind.GATEWAY_HEARTBEAT)

    async def _on_ready(self, _payload: bytes) -> None:
        if self._connection.announced:
            raise Hangup(1001, CLOSING)
        if self._connection.connected:
            self._make_ready()

    async def _on_pause(self, _payload: bytes) -> None:
        self._connection.advance(Phase.DRAINING)

    # -- requests

    async def _on_request_ack(self, payload: bytes) -> None:
        try:
            ack = WorkerRequestAckData.FromString(payload)
        except DecodeError:
            raise Hangup(1008, "connect_worker_request_ack_invalid_payload") from None
        self._dispatcher.acknowledge(ack.request_id)

    async def _on_reply(self, payload: bytes) -> None:
        try:
            reply = SDKResponse.FromString(payload)
        except DecodeError:
            raise Hangup(1011, INTERNAL_ERROR) from None
        self._dispatcher.store(reply, "socket")
        await self._connection.send(Kind.WORKER_REPLY_ACK, WorkerReplyAckData(request_id=reply.request_id))

    async def _on_extend_lease(self, payload: bytes) -> None:
        try:
            asked = WorkerRequestExtendLeaseData.FromString(payload)
        except DecodeError:
            asked = None
        if asked is None or not ulid.is_ulid(asked.lease_id):
            raise Hangup(1008, "connect_worker_request_extend_lease_invalid_payload")
        new_lease_id = self._dispatcher.extend(
            asked.request_id,
            asked.lease_id,
            self._connection.worker.instance_id,
            refused=self._faults.take_nack(),
        )
        await self._connection.send(Kind.WORKER_REQUEST_EXTEND_LEASE_ACK, lease_answer(asked, new_lease_id))


def _close_code(message: WSMessage) -> tuple[int, str]:
    """Code and reason of the worker's close frame; 1006 if it ended the connection without one."""
    if message.type is WSMsgType.CLOSE:
        return message.data or 1005, message.extra or ""
    return 1006, ""


def _readable(kind: int, payload: bytes) -> Message | None:
    """The decoded payload for the log; None for a kind without payload, and for one that does not decode."""
    message = _PAYLOADS.get(kind)
    try:
        return message.FromString(payload) if message else None
    except DecodeError:
        return None
