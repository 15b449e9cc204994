"""A worker that sends exactly the frames that a test tells it to send, to see what the gateway answers."""

import asyncio
import json
from collections.abc import Iterable
from typing import Any

import aiohttp
from google.protobuf.message import Message

from connect.gateway import Gateway, Kind
from connect.wire import (
    AppConfiguration,
    AuthData,
    ConnectMessage,
    GatewayConnectionReadyData,
    GatewayExecutorRequestData,
    SDKResponse,
    SDKResponseStatus,
    StartRequest,
    StartResponse,
    SystemAttributes,
    WorkerConnectRequestData,
    WorkerReplyAckData,
    WorkerRequestAckData,
    WorkerRequestExtendLeaseAckData,
    WorkerRequestExtendLeaseData,
)
from connect.wire import SystemError as SyncError

SHAPES: dict[int, type[Message]] = {
    Kind.GATEWAY_CONNECTION_READY: GatewayConnectionReadyData,
    Kind.GATEWAY_EXECUTOR_REQUEST: GatewayExecutorRequestData,
    Kind.WORKER_REPLY_ACK: WorkerReplyAckData,
    Kind.WORKER_REQUEST_EXTEND_LEASE_ACK: WorkerRequestExtendLeaseAckData,
    Kind.SYNC_FAILED: SyncError,
}


def function(slug: str, retries: int | None = None, **config: Any) -> dict[str, Any]:
    step: dict[str, Any] = {
        "id": "step",
        "name": "step",
        "runtime": {"type": "ws", "url": f"wss://connect?fnId={slug}"},
    }
    if retries is not None:
        step["retries"] = {"attempts": retries}
    return {"id": slug, "name": slug, "triggers": [{"event": f"test/{slug}"}], "steps": {"step": step}, **config}


def encoded(kind: int, payload: Message | bytes = b"") -> bytes:
    body = payload if isinstance(payload, bytes) else payload.SerializeToString()
    return ConnectMessage(kind=kind, payload=body).SerializeToString()


class Ended(Exception):  # noqa: N818
    """The socket's end. 1006: it had no close frame."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {reason}")
        self.code = code
        self.reason = reason


class RawWorker:
    """`await worker.join()` brings it to READY; after that it sends and expects frames, one by one."""

    def __init__(self, gw: Gateway, session: aiohttp.ClientSession, instance_id: str = "raw") -> None:
        self.gw = gw
        self.session = session
        self.instance_id = instance_id
        self.started = StartResponse()
        self.socket: aiohttp.ClientWebSocketResponse
        self._sockets: list[aiohttp.ClientWebSocketResponse] = []

    # -- HTTP

    async def start(
        self, exclude: Iterable[str] = (), bearer: str | None = None, body: bytes | None = None
    ) -> tuple[int, bytes]:
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        data = StartRequest(exclude_gateways=exclude).SerializeToString() if body is None else body
        async with self.session.post(f"{self.gw.url}/v0/connect/start", data=data, headers=headers) as response:
            content = await response.read()
            if response.status == 200 and body is None:
                self.started = StartResponse.FromString(content)
            return response.status, content

    async def flush(self, reply: Message | bytes) -> tuple[int, bytes]:
        data = reply if isinstance(reply, bytes) else reply.SerializeToString()
        async with self.session.post(f"{self.gw.url}/v0/connect/flush", data=data) as response:
            return response.status, await response.read()

    # -- the socket

    async def open(self) -> None:
        await self.start()
        self.socket = await self.session.ws_connect(
            self.started.gateway_endpoint, protocols=["v0.connect.inngest.com"], max_msg_size=0
        )
        self._sockets.append(self.socket)

    async def leave(self) -> None:
        """Close every socket that it ever opened."""
        for socket in self._sockets:
            await socket.close()

    def introduction(self, *slugs: str, **fields: Any) -> WorkerConnectRequestData:
        configs = [function(slug) for slug in slugs or ("app-fn",)]
        introduction = WorkerConnectRequestData(
            connection_id=self.started.connection_id,
            instance_id=self.instance_id,
            auth_data=AuthData(session_token=self.started.session_token),
            capabilities=b'{"connect":"v1"}',
            apps=[AppConfiguration(app_name="app", functions=json.dumps(configs).encode())],
            system_attributes=SystemAttributes(cpu_cores=1),
        )
        for name, value in fields.items():
            if isinstance(value, list):
                introduction.ClearField(name)
                getattr(introduction, name).extend(value)
            elif isinstance(value, Message):
                getattr(introduction, name).CopyFrom(value)
            else:
                setattr(introduction, name, value)
        return introduction

    async def join(self, *slugs: str, **fields: Any) -> "RawWorker":
        await self.open()
        await self.expect(Kind.GATEWAY_HELLO)
        introduction = self.introduction(*slugs, **fields)
        await self.send(Kind.WORKER_CONNECT, introduction)
        await self.expect(Kind.GATEWAY_CONNECTION_READY)
        if not fields.get("worker_manual_readiness_ack"):
            await self.gw.until(
                lambda: any(c.id == introduction.connection_id and c.routable for c in self.gw.connections)
            )
        return self

    async def send(self, kind: int, payload: Message | bytes = b"") -> None:
        await self.socket.send_bytes(encoded(kind, payload))

    async def receive(self) -> tuple[int, Any]:
        message = await asyncio.wait_for(self.socket.receive(), 5)
        if message.type is aiohttp.WSMsgType.CLOSE:
            raise Ended(message.data, message.extra or "")
        if message.type is not aiohttp.WSMsgType.BINARY:
            raise Ended(1006, "")
        frame = ConnectMessage.FromString(message.data)
        shape = SHAPES.get(frame.kind)
        return frame.kind, shape.FromString(frame.payload) if shape else None

    async def expect(self, kind: int) -> Any:
        """Read the next frame, which must be of *kind*; its payload."""
        came, payload = await self.receive()
        assert came == kind, f"expected kind {kind}, got {came} {payload}\n{self.gw.log.text()}"
        return payload

    async def end(self) -> tuple[int, str]:
        """Read the socket's end, which must come next; its code and reason."""
        try:
            frame = await self.receive()
        except Ended as ended:
            return ended.code, ended.reason
        raise AssertionError(f"expected the end, got {frame}")

    async def nothing(self) -> None:
        """Check that the gateway has sent nothing: the answer to a heartbeat must be the very next frame."""
        await self.send(Kind.WORKER_HEARTBEAT)
        await self.expect(Kind.GATEWAY_HEARTBEAT)

    # -- requests

    async def ack(self, request: GatewayExecutorRequestData) -> None:
        await self.send(Kind.WORKER_REQUEST_ACK, WorkerRequestAckData(request_id=request.request_id))

    async def reply(
        self, request: GatewayExecutorRequestData, body: Any = None, status: int = SDKResponseStatus.DONE, **fields: Any
    ) -> None:
        await self.send(Kind.WORKER_REPLY, response(request, body, status, **fields))
        await self.expect(Kind.WORKER_REPLY_ACK)

    async def extend(self, request_id: str, lease_id: str) -> str | None:
        asked = WorkerRequestExtendLeaseData(request_id=request_id, lease_id=lease_id)
        await self.send(Kind.WORKER_REQUEST_EXTEND_LEASE, asked)
        answer = await self.expect(Kind.WORKER_REQUEST_EXTEND_LEASE_ACK)
        assert answer.request_id == request_id
        return str(answer.new_lease_id) if answer.HasField("new_lease_id") else None


def response(
    request: GatewayExecutorRequestData, body: Any = None, status: int = SDKResponseStatus.DONE, **fields: Any
) -> SDKResponse:
    return SDKResponse(
        request_id=request.request_id,
        status=status,
        body=json.dumps(body).encode(),
        system_trace_ctx=request.system_trace_ctx,
        request_version=2,
        **fields,
    )
