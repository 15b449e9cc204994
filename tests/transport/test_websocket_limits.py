"""What a gateway may send on a WebSocket: no message over the limit, however it is cut, and nothing compressed."""

import asyncio
import base64
import contextlib
import hashlib
import tracemalloc
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from connect.transport.websocket import READ_LIMIT, open_session, open_socket

MIB = 1 << 20
COMPRESSED = zlib.compress(bytes(64 * MIB), wbits=-15)


def frame(first: int, payload: bytes = b"", length: int | None = None) -> bytes:
    """A server's frame: *first* is its first byte; *length* is claimed in place of the true one."""
    return bytes([first, 127]) + (len(payload) if length is None else length).to_bytes(8, "big") + payload


@asynccontextmanager
async def gateway(again: bytes, first: bytes = b"", extensions: str = "") -> AsyncIterator[str]:
    """A gateway that answers the upgrade, and sends *first*, then *again* until the worker hangs up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"sec-websocket-extensions" not in head
        key = head.partition(b"sec-websocket-key: ")[2].partition(b"\r\n")[0]
        accepts = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())  # noqa: S324
        writer.write(
            b"HTTP/1.1 101 Go\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: " + accepts
        )
        writer.write(extensions.encode() + b"\r\n\r\n" + first)
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(again)
                await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


NEGOTIATED = "\r\nSec-WebSocket-Extensions: permessage-deflate"


@pytest.mark.parametrize(
    ("first", "again", "extensions"),
    [
        (frame(0x82, length=1 << 62), bytes(MIB), ""),
        (frame(0x82, length=(1 << 64) - 1), bytes(MIB), ""),
        (frame(0x82, length=READ_LIMIT), bytes(MIB), ""),
        (frame(0x02, bytes(MIB)), frame(0x00, bytes(MIB)), ""),
        (frame(0x01, b"x" * MIB), frame(0x00, b"x" * MIB), ""),
        (b"", frame(0xC2, COMPRESSED), ""),
        (b"", frame(0xC2, COMPRESSED), NEGOTIATED),
        (frame(0x42, COMPRESSED), frame(0x00) * 1000, NEGOTIATED),
        (b"", frame(0x89, bytes(126)), ""),
        (b"", frame(0x88, b"\x03\xe8" + bytes(1000)), ""),
    ],
    ids=[
        "a length of 2^62",
        "a length of 2^64",
        "the limit",
        "fragments",
        "fragments of text",
        "compressed",
        "compressed, as if it was agreed",
        "a compressed fragment",
        "a long ping",
        "a long reason",
    ],
)
async def test_what_no_gateway_may_send_ends_the_socket(first: bytes, again: bytes, extensions: str) -> None:
    async with gateway(again, first, extensions) as url, open_session() as session, asyncio.timeout(20):
        socket = await open_socket(session, url)
        tracemalloc.start()
        message = await socket.receive()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert message.type is aiohttp.WSMsgType.ERROR
        assert socket.closed
        assert peak < 4 * READ_LIMIT


@pytest.mark.parametrize("again", [b"\x00\x00", b"\x80\x00\x02\x00"], ids=["fragments", "messages"])
async def test_empty_frames_without_end_are_not_kept(again: bytes) -> None:
    """Fragments while the worker reads; messages while it does not."""
    async with gateway(again * 1000, b"\x02\x00") as url, open_session() as session:
        tracemalloc.start()
        socket = await open_socket(session, url)
        reading = asyncio.create_task(socket.receive()) if again[0] != 0x80 else asyncio.create_task(asyncio.sleep(1))
        await asyncio.sleep(0.3)
        kept, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert kept < 8 * MIB
        reading.cancel()
        await asyncio.wait([reading])
        socket._response.close()
