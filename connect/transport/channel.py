"""A channel: reads frames from an open WebSocket, and queues and writes frames to it.

It handles bytes and close frames, and does not decode messages. `send` never blocks; a callback says later whether the frame was
written. The channel counts the bytes that wait while the gateway does not read: from a first mark on it reports that it is full,
from a second on it stops reading, so that the gateway has to stop sending.
"""

import asyncio
import contextlib
import contextvars
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import aiohttp

from connect.errors import GatewayDraining, LinkLost, TooManyApps
from connect.redaction import logger, peer_text
from connect.transport.failures import why
from connect.transport.flood import Flood
from connect.transport.websocket import CLOSE_SECONDS

SHUTDOWN: Final = (1000, b"WORKER_SHUTDOWN")
"""Code and reason of a close that the worker intends."""
UNEXPECTED: Final = (4001, b"UNEXPECTED")
"""Of a close after a failure."""

FULL: Final = 16 * 1024 * 1024
"""Bytes that wait to be written: from here on replies are flushed over HTTP instead, since heartbeats wait behind them."""
READ_STOP: Final = 4
"""Stop reading at 4 * FULL; a lower mark could deadlock two peers, each waiting for the other to read. Replies stop at FULL."""

BATCH_BYTES: Final = 64 * 1024
"""Batch up to this many bytes in one write; aiohttp checks after as many whether the peer reads. A larger frame goes alone."""

log = logger("connect.link")

_CLOSE_FRAME_SECONDS: Final = 0.05
"""Seconds, after a failed write, to read a close frame that may say why the gateway ended the link."""

_BINARY, _TEXT, _PING = aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.PING
_GO_ON: Final = (_BINARY, _TEXT, _PING, aiohttp.WSMsgType.PONG)  # to look one up in a set would take a call of Python

Written = Callable[[bool], None]
"""Called once for a frame: True: it was written to the socket, or not wanted any more; False: it never will be written."""
Frame = bytes | Callable[[], bytes | None]
"""A frame; or what makes it when it is written, so that a large one takes no memory while it waits. None: it is not wanted now."""


class Socket(Protocol):
    """What a channel needs of an open WebSocket: `connect.transport.websocket.WebSocket` says what each does."""

    @property
    def joins_frames(self) -> bool: ...

    def send_at_once(self, frames: Sequence[bytes]) -> bool: ...
    async def send_together(self, frames: Sequence[bytes]) -> None: ...
    async def receive(self) -> aiohttp.WSMessage: ...
    async def pong(self, message: bytes) -> None: ...
    async def close(self, *, code: int, message: bytes) -> bool: ...
    def abort(self) -> None: ...


class Channel:
    """Reads and writes *socket* until reading or writing fails, or `close()`. On one loop only.

    *received* is called with each frame, with None for a text frame. It returns something true if the frame meant something: too
    many others end the link (connect.transport.flood). *ended* is called once, with the reason why the link ended:
    a `ConnectError`, or what *received* or a *written* callback raised, which is a bug of the worker.
    """

    def __init__(
        self,
        socket: Socket,
        received: Callable[[bytes | None], object],
        ended: Callable[[Exception], None],
    ) -> None:
        self._socket = socket
        self._received = received
        self._ended = ended
        self._closing = False
        self._broken = False
        self._end_reported = False
        self._outgoing: deque[tuple[Frame, Written | None, int]] = deque()
        self._waiting = 0
        self._flood = Flood()
        self._is_flush_due = False
        self._writer_has_turn = True
        """The writer task writes, or is about to: nothing else may."""
        self._wake = asyncio.Event()
        self._space = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._context = (
            contextvars.copy_context()
        )  # functions may begin in `_flush`: not in the context of what was sent
        self._reader = self._loop.create_task(self._read(), name="link-read")
        self._writer = self._loop.create_task(self._write(), name="link-write")
        self._writer.add_done_callback(self._write_ended)

    @property
    def full(self) -> bool:
        """At least `FULL` bytes wait to be written: the gateway does not read fast enough."""
        return self._waiting >= FULL

    def send(self, frame: Frame, written: Written | None, kept: int = 0, *, now: bool = False) -> None:
        """Queue *frame*, to be written with the others of this turn. *kept*: bytes that the caller keeps in memory until then; they
        count as waiting too. *now*: no others will follow; write it, and call *written*, before this returns, if possible.
        """
        weight = kept if callable(frame) else len(frame) + kept
        self._outgoing.append((frame, written, weight))
        self._waiting += weight
        if self._broken:
            self._loop.call_soon(self._fail_queued)
        elif self._is_flush_due:
            return
        elif now:
            self._flush()
        else:
            self._is_flush_due = True
            self._loop.call_soon(self._flush, context=self._context)

    async def close(self, code: int, reason: bytes) -> None:
        """Write what is queued, exchange close frames, end both tasks. Takes at most twice CLOSE_SECONDS. Never raises."""
        self._closing = True
        self._wake.set()
        await asyncio.wait([self._writer], timeout=CLOSE_SECONDS)
        self._writer.cancel()
        await asyncio.wait([self._writer])
        # When the timeout cancels aiohttp's close it drops the connection: a peer that does not read gets no close frame.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._socket.close(code=code, message=reason)
        self._reader.cancel()
        await asyncio.wait([self._reader])
        self._fail_queued()

    def _flush(self) -> None:
        """Write what is queued. The writer task does what takes waiting, and what follows it; and it meets what fails."""
        self._is_flush_due = False
        try:
            while self._outgoing and not self._writer_has_turn:
                frames: list[bytes] | None = self._next_batch() if self._socket.joins_frames else None
                if frames is None or not self._socket.send_at_once(frames):
                    self._writer_has_turn = True
                    self._wake.set()
                    return
                count = len(frames) or 1
                del frames  # they may be large, and who is told now may send more
                for _ in range(count):
                    self._take_next(written=True)
        except Exception as error:
            self._break(error)

    async def _write(self) -> None:
        while self._outgoing or not self._closing:
            if not self._outgoing:
                self._writer_has_turn = False
                self._wake.clear()
                await self._wake.wait()
                self._writer_has_turn = True
                continue
            # They stay queued until they are written, so that after a cancel their callbacks are called with False.
            frames = self._next_batch()
            count = len(frames) or 1
            try:
                await self._socket.send_together(frames)
            except (aiohttp.ClientError, OSError, RuntimeError) as error:
                # aiohttp, and the loop under it, raise several types. After any of them nothing more can be written here.
                self._broken = True
                self._fail_queued()
                # The gateway may have sent a close frame with its reason: wait until it is read.
                await asyncio.wait([self._reader], timeout=_CLOSE_FRAME_SECONDS)
                self._end(_lost("write to", error))
                return
            del frames  # they may be large, and the next batch far off
            for _ in range(count):
                self._take_next(written=True)

    def _write_ended(self, writer: asyncio.Task[None]) -> None:
        error = None if writer.cancelled() else writer.exception()
        if isinstance(error, Exception):
            self._break(error)

    def _break(self, error: Exception) -> None:
        """*error* was raised by a *written* callback, or by what makes or joins frames: a bug."""
        self._broken = True
        self._end(error)
        self._fail_queued()

    def _next_batch(self) -> list[bytes]:
        """The queued frames that go into one write: at least one, and only one if it has yet to be made, or the socket cannot join
        frames. Empty: the first of the queue is not wanted any more.
        """
        frames: list[bytes] = []
        size, most = 0, BATCH_BYTES if self._socket.joins_frames else 0
        for frame, _, _ in self._outgoing:
            if callable(frame):
                if frames:
                    break
                made = frame()
                return [] if made is None else [made]
            size += len(frame)
            if frames and size > most:
                break
            frames.append(frame)
        return frames

    async def _read(self) -> None:
        while (message := await self._next_message()) and message.type in _GO_ON:
            try:
                meant = bool(self._take(message))
                self._flood.note(len(message.data), meant)
            except Exception as error:  # a flood, or a bug
                self._socket.abort()  # while it is closed aiohttp would go on to read, and some releases keep all small frames
                self._end(error)
                return
            while self._waiting >= READ_STOP * FULL:
                self._space.clear()
                await self._space.wait()
        if message:
            self._end(ending(message))

    def _take(self, message: aiohttp.WSMessage) -> object:
        if message.type is _BINARY:
            return self._received(message.data)
        return self._received(None) if message.type is _TEXT else False

    async def _next_message(self) -> aiohttp.WSMessage | None:
        """What the peer sent next; a ping is answered. None: the socket broke while it was read, and that is reported."""
        try:
            message = await self._socket.receive()
            if message.type is _PING:
                await self._socket.pong(message.data)
        except Exception as error:  # aiohttp raises several types, also where the socket is being closed
            self._end(_lost("read from", error))
            return None
        return message

    def _end(self, error: Exception) -> None:
        if not self._end_reported:
            self._end_reported = True
            self._ended(error)

    def _fail_queued(self) -> None:
        while self._outgoing:
            self._take_next(written=False)

    def _take_next(self, *, written: bool) -> None:
        _, tell, weight = self._outgoing.popleft()
        self._waiting -= weight
        self._space.set()
        if tell:
            tell(written)


def _lost(what: str, error: Exception) -> LinkLost:
    lost = LinkLost(f"cannot {what} the gateway: {why(error)}")
    lost.__cause__ = error
    return lost


def ending(last: aiohttp.WSMessage) -> Exception:
    """The error for a socket whose last message is *last*. Without a close frame or reason: an ordinary loss (PROTOCOL.md §2.1)."""
    if last.type is aiohttp.WSMsgType.ERROR:
        return LinkLost(f"the link broke: {why(last.data)}")
    if last.type is not aiohttp.WSMsgType.CLOSE:
        return LinkLost("the link broke without a close frame (1006)")
    code, reason = int(last.data), peer_text(last.extra or "")
    if reason == "connect_gateway_closing":
        return GatewayDraining(f"the gateway closed the link because it is being drained ({code})")
    if reason == "connect_too_many_apps_per_connection":
        return TooManyApps(
            "more apps than this account's plan allows on one connection: spread them over several workers"
        )
    return LinkLost(f"the gateway closed the link ({code} {reason or 'without a reason'})", code, reason)
