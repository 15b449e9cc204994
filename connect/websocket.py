"""A WebSocket to a gateway: how it is opened, and how what is ready together is written as one piece.

aiohttp writes each frame by itself; at thousands of small frames a second that is a good part of what a request costs.
"""

from collections.abc import Iterable
from typing import Any, Final, cast

import aiohttp

from connect.api import proxy_for

SUBPROTOCOL: Final = "v0.connect.inngest.com"
READ_LIMIT: Final = 16 * 1024 * 1024
"""Bytes; a request is little over 4 MiB at most (PROTOCOL.md §2)."""
CLOSE_SECONDS: Final = 1.0
"""How long writing what is queued, and then saying goodbye, may take each before TCP is dropped."""


class WebSocket(aiohttp.ClientWebSocketResponse):
    """What aiohttp makes of a handshake in a session of `open_session`."""

    def __init__(self, reader: Any, writer: Any, *rest: Any, **named: Any) -> None:
        super().__init__(reader, writer, *rest, **named)
        # All that aiohttp's writer asks of its transport is whether it is closing, and to write.
        self._piece = writer.transport = _Piece(writer.transport)

    async def send_together(self, frames: Iterable[bytes]) -> None:
        """Write *frames*, binary, in order. Raises: whatever aiohttp does; as when cancelled, none of them is written then."""
        with self._piece:
            for frame in frames:
                await self.send_bytes(frame)


class _Piece:
    """A transport that, within `with`, writes nothing before its end."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._parts: list[bytes] | None = None

    def is_closing(self) -> bool:
        return cast(bool, self._transport.is_closing())

    def write(self, data: bytes) -> None:
        if self._parts is None:
            self._transport.write(data)
        else:
            self._parts.append(data)

    def __enter__(self) -> None:
        self._parts = []

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        parts, self._parts = self._parts, None
        if parts and not error:
            self._transport.write(b"".join(parts))


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
