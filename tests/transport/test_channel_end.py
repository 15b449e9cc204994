"""How a channel ends: why, who is told, and how it closes."""

import asyncio
import time
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from connect.errors import GatewayDraining, LinkLost, TooManyApps
from connect.transport.channel import ending
from connect.transport.websocket import CLOSE_SECONDS
from tests.transport.channel_kit import MIB, Near, opened

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

# -- the end -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "reason", "kind", "says"),
    [
        (1000, "", LinkLost, "the gateway closed the link (1000 without a reason)"),
        (1000, "bye", LinkLost, "the gateway closed the link (1000 bye)"),
        (1001, "", LinkLost, "(1001 without a reason)"),
        (1008, "connect_worker_hello_invalid_msg", LinkLost, "(1008 connect_worker_hello_invalid_msg)"),
        (1011, "connect_internal_error", LinkLost, "(1011 connect_internal_error)"),
        (1001, "connect_gateway_closing", GatewayDraining, "because it is being drained (1001)"),
        (1008, "connect_gateway_closing", GatewayDraining, "because it is being drained (1008)"),
        (1008, "connect_too_many_apps_per_connection", TooManyApps, "more apps than this account's plan allows"),
    ],
)
async def test_a_close_frame_is_an_error_that_says_why(
    code: int, reason: str, kind: type[Exception], says: str
) -> None:
    async with opened() as near:
        await near.far.socket.send_bytes(b"before")
        await near.far.socket.close(code=code, message=reason.encode())
        error = await near.ends()
        assert near.received == [b"before"]
        assert type(error) is kind
        assert says in str(error)
        if isinstance(error, LinkLost):
            assert (error.code, error.reason) == (code, reason)


async def test_a_connection_that_breaks_is_a_lost_link_with_1006() -> None:
    async with opened() as near:
        near.far.abort()
        error = await near.ends()
        assert isinstance(error, LinkLost)
        assert (error.code, error.reason) == (1006, "")
        assert "without a close frame (1006)" in str(error)


async def test_bytes_that_are_no_frame_are_a_lost_link() -> None:
    async with opened() as near:
        near.far.write_raw(b"\xff\xff\xff\xff")
        error = await near.ends()
        assert isinstance(error, LinkLost)
        assert "the link broke: " in str(error)


async def test_a_bug_in_what_reads_frames_ends_the_link_with_that_bug() -> None:
    """It is no lost link, which would be replaced by another for ever."""
    async with opened() as near:
        near.is_broken = True
        await near.far.socket.send_bytes(b"frame")
        assert isinstance(await near.ends(), ZeroDivisionError)


async def test_a_bug_in_what_is_told_of_a_frame_ends_the_link_with_that_bug() -> None:
    """The frames behind it are told as not written."""

    def broken(_: bool) -> None:
        raise ZeroDivisionError("a bug")

    async with opened() as near:
        near.channel.send(b"one", broken)
        near.send(b"two", "two")
        assert isinstance(await near.ends(), ZeroDivisionError)
        assert near.written == [("two", False)]


async def test_a_bug_in_what_is_told_later_ends_the_link_too() -> None:
    """When the writer has nothing to do, frames are written at the end of the turn."""

    def broken(_: bool) -> None:
        raise ZeroDivisionError("a bug")

    async with opened() as near:
        near.send(b"zero", "zero")
        await near.until(lambda: bool(near.written))
        near.channel.send(b"one", broken)
        near.send(b"two", "two")
        assert isinstance(await near.ends(), ZeroDivisionError)
        assert near.written == [("zero", True), ("two", False)]


async def test_a_frame_that_cannot_be_written_ends_the_link_and_all_that_wait_with_it_are_told() -> None:
    """Nothing of that batch goes out."""
    async with opened() as near:
        near.far.read()
        near.refuse_writing()
        near.send(b"one", "one")
        near.send(b"two", "two")
        near.send(b"three", "three")
        error = await near.ends()
        assert isinstance(error, LinkLost)
        assert "cannot write to the gateway: " in str(error)
        assert near.written == [("one", False), ("two", False), ("three", False)]
        near.send(b"four", "four")
        assert len(near.written) == 3, "send itself tells nothing"
        await near.until(lambda: len(near.written) == 4)
        assert near.written[3] == ("four", False)
        assert near.far.heard == []


async def test_where_writing_fails_the_peers_close_frame_says_why() -> None:
    """The frame was on its way when the write failed."""
    async with opened() as near:
        near.far.write_raw(b"\x88\x0c\x03\xf0its reason")  # a close frame, 1008
        near.refuse_writing()
        near.send(b"late")
        error = await near.ends()
        assert isinstance(error, LinkLost)
        assert (error.code, error.reason) == (1008, "its reason")


async def test_a_frame_that_is_no_bytes_is_a_bug_of_the_sender() -> None:
    """It is reported as raised, and all that wait with it are told that they were not written."""
    async with opened() as near:
        near.send(b"one", "one")
        near.send("no bytes", "two")  # type: ignore[arg-type]
        assert isinstance(await near.ends(), TypeError)
        await near.until(lambda: len(near.written) == 2)
        assert near.written == [("one", False), ("two", False)]


async def test_a_ping_on_a_socket_that_breaks_is_a_lost_link() -> None:
    """aiohttp answers a ping while it reads; where it cannot, reading raises."""
    async with opened() as near:
        near.far.write_raw(b"\x89\x00" * 3)
        near.far.abort()
        assert isinstance(await near.ends(), LinkLost)


async def test_what_reading_raises_is_a_lost_link() -> None:
    async with opened() as near:

        async def refused() -> aiohttp.WSMessage:
            raise aiohttp.ClientConnectionResetError("Cannot write to closing transport")

        near.socket.receive = refused  # type: ignore[method-assign]
        near.far.write_raw(b"\x82\x01x")  # a frame, after which the reader reads again
        error = await near.ends()
        assert isinstance(error, LinkLost)
        assert "cannot read from the gateway: " in str(error)
        assert isinstance(error.__cause__, aiohttp.ClientConnectionResetError)


async def test_the_end_is_told_once() -> None:
    """Both the reader and the writer come upon it."""
    async with opened() as near:
        near.far.abort()
        await near.ends()
        near.send(b"late", "late")
        await near.until(lambda: bool(near.written))
        assert near.written == [("late", False)]
        await asyncio.sleep(0.1)
        assert len(near.ended) == 1


# -- closing -------------------------------------------------------------------------------------------------------------------


async def test_closing_writes_what_is_queued_and_says_goodbye() -> None:
    async with opened() as near:
        near.far.read()
        for number in range(100):
            near.send(bytes([number]), number)
        await near.channel.close(1000, b"WORKER_SHUTDOWN")
        assert near.far.heard == [bytes([number]) for number in range(100)]
        assert near.far.socket.close_code == 1000
        assert near.written == [(number, True) for number in range(100)]


async def test_a_goodbye_has_a_code_and_a_reason() -> None:
    async with opened() as near:
        closing = asyncio.create_task(near.channel.close(1000, b"WORKER_SHUTDOWN"))
        last = await near.far.socket.receive()
        assert (last.type, last.data, last.extra) == (aiohttp.WSMsgType.CLOSE, 1000, "WORKER_SHUTDOWN")
        await closing


async def test_closing_does_not_wait_for_ever_for_a_peer_that_reads_nothing() -> None:
    """What could not be written is told to its senders."""
    frames = 40
    async with opened() as near:
        for number in range(frames):
            near.send(bytes(MIB), number)
        begun = time.monotonic()
        await near.channel.close(1000, b"WORKER_SHUTDOWN")
        assert time.monotonic() - begun < 2 * CLOSE_SECONDS + 3
        assert [name for name, _ in near.written] == list(range(frames))
        assert near.written[-1] == (frames - 1, False)


async def test_closing_does_not_wait_for_ever_for_a_peer_that_never_says_goodbye() -> None:
    async with opened() as near:
        near.send(b"frame", "frame")
        begun = time.monotonic()
        await near.channel.close(1000, b"")  # the far end does not read, so it does not answer
        assert CLOSE_SECONDS / 2 < time.monotonic() - begun < 2 * CLOSE_SECONDS + 3
        assert near.written == [("frame", True)]


@pytest.mark.parametrize("how", ["closed", "aborted", "not written"])
async def test_a_link_that_has_ended_is_closed_at_once(how: str) -> None:
    ways: dict[str, Callable[[Near], Awaitable[Any]]] = {
        "closed": lambda near: near.far.socket.close(code=1001),
        "aborted": lambda near: asyncio.sleep(0, near.far.abort()),
        "not written": lambda near: asyncio.sleep(0, near.send("no bytes")),  # type: ignore[arg-type]
    }
    async with opened() as near:
        near.far.read()
        await ways[how](near)
        await near.ends()
        for _ in range(2):
            begun = time.monotonic()
            await near.channel.close(1000, b"")
            assert time.monotonic() - begun < CLOSE_SECONDS
        assert len(near.ended) == 1


async def test_what_is_sent_to_a_closed_channel_is_not_written() -> None:
    async with opened() as near:
        near.far.read()
        await near.channel.close(1000, b"")
        near.send(b"late", "late")
        await near.channel.close(1000, b"")
        assert near.written == [("late", False)]


# -- why ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSING])
def test_an_end_of_our_own_making_is_a_lost_link(kind: aiohttp.WSMsgType) -> None:
    error = ending(aiohttp.WSMessage(kind, None, None))
    assert isinstance(error, LinkLost)
    assert error.code == 1006


def test_a_socket_that_failed_is_told_with_what_it_said() -> None:
    error = ending(aiohttp.WSMessage(aiohttp.WSMsgType.ERROR, OSError("no route"), None))
    assert str(error) == "the link broke: no route"
