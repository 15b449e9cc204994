"""The two HTTP requests of the protocol: start a connection, flush a reply (PROTOCOL.md §1, §8.2).

Each request uses a connection of its own and is sent once. No connection is kept open, since the API may be behind a proxy that
serves one at a time. The caller decides whether to try again.
"""

import asyncio
import json
import urllib.parse
from collections.abc import AsyncIterator, Collection
from typing import Final, NamedTuple, TypeVar

import aiohttp
from google.protobuf.message import DecodeError, Message

from connect import wire
from connect.errors import (
    ApiError,
    AuthenticationFailed,
    ConnectError,
    ConnectionLimitReached,
    HandshakeTimeout,
    LinkLost,
    ProtocolError,
)
from connect.redaction import peer_text
from connect.secrets import Keyring, Secret, without_passwords
from connect.transport import answers
from connect.transport.answers import retry_after
from connect.transport.connector import forwarding, link_lost
from connect.transport.failures import why
from connect.transport.progress import Progress

GATEWAY_PATH: Final = "/v0/connect"
PIECE_BYTES: Final = 64 * 1024
"""Bytes of a request's body that are written at once."""

M = TypeVar("M", bound=Message)


class Grant(NamedTuple):
    """The answer to a start request: which gateway to dial, and the tokens to show it. `endpoint` is as the server sent it."""

    connection_id: str
    endpoint: str
    group: str
    session_token: Secret
    sync_token: Secret


def gateway_endpoint(text: str) -> str:
    """*text* as the address of a WebSocket; if it has no path, with `/v0/connect`.

    Raises: ValueError: it is no ws or wss address, or has no host.
    """
    parts = urllib.parse.urlsplit(text.strip())
    if parts.scheme not in ("ws", "wss"):
        wrong = f"scheme {peer_text(parts.scheme)!r} is not valid, must be ws or wss"
        raise ValueError(f"gateway endpoint {peer_text(text)!r}: {wrong}")
    if not parts.hostname:
        raise ValueError(f"gateway endpoint {peer_text(text)!r}: a host is required")
    return urllib.parse.urlunsplit(parts._replace(path=parts.path if parts.path.strip("/") else GATEWAY_PATH))


class Api:
    """The API at *origin*. Each request, its answer included, may take *timeout* seconds. On the loop of *session* only."""

    def __init__(
        self, session: aiohttp.ClientSession, origin: str, env: str | None, keyring: Keyring, timeout: float
    ) -> None:
        self._session = session
        self._origin = origin.rstrip("/")
        self._shown = without_passwords(self._origin)
        self._env = env
        self._keyring = keyring
        self._timeout = timeout

    async def start(self, exclude: Collection[str]) -> Grant:
        """Ask for a gateway to dial. The server avoids the gateway groups in *exclude* if it has others.

        Raises: AuthenticationFailed, ConnectionLimitReached, ApiError, HandshakeTimeout, LinkLost, ProtocolError.
        """
        body = await self._post("start", wire.StartRequest(exclude_gateways=sorted(exclude)).SerializeToString())
        if body.flaw:
            raise ProtocolError(f"the answer to the start request to {self._shown} {body.flaw}")
        answer = self._parse(wire.StartResponse(), body.content)
        if not answer.connection_id or not answer.gateway_endpoint:
            raise ProtocolError(
                f"the start request to {self._shown} was answered without connection id or gateway endpoint"
            )
        self._keyring.accepted()
        return Grant(
            connection_id=answer.connection_id,
            endpoint=answer.gateway_endpoint,
            group=answer.gateway_group,
            session_token=Secret(answer.session_token),
            sync_token=Secret(answer.sync_token),
        )

    async def flush(self, reply: bytes) -> None:
        """Deliver *reply*, a serialised SDKResponse. If the server refuses the key, try the other key at once. Safe to repeat.

        Status 200 alone says that the reply is stored (PROTOCOL.md §8.2): the body of that answer may be anything.
        Raises: as `start`, but never ConnectionLimitReached. ApiError with status 400: the server will never accept this reply.
        """
        try:
            await self._post("flush", reply)
        except AuthenticationFailed:
            if len(self._keyring) < 2:
                raise
            await self._post("flush", reply)
        self._keyring.accepted()

    async def _post(self, what: str, content: bytes) -> answers.Body:
        path = f"/v0/connect/{what}"
        url, shown = self._origin + path, self._shown + path
        bearer = self._keyring.bearer
        pieces = _Pieces(content)
        progress = Progress()
        progress.begin()
        try:
            forwarded = forwarding(self._session, url)
            shown += forwarded.through
            headers = self._headers(bearer) | {"content-length": str(len(content))} | forwarded.headers
            async with self._session.post(
                url,
                data=aiter(pieces),
                headers=headers,
                allow_redirects=False,
                proxy=forwarded.proxy,
                timeout=aiohttp.ClientTimeout(total=self._timeout),
            ) as response:
                body = await answers.read(response)
        except TimeoutError:
            late = progress.late(self._timeout)
            answer = f"no answer to the {what} request from {shown} within {self._timeout:g} s"
            raise HandshakeTimeout(
                f"cannot reach {shown}: {late}" if late else answer, what, reached=progress.reached
            ) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # A ValueError says that the address, or a proxy's, cannot be used.
            raise link_lost(f"cannot reach {shown}: {why(error)}", error) from None
        finally:
            pieces.release()
        if response.status == 407 and forwarded.by:
            from connect.transport.tunnel import login_refused  # not imported at the start: few workers need it

            raise LinkLost(f"cannot reach {shown}: it {login_refused(forwarded.by, '407')}")
        if response.status != 200:
            refusal = self._refusal(what, shown, response.status, body.content, bearer)
            refusal.retry_after = retry_after(response.headers)
            raise refusal
        return body

    def _headers(self, bearer: Secret | None) -> dict[str, str]:
        headers = {"content-type": "application/protobuf"}
        if self._env:
            headers["x-inngest-env"] = self._env
        if bearer:
            headers["authorization"] = f"Bearer {bearer.reveal()}"
        return headers

    def _refusal(self, what: str, url: str, status: int, content: bytes, bearer: Secret | None) -> ConnectError:
        said = _error_text(content)
        if status == 401:
            self._keyring.refused(bearer)
            return AuthenticationFailed(
                f"the {what} request to {url} was unauthorized{said}: check INNGEST_SIGNING_KEY and INNGEST_SIGNING_KEY_FALLBACK"
            )
        if status == 429 and what == "start":
            return ConnectionLimitReached(
                f"too many connections for this account{said}: stop a worker or raise the plan's limit"
            )
        return ApiError(f"the {what} request to {url} was answered with status {status}{said}", status)

    def _parse(self, message: M, content: bytes) -> M:
        try:
            message.ParseFromString(content)
        except DecodeError:
            raise ProtocolError(f"{self._shown} answered with {len(content)} bytes that do not decode") from None
        return message


class _Pieces:
    """The body of a request, in pieces: all of it at once would block the loop, and aiohttp copies what it reads from a stream.

    After `release` it holds none of it: aiohttp may keep this object until the garbage collector runs.
    """

    def __init__(self, body: bytes) -> None:
        self._body = body

    def release(self) -> None:
        self._body = b""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        start = 0
        while piece := self._body[start : start + PIECE_BYTES]:
            yield piece
            start += len(piece)
            await asyncio.sleep(0)


def _error_text(content: bytes) -> str:
    """The server's error text (PROTOCOL.md §1.4), in brackets, at most 200 characters; "" if there is none."""
    try:
        text = json.loads(content)["error"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return f" ({peer_text(text, 200)})"
