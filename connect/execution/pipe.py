"""The pipe between the worker and one of its processes: a socket pair that carries messages.

A frame is a length in four bytes, and a tuple of messages written by `marshal`: both ends run the same Python. The messages
that are sent in one turn of the loop go in one frame.

| Message | Sent by | Fields |
|---|---|---|
| RUN | worker | number, then the fields of an `Invocation`, in order |
| CANCEL | worker | number |
| READY | process | - |
| NOT_READY | process | why it cannot run the apps |
| DONE | process | number, then the fields of an `Outcome`, in order |
| CANCELLED | process | number |
| THREADS | process | the fields of a `ThreadStatus` |
| BLOCKED | process | the fields of a `LoopBlocked` |

The worker numbers the executions of each process from 1. It ends a process by closing the pipe.
"""

import asyncio
import contextlib
import marshal
import socket
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final, TypeAlias, cast

RUN: Final = 0
CANCEL: Final = 1
READY: Final = 2
NOT_READY: Final = 3
DONE: Final = 4
CANCELLED: Final = 5
THREADS: Final = 6
BLOCKED: Final = 7

Message: TypeAlias = tuple[Any, ...]

_LENGTH: Final = 4
_PLAIN: Final = 2
"""The version of marshal's format that does not look for repeated objects: faster, and there are none."""
_FRAME_BYTES: Final = 64 * 1024
"""Join messages into one frame until they have this many bytes: of more, only what the other end takes is copied."""


def frame(*messages: Message) -> bytes:
    """*messages* as bytes. Raises: ValueError: one of them holds an object that `marshal` cannot write."""
    body = marshal.dumps(messages, _PLAIN)
    return len(body).to_bytes(_LENGTH) + body


class Pipe(asyncio.Protocol):
    """One end of a pipe. Used on *loop* only. *received* is called with every message, in order."""

    def __init__(self, received: Callable[[Message], None], loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._received = received
        self._transport: asyncio.Transport | None = None
        self._end: socket.socket | None = None
        self._arrived = bytearray()
        self._waiting: OrderedDict[int, tuple[Message, int]] = OrderedDict()
        self._sent = 0
        self._scheduled = False
        self._full = False
        self._closed = False
        self.lost: asyncio.Future[None] = self._loop.create_future()
        """Done once the pipe is closed, by either end."""

    async def open(self, end: socket.socket) -> None:
        """Read and write *end* from now on; `close` closes it."""
        self._end = end
        await self._loop.create_unix_connection(lambda: self, sock=end)
        if self._closed:
            self.close()

    def send(self, message: Message, size: int = 0) -> int:
        """Write *message* at the end of this turn of the loop, joined with the others of the turn; dropped if the pipe is closed.

        *size*: how many bytes it has, roughly. While the other end does not read, messages are queued without a limit: `withdraw`
        those that mean nothing any more. Returns the number by which that knows *message*.
        """
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._end_turn)
        return self._queue(message, size)

    def send_now(self, message: Message, size: int = 0) -> int:
        """As `send`, but write it, and what waits, in this call: for a message that no other will follow in this turn."""
        number = self._queue(message, size)
        self._flush()
        return number

    def withdraw(self, number: int) -> bool:
        """Do not send this message. False: it has been written."""
        return self._waiting.pop(number, None) is not None

    def close(self) -> None:
        """Close it now, or as soon as `open` is through; queued messages are dropped. A second call does nothing."""
        self._closed = True
        if self._transport and self._end and not self._transport.is_closing():
            with contextlib.suppress(OSError):  # the other end was closed before
                # shutdown ends the pipe also where a fork made by user code holds a copy of the socket
                self._end.shutdown(socket.SHUT_RDWR)
            self._transport.abort()

    # -- as the transport's protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if not self._arrived and len(data) == _LENGTH + int.from_bytes(data[:_LENGTH]):
            messages = marshal.loads(memoryview(data)[_LENGTH:])  # noqa: S302 - from our own process
        else:
            messages = self._messages(data)
        for message in messages:
            self._received(message)

    def connection_lost(self, _error: Exception | None) -> None:
        if not self.lost.done():
            self.lost.set_result(None)

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self._flush()

    def _messages(self, data: bytes) -> list[Message]:
        """The messages that are complete once *data* has come."""
        self._arrived += data
        messages: list[Message] = []
        begin, end = 0, len(self._arrived)
        with memoryview(self._arrived) as arrived:
            while (body := begin + _LENGTH) <= end:
                after = body + int.from_bytes(arrived[begin:body])
                if after > end:
                    break
                messages += marshal.loads(arrived[body:after])  # noqa: S302 - from our own process
                begin = after
        del self._arrived[:begin]
        return messages

    def _queue(self, message: Message, size: int) -> int:
        self._sent += 1
        self._waiting[self._sent] = message, size
        return self._sent

    def _end_turn(self) -> None:
        self._scheduled = False
        self._flush()

    def _flush(self) -> None:
        while self._waiting and not self._full:
            messages = frame(*self._next_messages())
            if self._transport and not self._transport.is_closing():
                self._transport.write(messages)

    def _next_messages(self) -> list[Message]:
        messages, size = [], 0
        while self._waiting and size < _FRAME_BYTES:
            message, more = self._waiting.popitem(last=False)[1]
            messages.append(message)
            size += more
        return messages
