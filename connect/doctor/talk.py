"""A talk with a gateway: frames asked for one at a time, over the worker's own channel."""

import asyncio

from connect import wire
from connect.errors import GatewayDraining, ProtocolError, SyncFailed
from connect.link import SHUTDOWN
from connect.transport.channel import Channel
from connect.transport.websocket import WebSocket
from connect.wire import codec
from connect.wire.codec import Frame, Kind


class Talk:
    """On *socket*, which is its own from here on."""

    def __init__(self, socket: WebSocket) -> None:
        self._heard: asyncio.Queue[bytes | Exception | None] = asyncio.Queue()
        self._channel = Channel(socket, self._heard.put_nowait, self._heard.put_nowait)

    def say(self, frame: bytes) -> None:
        """Queue *frame*."""
        self._channel.send(frame, None)

    async def hear(self, kind: Kind) -> Frame:
        """The next frame of *kind*; others mean nothing here.

        Raises: GatewayDraining, SyncFailed: it came instead; ProtocolError: something came that is no frame; LinkLost, TooManyApps:
        the socket ended.
        """
        while (frame := await self._next()).kind != kind:
            if frame.kind == Kind.GATEWAY_CLOSING:
                raise GatewayDraining("the gateway is being drained")
            if isinstance(frame.payload, wire.SystemError):
                said = frame.payload.message or frame.payload.code or "no reason given"
                raise SyncFailed(f"the server refused the functions: {said}", frame.payload.code)
        return frame

    async def _next(self) -> Frame:
        data = await self._heard.get()
        if isinstance(data, Exception):
            raise data
        if data is None:
            raise ProtocolError("a text message came where a frame was due")
        return codec.decode(data)

    async def close(self) -> None:
        """Say goodbye as a worker does, and wait for the answer; bounded."""
        await self._channel.close(*SHUTDOWN)
