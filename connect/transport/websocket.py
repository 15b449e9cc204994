"""A WebSocket to a gateway: how it is opened, and how what is ready together is written as one piece.

aiohttp writes each frame by itself; at thousands of small frames a second that is a good part of what a request costs. It has no
public way to join frames, so the transport of its writer is replaced; where that does not work, frames are written one by one.
"""

import functools
import importlib.metadata
import logging
from collections.abc import Iterable, Sequence
from typing import Any, Final, cast

import aiohttp

from connect.transport.proxies import proxy_for

SUBPROTOCOL: Final = "v0.connect.inngest.com"
READ_LIMIT: Final = 16 * 1024 * 1024
"""Bytes; a request is little over 4 MiB at most (PROTOCOL.md §2)."""
CLOSE_SECONDS: Final = 1.0
"""How long writing what is queued, and then saying goodbye, may take each before TCP is dropped."""


log = logging.getLogger("connect.link")


class WebSocket(aiohttp.ClientWebSocketResponse):
    """What aiohttp makes of a handshake in a session of `open_session`."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._piece = _placed(named.get("writer", given[1] if len(given) > 1 else None))

    @property
    def joins_frames(self) -> bool:
        """Whether `send_together` writes frames as one piece."""
        return self._piece is not None

    async def send_together(self, frames: Sequence[bytes]) -> None:
        """Write *frames*, binary, in order. Raises: whatever aiohttp does; as when cancelled, none of them is written then.

        Unless `joins_frames`: then a failure or a cancel that comes between two frames cannot take the first ones back.
        """
        piece = self._piece
        if piece is None:
            await self._send_apart(frames)
            return
        with piece:
            for frame in frames:
                await self.send_bytes(frame)
        if frames and not piece.reached:
            self._piece = None
            _tell("its writer does not write through the `transport` that it shows")

    async def _send_apart(self, frames: Iterable[bytes]) -> None:
        for frame in frames:
            if not isinstance(frame, bytes):
                raise TypeError(f"a frame is {type(frame).__name__}, not bytes")
        for frame in frames:
            await self.send_bytes(frame)


class _Piece:
    """A transport that, within `with`, writes nothing before its end."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._parts: list[bytes] | None = None
        self.reached = False

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
        self.reached = bool(parts)
        if parts and not error:
            self._transport.write(b"".join(parts))


def _placed(writer: Any) -> _Piece | None:
    """A piece before the transport of aiohttp's *writer*; None: this release of aiohttp has no place for it."""
    try:
        piece = _Piece(writer.transport)
        writer.transport = piece
        placed = writer.transport is piece
    except (AttributeError, TypeError):
        placed = False
    if placed:
        return piece
    _tell("its writer has no `transport` that can be replaced")
    return None


@functools.cache
def _tell(why: str) -> None:
    """Once in a process."""
    version = importlib.metadata.version("aiohttp")
    log.warning("frames are written one by one, which takes more CPU and loses nothing: aiohttp %s: %s", version, why)


def open_session(**options: Any) -> aiohttp.ClientSession:
    """A session for `open_socket`, each request on a connection of its own; *options* are those of aiohttp."""
    connector = aiohttp.TCPConnector(force_close=True, limit=0)
    return aiohttp.ClientSession(connector=connector, ws_response_class=WebSocket, **options)


async def open_socket(session: aiohttp.ClientSession, url: str) -> WebSocket:
    """A WebSocket to the gateway at *url*, in a session of `open_session`. Raises: aiohttp.ClientError, OSError."""
    socket = await session.ws_connect(
        url,
        protocols=(SUBPROTOCOL,),
        max_msg_size=READ_LIMIT,
        compress=0,
        proxy=proxy_for(url),
        timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_SECONDS),
    )
    return cast(WebSocket, socket)
