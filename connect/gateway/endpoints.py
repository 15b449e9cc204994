"""The test gateway's HTTP endpoints: it answers start and flush requests (PROTOCOL.md §1, §8.2)."""

import asyncio
import contextlib
import hashlib
import json
import math
import re
import time
from collections.abc import Callable
from typing import Final, TypeVar

from aiohttp import web
from google.protobuf.message import DecodeError, Message

from connect.gateway.dispatcher import Dispatcher
from connect.gateway.faults import Answer, Script
from connect.gateway.handshake import Sessions
from connect.gateway.log import Call, Log
from connect.gateway.settings import Settings
from connect.wire import FlushResponse, SDKResponse, StartRequest, StartResponse, ulid

_KEY_PREFIX: Final = re.compile(r"^signkey-[A-Za-z0-9_]+-")
_M = TypeVar("_M", bound=Message)
_TEXTS: Final = {
    400: "could not unmarshal request",
    401: "authentication failed",
    429: "connection limit reached",
}
"""The server's words for an HTTP status."""


class Rejected(Exception):  # noqa: N818 - an answer, not a failure
    """The request is answered with an error status."""

    def __init__(self, status: int, text: str = "") -> None:
        self.status = status
        self.text = text or _TEXTS.get(status, "internal server error")
        super().__init__(f"{status} {self.text}")


class Endpoints:
    """Answers `POST /v0/connect/start` and `POST /v0/connect/flush`: as scripted, or else as the server would."""

    def __init__(self, settings: Settings, log: Log, sessions: Sessions, dispatcher: Dispatcher) -> None:
        self._settings = settings
        self._log = log
        self._sessions = sessions
        self._dispatcher = dispatcher
        self._turn = 0
        self.starts = Script()
        self.flushes = Script()
        self.stopping = asyncio.Event()

    async def start(self, request: web.Request) -> web.StreamResponse:
        """POST /v0/connect/start."""
        return await self._answer(request, self.starts, StartRequest, self._started)

    async def flush(self, request: web.Request) -> web.StreamResponse:
        """POST /v0/connect/flush."""
        return await self._answer(request, self.flushes, SDKResponse, self._flushed)

    async def _answer(
        self,
        request: web.Request,
        script: Script,
        shape: type[_M],
        handle: Callable[[web.Request, _M], Message],
    ) -> web.StreamResponse:
        body = await request.read()
        answer = await script.take()
        message = _decoded(shape, body)
        response = _scripted(answer) or self._handled(request, body, message, handle)
        headers = {name.lower(): value for name, value in request.headers.items()}
        self._log.add(Call(time.monotonic(), request.path, response.status, message, headers))
        response.headers.update(answer.headers)
        await self.wait(answer.delay)
        if self.stopping.is_set() and request.transport is not None:
            request.transport.abort()
        return response

    async def wait(self, seconds: float) -> None:
        """Wait *seconds*, or until the gateway stops."""
        if seconds:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if math.isinf(seconds) else seconds):
                    await self.stopping.wait()

    def _handled(
        self, request: web.Request, body: bytes, message: _M | None, handle: Callable[[web.Request, _M], Message]
    ) -> web.Response:
        try:
            self._authenticate(request.headers.get("Authorization", ""))
            return _protobuf(handle(request, _required(request, body, message)).SerializeToString())
        except Rejected as rejected:
            return _error(rejected.status, rejected.text)

    def _authenticate(self, authorization: str) -> None:
        keys = self._settings.signing_keys
        if keys and _KEY_PREFIX.sub("", _bearer(authorization)) not in {form for key in keys for form in _forms(key)}:
            raise Rejected(401)

    def _started(self, request: web.Request, message: StartRequest) -> StartResponse:
        connection_id = ulid.new()
        group = self._group(set(message.exclude_gateways))
        endpoint = f"ws://{request.headers['Host']}/v0/connect"  # the server has checked it
        return StartResponse(
            connection_id=connection_id,
            gateway_endpoint=self._settings.advertise(endpoint) if self._settings.advertise else endpoint,
            gateway_group=group,
            session_token=self._sessions.open(connection_id, group),
            sync_token=_bearer(request.headers.get("Authorization", "")),
        )

    def _group(self, excluded: set[str]) -> str:
        groups = list(self._settings.groups)
        if self._settings.respect_exclusions:
            groups = [group for group in groups if group not in excluded] or groups
        self._turn += 1
        return groups[(self._turn - 1) % len(groups)]

    def _flushed(self, _request: web.Request, reply: SDKResponse) -> FlushResponse:
        try:
            context = json.loads(reply.system_trace_ctx)
        except (ValueError, RecursionError):
            context = ""
        if not isinstance(context, dict | None):
            raise Rejected(400, "could not unmarshal system trace ctx")
        self._dispatcher.store(reply, "flush")
        return FlushResponse(request_id=reply.request_id)


def _bearer(authorization: str) -> str:
    """The key in the header. As on the server: the first seven characters are cut off, `Bearer ` or not."""
    readable = authorization.encode(errors="replace").decode()  # a header may have bytes that are no UTF-8
    return readable[7:] if len(readable) > 7 else readable


def _forms(key: str) -> set[str]:
    """The texts that the server accepts for *key*: the key without its prefix, and the hash of that."""
    bare = _KEY_PREFIX.sub("", key)
    return {bare, hashlib.sha256(bytes.fromhex(bare)).hexdigest()}


def _decoded(shape: type[_M], body: bytes) -> _M | None:
    try:
        return shape.FromString(body)
    except DecodeError:
        return None


def _required(request: web.Request, body: bytes, message: _M | None) -> _M:
    if message is None:
        raise Rejected(400)
    if not body and request.path.endswith("/flush"):
        raise Rejected(400, "missing request body")
    return message


def _scripted(answer: Answer) -> web.Response | None:
    if answer.body is not None:
        return _protobuf(answer.body, answer.status)
    return None if answer.status == 200 else _error(answer.status, _TEXTS.get(answer.status, "as scripted"))


def _protobuf(body: bytes, status: int = 200) -> web.Response:
    return web.Response(body=body, status=status, content_type="application/octet-stream")


def _error(status: int, text: str) -> web.Response:
    return web.Response(text=json.dumps({"error": text, "status": status, "data": None}), status=status)
