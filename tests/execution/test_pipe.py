"""The pipe between a worker and its process carries whole messages, in order and several at once, and serialises them only as they
are read.
"""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from visits import PATIENCE

from connect.execution.pipe import DONE, RUN, Message, Pipe, frame


class Ends:
    """A pipe, what it received, and the bare socket at its other end."""

    def __init__(self) -> None:
        self.received: list[Message] = []
        self.pipe = Pipe(self.received.append, asyncio.get_running_loop())
        self.near, self.far = socket.socketpair()
        self.far.setblocking(False)

    @property
    def buffered(self) -> int:
        """Bytes that were written and are not sent yet."""
        assert self.pipe._transport
        return self.pipe._transport.get_write_buffer_size()

    async def read(self, size: int) -> bytes:
        """Read *size* bytes at the other end, or all to its end."""
        loop, data, more = asyncio.get_running_loop(), bytearray(), b"?"
        async with asyncio.timeout(PATIENCE):
            while more and len(data) < size:
                more = await loop.sock_recv(self.far, size - len(data))
                data += more
        return bytes(data)


@pytest.fixture
async def ends() -> AsyncIterator[Ends]:
    made = Ends()
    await made.pipe.open(made.near)
    yield made
    made.pipe.close()
    await made.pipe.lost
    made.far.close()


MESSAGES: list[Any] = [(RUN, 1, "é\ud800", b"\x00" * 5, None), (DONE, 2, True, 3.5, {"a": ["b"]}), (0,)]


async def test_messages_come_whole_and_in_order_however_the_bytes_come(ends: Ends) -> None:
    data = frame(MESSAGES[0]) + frame(*MESSAGES[1:])
    for at in range(len(data)):
        ends.pipe.data_received(data[at : at + 1])
    assert ends.received == MESSAGES
    ends.pipe.data_received(data + data[:7])
    ends.pipe.data_received(data[7:])
    assert ends.received == MESSAGES * 3
    ends.pipe.data_received(frame(*MESSAGES))
    assert ends.received == MESSAGES * 4


async def test_what_is_sent_in_one_turn_is_written_at_once(ends: Ends) -> None:
    for message in MESSAGES:
        ends.pipe.send(message)
    with pytest.raises(BlockingIOError):
        ends.far.recv(1)
    await asyncio.sleep(0)
    assert ends.far.recv(10_000) == frame(*MESSAGES)


async def test_what_nothing_will_be_joined_with_is_written_in_the_same_turn_after_what_waits(ends: Ends) -> None:
    ends.pipe.send(MESSAGES[0])
    ends.pipe.send_now(MESSAGES[1])
    ends.pipe.send(MESSAGES[2])
    await asyncio.sleep(0)
    assert ends.far.recv(10_000) == frame(*MESSAGES[:2]) + frame(MESSAGES[2])


async def test_while_the_other_end_does_not_read_messages_wait_as_they_are(ends: Ends) -> None:
    """Of 32 MiB only what fits into the socket, and one frame more, is copied."""
    message = (RUN, bytes(128 * 1024))
    size = len(frame(message))
    for _ in range(256):
        ends.pipe.send(message, size)
    await asyncio.sleep(0)
    for left in (250, 120, 0):
        assert ends.buffered <= 2 * size
        assert len(ends.pipe._waiting) >= left
        if left:
            await ends.read(size * 128)
    assert len(ends.pipe._waiting) == 0


async def test_one_that_is_closed_before_it_is_open_is_lost_at_once() -> None:
    ends = Ends()
    ends.pipe.close()
    await ends.pipe.open(ends.near)
    async with asyncio.timeout(PATIENCE):
        await ends.pipe.lost
    ends.pipe.send((RUN,))
    await asyncio.sleep(0)
    assert ends.far.recv(1) == b""
    ends.far.close()


async def test_a_copy_of_its_end_does_not_keep_it_open(ends: Ends) -> None:
    """A fork of the worker's process has such a copy."""
    with ends.near.dup():
        ends.pipe.close()
        assert await ends.read(1) == b""


async def test_it_is_lost_when_the_other_end_is_closed(ends: Ends) -> None:
    ends.far.sendall(frame(MESSAGES[0]))
    ends.far.close()
    async with asyncio.timeout(PATIENCE):
        await ends.pipe.lost
    assert ends.received == MESSAGES[:1]
