"""A channel over a real WebSocket: frames in order, what becomes of each, and a peer that does not read."""

import asyncio
import contextvars
from functools import partial

import pytest

from connect.transport.channel import BATCH_BYTES, FULL, READ_STOP
from tests.transport.channel_kit import MIB, opened

# -- frames ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sizes",
    [[3], [0, 1, 2], [600] * 500, [10, BATCH_BYTES, 10, BATCH_BYTES + 1, 10, 3 * MIB, 10], [BATCH_BYTES // 2] * 5],
    ids=["one", "empty and small", "many", "small and large", "two to a batch"],
)
async def test_frames_are_written_in_order_and_each_sender_is_told(sizes: list[int]) -> None:
    frames = [bytes([number % 251]) * size for number, size in enumerate(sizes)]
    async with opened() as near:
        near.far.read()
        for number, frame in enumerate(frames):
            near.send(frame, number)
        assert near.written == [], "send itself tells nothing"
        await near.until(lambda: len(near.far.heard) == len(frames) and len(near.written) == len(frames))
        assert near.far.heard == frames
        assert near.written == [(number, True) for number in range(len(frames))]


async def test_a_frame_may_be_sent_without_asking_what_becomes_of_it() -> None:
    async with opened() as near:
        near.far.read()
        near.channel.send(b"one", None)
        near.send(b"two", "two")
        await near.until(lambda: bool(near.written))
        assert near.written == [("two", True)]
        await near.until(lambda: len(near.far.heard) == 2)


async def test_frames_sent_when_one_was_written_go_out_too() -> None:
    async with opened() as near:
        near.far.read()
        near.channel.send(b"first", lambda _: near.channel.send(b"second", None))
        await near.until(lambda: near.far.heard == [b"first", b"second"])


async def test_a_frame_that_is_alone_is_written_and_told_of_at_once() -> None:
    async with opened() as near:
        near.far.read()
        near.send(b"first")
        await near.until(lambda: bool(near.written))
        near.channel.send(b"alone", lambda written: near.written.append(("alone", written)), now=True)
        assert near.written[-1] == ("alone", True)
        near.send(b"queued", "queued")
        near.channel.send(b"behind it", None, now=True)
        assert near.written[-1] == ("alone", True), "what was queued before goes first"
        await near.until(lambda: len(near.far.heard) == 4)
        assert near.far.heard == [b"first", b"alone", b"queued", b"behind it"]


async def test_frames_that_cannot_be_written_at_once_keep_their_place(monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened() as near:
        near.far.read()
        write, refuses = near.socket.send_at_once, iter([False, True, False, False, True])
        monkeypatch.setattr(near.socket, "send_at_once", lambda frames: not next(refuses, False) and write(frames))
        frames = [f"{turn} {number}".encode() for turn in range(8) for number in range(3)]
        for number, frame in enumerate(frames):
            near.send(frame, number)
            if number % 3 == 2:
                await asyncio.sleep(0)
        await near.until(lambda: len(near.far.heard) == len(frames))
        assert near.far.heard == frames
        assert near.written == [(number, True) for number in range(len(frames))]


async def test_what_is_told_of_a_frame_does_not_come_in_the_context_of_its_sender() -> None:
    """A function may begin there, and would have the variables of another."""
    variable = contextvars.ContextVar[str]("variable")
    seen: list[str | None] = []
    async with opened() as near:
        near.far.read()
        variable.set("of the sender")
        near.channel.send(b"one", lambda _: seen.append(variable.get(None)))
        near.channel.send(b"two", lambda _: seen.append(variable.get(None)))
        await near.until(lambda: len(near.far.heard) == 2)
    assert seen == [None, None]


@pytest.mark.parametrize("joins_frames", [True, False])
async def test_a_frame_that_is_made_when_it_is_written_keeps_its_place_or_is_left_out(
    joins_frames: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened() as near:
        if not joins_frames:
            monkeypatch.setattr(near.socket, "_batch", None)
        near.far.read()
        made: list[str] = []

        def make(text: str | None) -> bytes | None:
            made.append(str(text))
            return text.encode() if text else None

        for number, text in enumerate(["a", None, "b", None]):
            near.send(f"before {number}".encode(), number)
            near.send(partial(make, text), str(text), kept=5)
        near.send(b"last", "last")
        assert made == [], "none is made before it is written"
        await near.until(lambda: near.far.heard[-1:] == [b"last"] and len(near.written) == 9)
        assert near.far.heard == [b"before 0", b"a", b"before 1", b"before 2", b"b", b"before 3", b"last"]
        assert made == ["a", "None", "b", "None"]
        assert all(written for _, written in near.written)


async def test_a_frame_is_not_kept_once_it_is_written() -> None:
    class Freed(bytes):
        def __del__(self) -> None:
            freed.append(self[:1])

    freed: list[bytes] = []
    async with opened() as near:
        near.far.read()
        for first in (b"a", b"b"):
            near.channel.send(Freed(first + bytes(MIB)), None)
        await near.until(lambda: len(near.far.heard) == 2)
        assert freed == [b"a", b"b"]


async def test_what_comes_is_handed_over_in_order_and_a_text_as_none() -> None:
    async with opened() as near:
        far = near.far.socket
        for number in range(50):
            await far.send_bytes(bytes([number]))
        await far.send_str("text")
        await far.ping()
        await far.send_bytes(b"last")
        await near.until(lambda: near.received[-1:] == [b"last"])
        assert near.received == [*(bytes([number]) for number in range(50)), None, b"last"]


# -- a peer that does not read -------------------------------------------------------------------------------------------------


async def test_it_is_full_while_its_peer_reads_nothing_and_no_longer() -> None:
    frames = FULL // MIB + 16  # more than FULL, with what the two ends' buffers take
    async with opened() as near:
        assert not near.channel.full
        for number in range(frames):
            near.send(bytes(MIB), number)
        assert near.channel.full
        await asyncio.sleep(0.1)
        assert near.channel.full
        near.far.read()
        await near.until(lambda: len(near.written) == frames)
        assert not near.channel.full
        assert near.written == [(number, True) for number in range(frames)]
        await near.until(lambda: len(near.far.heard) == frames)


async def test_what_is_kept_for_a_frame_counts_until_it_is_written() -> None:
    async with opened() as near:
        near.far.read()
        near.send(b"small", kept=FULL)
        assert near.channel.full
        await near.until(lambda: bool(near.written))
        assert not near.channel.full


async def test_a_frame_that_has_yet_to_be_made_waits_with_the_bytes_that_it_is_said_to_have() -> None:
    async with opened() as near:
        near.send(bytes(MIB), "blocks")
        near.send(lambda: b"made", "made", kept=FULL)
        assert near.channel.full
        near.far.read()
        await near.until(lambda: near.far.heard[-1:] == [b"made"] and len(near.written) == 2)
        assert not near.channel.full


async def test_at_four_times_full_it_stops_to_read_until_its_peer_reads() -> None:
    """What was read last is still handed over."""
    async with opened() as near:
        far = near.far.socket
        for number in range(16):
            near.send(bytes(MIB), number)
        near.send(b"heavy", "heavy", kept=READ_STOP * FULL)
        await asyncio.sleep(0.1)
        assert ("heavy", True) not in near.written, "the buffers took everything: send more"
        for number in range(5):
            await far.send_bytes(bytes([number]))
        await near.until(lambda: bool(near.received))
        await asyncio.sleep(0.1)
        assert near.received == [b"\x00"]
        near.far.read()
        await near.until(lambda: len(near.received) == 5)
        assert near.received == [bytes([number]) for number in range(5)]
