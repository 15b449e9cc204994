"""A channel: an open WebSocket as a queue of frames to write and a stream of frames that came.

It knows bytes and close frames, nothing of what they mean. Writing never blocks its caller; a frame's *written* callback tells,
later, whether the frame went out. What waits for a peer that does not read is counted: past a first mark the channel says that it
is full, past a second it reads no more, so that the peer's own sending comes to a halt.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable
from typing import Final

import aiohttp

from connect.errors import GatewayDraining, LinkLost, TooManyApps
from connect.transport.websocket import CLOSE_SECONDS, WebSocket

FULL: Final = 16 * 1024 * 1024
"""Bytes that wait to be written, from which on what can go another way should: heartbeats wait behind them."""
HALT: Final = 4
"""At that many times `FULL` nothing more is read. So far apart that replies alone, which stop at the first mark, never reach it:
a peer that reads only while it is read from would wait for us, and we for it."""

PIECE: Final = 64 * 1024
"""Bytes that are written at once, a larger frame alone: after as many aiohttp looks whether the peer still reads."""

log = logging.getLogger("connect.link")

_LAST_WORDS: Final = 0.05
"""How long, after a failed write, the reader has to find a close frame that says why."""

Written = Callable[[bool], None]


class Channel:
    """Reads and writes *socket* until one of them fails or `close()`.

    *received* gets each frame, None for a text frame; *ended* is told once why the socket can be used no more: a `ConnectError`,
    or what a callback raised, which is a bug.
    """

    def __init__(
        self,
        socket: WebSocket,
        received: Callable[[bytes | None], None],
        ended: Callable[[Exception], None],
    ) -> None:
        self._socket = socket
        self._received = received
        self._ended = ended
        self._closing = False
        self._broken = False
        self._told = False
        self._outgoing: deque[tuple[bytes, Written | None, int]] = deque()
        self._waiting = 0
        self._wake = asyncio.Event()
        self._less = asyncio.Event()
        loop = asyncio.get_running_loop()
        self._reader = loop.create_task(self._read(), name="link-read")
        self._writer = loop.create_task(self._write(), name="link-write")
        self._writer.add_done_callback(self._write_ended)

    @property
    def full(self) -> bool:
        """The peer does not take what it is sent."""
        return self._waiting >= FULL

    def send(self, frame: bytes, written: Written | None, kept: int = 0) -> None:
        """Queue *frame*; *kept* is how many bytes somebody keeps until it is written."""
        weight = len(frame) + kept
        self._outgoing.append((frame, written, weight))
        self._waiting += weight
        if self._broken:
            asyncio.get_running_loop().call_soon(self._fail_queued)
        self._wake.set()

    async def close(self, code: int, reason: bytes) -> None:
        """Write what is queued, say goodbye with a close frame, end both tasks. Bounded; never raises."""
        self._closing = True
        self._wake.set()
        await asyncio.wait([self._writer], timeout=CLOSE_SECONDS)
        self._writer.cancel()
        await asyncio.wait([self._writer])
        # Cancelled in it, aiohttp drops the transport: a peer that reads nothing gets no goodbye.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._socket.close(code=code, message=reason)
        self._reader.cancel()
        await asyncio.wait([self._reader])
        self._fail_queued()

    async def _write(self) -> None:
        while self._outgoing or not self._closing:
            if not self._outgoing:
                self._wake.clear()
                await self._wake.wait()
                continue
            # Frames stay queued until they are written: if this is cancelled, their senders are told that they were not.
            frames = self._piece()
            try:
                await self._socket.send_together(frames)
            except Exception as error:
                # aiohttp raises several types here; whichever it is, nothing more can be written to this socket.
                self._broken = True
                self._fail_queued()
                # The gateway may have said why: a close frame that the reader finds counts first.
                await asyncio.wait([self._reader], timeout=_LAST_WORDS)
                lost = LinkLost(f"cannot write to the gateway: {error}")
                lost.__cause__ = error
                self._end(lost)
                return
            for _ in frames:
                self._take_next(written=True)

    def _write_ended(self, writer: asyncio.Task[None]) -> None:
        error = None if writer.cancelled() else writer.exception()
        if isinstance(error, Exception):  # raised by a sender's *written*: a bug
            self._broken = True
            self._fail_queued()
            self._end(error)

    def _piece(self) -> list[bytes]:
        """Of what is queued, the frames that fit into one write; at least one, and no more where a socket cannot join them."""
        frames: list[bytes] = []
        size, most = 0, PIECE if self._socket.joins_frames else 0
        for frame, _, _ in self._outgoing:
            size += len(frame)
            if frames and size > most:
                break
            frames.append(frame)
        return frames

    async def _read(self) -> None:
        kinds = (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT)
        try:
            while (message := await self._socket.receive()).type in kinds:
                self._received(message.data if message.type is aiohttp.WSMsgType.BINARY else None)
                while self._waiting >= HALT * FULL:
                    self._less.clear()
                    await self._less.wait()
        except (
            Exception
        ) as error:  # aiohttp reports a broken socket by a message, so this is a bug in what handles a frame
            self._end(error)
        else:
            self._end(ending(message))

    def _end(self, error: Exception) -> None:
        if not self._told:
            self._told = True
            self._ended(error)

    def _fail_queued(self) -> None:
        while self._outgoing:
            self._take_next(written=False)

    def _take_next(self, *, written: bool) -> None:
        _, tell, weight = self._outgoing.popleft()
        self._waiting -= weight
        self._less.set()
        if tell:
            tell(written)


def ending(last: aiohttp.WSMessage) -> Exception:
    """Why a socket ended, by what was read last; no close frame and an empty reason are ordinary losses (PROTOCOL.md §2.1)."""
    if last.type is aiohttp.WSMsgType.ERROR:
        return LinkLost(f"the link broke: {last.data}")
    if last.type is not aiohttp.WSMsgType.CLOSE:
        return LinkLost("the link broke without a close frame (1006)")
    code, reason = int(last.data), str(last.extra or "")
    if reason == "connect_gateway_closing":
        return GatewayDraining(f"the gateway closed the link because it is being drained ({code})")
    if reason == "connect_too_many_apps_per_connection":
        return TooManyApps(
            "more apps than this account's plan allows on one connection: spread them over several workers"
        )
    return LinkLost(f"the gateway closed the link ({code} {reason or 'without a reason'})", code, reason)
