"""The WebSocket to a gateway: opens it, and writes several frames at once.

aiohttp makes one write for each frame, which costs much CPU at thousands of small frames a second. It has no public way to join
frames, so this module replaces the transport of its writer by one that collects them. If this release of aiohttp does not allow
that, frames are written one by one.
"""

import asyncio
import functools
import importlib.metadata
import ssl
import urllib.parse
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final, cast

import aiohttp

from connect.errors import LinkLost
from connect.redaction import logger, peer_text
from connect.transport.address import Address
from connect.transport.answers import retry_after
from connect.transport.connector import Connector, link_lost
from connect.transport.failures import why
from connect.transport.headers import ALWAYS, in_lower_case
from connect.transport.proxies import Proxies
from connect.transport.route import Route
from connect.wire.codec import SUBPROTOCOL

READ_LIMIT: Final = 16 * 1024 * 1024
"""Bytes of the largest message that is read; a request has little over 4 MiB at most (PROTOCOL.md §2)."""
CLOSE_SECONDS: Final = 1.0
"""Seconds, at a close, to write queued frames, and as long again to exchange close frames; then the TCP connection is dropped."""

TURN_SECONDS: Final = 0.002
"""Seconds of the loop's time for what a socket brought, before everything else gets its turn."""

log = logger("connect.link")
logger("aiohttp.client")  # it quotes headers that cannot be read
logger("asyncio")  # it quotes the errors of tasks and sockets


class WebSocket(aiohttp.ClientWebSocketResponse):
    """An open WebSocket. Sessions of `open_session` make it; `open_socket` returns it."""

    def __init__(self, *given: Any, **named: Any) -> None:
        if given:
            given = (_FairReader(given[0]), *given[1:])
        super().__init__(*given, **named)
        self._batch = _install_batching(named.get("writer", given[1] if len(given) > 1 else None))

    @property
    def joins_frames(self) -> bool:
        """Whether `send_together` makes one write of all its frames."""
        return self._batch is not None

    async def send_together(self, frames: Sequence[bytes]) -> None:
        """Write *frames*, binary, in order. Raises: what aiohttp raises.

        If `joins_frames`, a failure or a cancel means that none of them is written. If not, the first ones may have been.
        """
        batch = self._batch
        if batch is None:
            await self._send_apart(frames)
            return
        with batch:
            for frame in frames:
                await self.send_bytes(frame)
        if frames and not batch.was_used:
            self._batch = None
            _warn_once("its writer does not write through the `transport` that it shows")

    def send_at_once(self, frames: Sequence[bytes]) -> bool:
        """Write *frames* if that takes no waiting and does not fail. Returns whether all of them are written; else none is."""
        if self._batch is None or self._batch.get_write_buffer_size():  # with bytes in the buffer, aiohttp may wait
            return False
        if not frames:
            return True
        sending = self.send_together(frames)
        try:
            sending.send(None)
        except StopIteration:
            return True
        except (aiohttp.ClientError, OSError, RuntimeError):  # `send_together` meets it again
            return False
        sending.close()
        return False

    def abort(self) -> None:
        """Drop the connection, so that nothing more is read from it. Without effect where aiohttp hides its transport."""
        if self._batch:
            self._batch.abort()

    async def _send_apart(self, frames: Iterable[bytes]) -> None:
        for frame in frames:
            if not isinstance(frame, bytes):
                raise TypeError(f"a frame is {type(frame).__name__}, not bytes")
        for frame in frames:
            await self.send_bytes(frame)


class _FairReader:
    """What aiohttp reads a socket's messages from, with a turn for the loop after `TURN_SECONDS` of reading.

    A socket that has messages is read without a pause otherwise, also while aiohttp waits for the answer to a close frame.
    """

    def __init__(self, reader: Any) -> None:
        self._reader = reader
        self._read: Callable[[], Awaitable[Any]] = reader.read
        self._time = asyncio.get_running_loop().time
        self._turn_ends = 0.0

    def read(self) -> Awaitable[Any]:
        return self._read() if self._time() < self._turn_ends else self._read_in_next_turn()

    async def _read_in_next_turn(self) -> Any:
        await asyncio.sleep(0)
        self._turn_ends = self._time() + TURN_SECONDS
        return await self._read()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)


class _BatchingTransport:
    """A transport that collects what is written inside `with`, and makes one write of it at the end; none if that raises."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._parts: list[bytes] | None = None
        self.was_used = False

    def is_closing(self) -> bool:
        return cast(bool, self._transport.is_closing())

    def write(self, data: bytes) -> None:
        if self._parts is None:
            self._transport.write(data)
        else:
            self._parts.append(data)

    def writelines(self, parts: Iterable[bytes]) -> None:
        self.write(b"".join(parts))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def __enter__(self) -> None:
        self._parts = []

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        parts, self._parts = self._parts, None
        self.was_used = bool(parts)
        if parts and not error:
            self._transport.write(b"".join(parts))


def _install_batching(writer: Any) -> _BatchingTransport | None:
    """Replace the transport of aiohttp's *writer*, and return the new one; None: this release of aiohttp does not allow it."""
    try:
        batch = _BatchingTransport(writer.transport)
        writer.transport = batch
        installed = writer.transport is batch
    except (AttributeError, TypeError):
        installed = False
    if installed:
        return batch
    _warn_once("its writer has no `transport` that can be replaced")
    return None


@functools.cache
def _warn_once(why: str) -> None:
    """Warn that frames are not joined. The same *why* is logged once in a process."""
    version = importlib.metadata.version("aiohttp")
    log.warning("frames are written one by one, which takes more CPU and loses nothing: aiohttp %s: %s", version, why)


def open_session(
    *traces: aiohttp.TraceConfig, proxies: Proxies | None = None, context: ssl.SSLContext | None = None
) -> aiohttp.ClientSession:
    """A session for `Api` and `open_socket`; each request uses a connection of its own.

    *proxies*: None: those of the environment. *context*: the TLS that it trusts; None: Python's default.

    It follows no redirect of an upgrade. It asks for no compression, decompresses nothing and keeps no cookies: a peer could make
    either of any size.
    """
    refusing = aiohttp.TraceConfig()
    refusing.on_request_redirect.append(_refuse_redirect)
    return aiohttp.ClientSession(
        connector=Connector(Route(proxies or Proxies.of_environment(), context)),
        ws_response_class=WebSocket,
        headers=ALWAYS,
        middlewares=(in_lower_case,),
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        trace_configs=[refusing, *traces],
    )


async def _refuse_redirect(_session: object, _context: object, told: aiohttp.TraceRequestRedirectParams) -> None:
    """aiohttp follows redirects of an upgrade, and `ws_connect` has no option against it: the tokens would go anywhere."""
    answer = told.response
    answer.close()
    where = f"a redirect to {_target(str(answer.url), answer.headers.get('Location', ''))}, which is not followed"
    raise aiohttp.WSServerHandshakeError(
        answer.request_info, (), status=answer.status, message=where, headers=answer.headers
    )


def host_of(url: str) -> str:
    """Host and port of *url*, fit to be shown: without user, password, path and query."""
    return peer_text(urllib.parse.urlsplit(url).netloc.rpartition("@")[2])


def not_opened(url: str, error: Exception) -> LinkLost:
    """The error for *error*, which `open_socket` raised for *url*."""
    lost = link_lost(why_not_open(url, error), error)
    if isinstance(error, aiohttp.WSServerHandshakeError) and error.headers:
        lost.retry_after = retry_after(error.headers)
    return lost


def why_not_open(url: str, error: Exception) -> str:
    """Why `open_socket` raised *error* for *url*, in words."""
    shown = peer_text(url)
    if not isinstance(error, aiohttp.WSServerHandshakeError):
        return f"cannot open a WebSocket to {shown}: {why(error)}"
    if error.status == 101:
        return f"{shown} does not open a WebSocket as it should: {peer_text(error.message.lower())}"
    where = f": {error.message}" if 300 <= error.status < 400 else ""
    return f"{shown} refused the WebSocket with status {error.status}{where}"


def _target(url: str, location: str) -> str:
    try:
        return host_of(urllib.parse.urljoin(url, location)) or "no host"
    except ValueError:
        return "what is no address"


async def open_socket(session: aiohttp.ClientSession, url: str) -> WebSocket:
    """Open a WebSocket to the gateway at *url*; *session* is one of `open_session`.

    Raises: aiohttp.ClientError, OSError; ValueError: *url* has no valid host and port. A redirect is refused with a
    `WSServerHandshakeError` of its status.
    """
    try:
        Address.of(url)
    except ValueError:
        raise ValueError(f"gateway endpoint {peer_text(url)!r}: its host or port is not valid") from None
    socket = await session.ws_connect(
        url,
        protocols=(SUBPROTOCOL,),
        max_msg_size=READ_LIMIT,
        compress=0,
        autoping=False,
        timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_SECONDS),
    )
    return cast(WebSocket, socket)
