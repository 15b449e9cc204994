"""The floor: a worker that only decodes, acknowledges, calls the SDK's request handler and replies; it never reconnects."""

import asyncio
from typing import Any, cast

import aiohttp
from google.protobuf.message import Message
from inngest._internal.comm_lib import CommHandler, CommRequest
from inngest._internal.const import Streaming
from inngest._internal.server_lib import Framework

from benchmarks.app import APPS, RESULT_BYTES
from connect import wire
from connect.wire import GatewayMessageType as Kind

_CLIENT, _FUNCTIONS = APPS[0]


class Floor:
    """A worker reduced to its hot path. Without *executing*, it calls no function and always sends the same reply."""

    def __init__(self, instance_id: str, *, executing: bool) -> None:
        how: dict[str, Any] = {"framework": Framework.CONNECT, "streaming": Streaming.DISABLE}
        self._handler = CommHandler(client=_CLIENT, functions=_FUNCTIONS, enable_unauthed_sync=None, **how)
        self._hello = wire.WorkerConnectRequestData(instance_id=instance_id)
        self._executing = executing
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        async with aiohttp.ClientSession(_CLIENT.api_origin) as session:
            start = wire.StartResponse.FromString(await (await session.post("/v0/connect/start")).read())
            async with session.ws_connect(start.gateway_endpoint, compress=0, max_msg_size=0) as self._socket:
                async for message in self._socket:
                    await self._received(wire.ConnectMessage.FromString(message.data))

    async def _received(self, message: wire.ConnectMessage) -> None:
        if message.kind == Kind.GATEWAY_EXECUTOR_REQUEST:
            task = asyncio.create_task(self._answer(wire.GatewayExecutorRequestData.FromString(message.payload)))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif message.kind == Kind.GATEWAY_HELLO:
            await self._send(Kind.WORKER_CONNECT, self._hello)

    async def _answer(self, data: wire.GatewayExecutorRequestData) -> None:
        names = ("request_id", "account_id", "env_id", "app_id", "system_trace_ctx", "user_trace_ctx", "run_id")
        ids: dict[str, Any] = {name: getattr(data, name) for name in names}
        await self._send(Kind.WORKER_REQUEST_ACK, wire.WorkerRequestAckData(function_slug=data.function_slug, **ids))
        body = await self._execute(data) if self._executing else RESULT_BYTES
        await self._send(Kind.WORKER_REPLY, wire.SDKResponse(status=wire.SDKResponseStatus.DONE, body=body, **ids))

    async def _execute(self, data: wire.GatewayExecutorRequestData) -> bytes:
        query, headers = {"fnId": data.function_slug, "stepId": "step"}, {"x-request-id": data.request_id}
        rest: dict[str, Any] = dict.fromkeys(("public_path", "serve_origin", "serve_path")) | {"request_url": ""}
        content: dict[str, Any] = {"body": data.request_payload, "headers": headers, "query_params": query}
        request = CommRequest(is_connect=True, raw_request=data, **content, **rest)
        return cast(bytes, (await self._handler.post(request)).body_bytes())

    async def _send(self, kind: Kind, payload: Message) -> None:
        message = wire.ConnectMessage(kind=kind, payload=payload.SerializeToString())
        await self._socket.send_bytes(message.SerializeToString())
