"""Frames to and from a gateway, read one at a time, over the worker's own channel."""

import asyncio
from typing import Final

from connect import wire
from connect.errors import GatewayDraining, ProtocolError, SyncFailed
from connect.transport.channel import SHUTDOWN, Channel
from connect.transport.websocket import WebSocket
from connect.wire import codec
from connect.wire.codec import Frame, Kind

FRAMES: Final = 100
FRAME_BYTES: Final = 64 * 1024
"""How many frames may wait to be received, and of how many bytes each. A gateway sends a handful of small ones in a handshake."""


class Frames:
    """Sends and receives frames on *socket*. The caller must not use the socket any more."""

    def __init__(self, socket: WebSocket) -> None:
        self._received: asyncio.Queue[bytes | Exception | None] = asyncio.Queue()
        self._channel = Channel(socket, self._take, self._received.put_nowait)

    def send(self, frame: bytes) -> None:
        """Queue *frame*."""
        self._channel.send(frame, None)

    async def receive(self, kind: Kind) -> Frame:
        """The next frame of *kind*; frames of most other kinds are skipped.

        Raises: GatewayDraining: GATEWAY_CLOSING came first; SyncFailed: SYNC_FAILED came first; ProtocolError: a message came that
        is not a frame; LinkLost, TooManyApps: the socket ended.
        """
        while (frame := await self._next()).kind != kind:
            if frame.kind == Kind.GATEWAY_CLOSING:
                raise GatewayDraining("the gateway is being drained")
            if isinstance(frame.payload, wire.SystemError):
                said = frame.payload.message or frame.payload.code or "no reason given"
                raise SyncFailed(f"the server refused the functions: {said}", frame.payload.code)
        return frame

    def _take(self, frame: bytes | None) -> None:
        if self._received.qsize() < FRAMES:
            self._received.put_nowait(frame if frame is None or len(frame) <= FRAME_BYTES else _too_large(frame))

    async def _next(self) -> Frame:
        data = await self._received.get()
        if isinstance(data, Exception):
            raise data
        if data is None:
            raise ProtocolError("a text message came where a frame was due")
        return codec.decode(data)

    async def close(self) -> None:
        """Close the socket as a worker does, and wait for the answer, for a limited time."""
        await self._channel.close(*SHUTDOWN)


def _too_large(frame: bytes) -> ProtocolError:
    return ProtocolError(f"a frame of {len(frame):,} bytes came in the handshake, where the largest has some hundred")
