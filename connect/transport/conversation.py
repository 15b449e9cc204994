"""The bytes that are exchanged with a proxy before a connection belongs to the server behind it."""

import asyncio
from typing import Final, cast

LIMIT: Final = 64 * 1024
"""Bytes that a proxy may send before it has connected."""


class Conversation(asyncio.Protocol):
    """Reads what a proxy sends, up to `LIMIT` bytes, and writes to it. One reader at a time."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._total = 0
        self._came = asyncio.Event()
        self._is_over = False
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        self._total += len(data)
        if self._total > LIMIT:
            self.transport.pause_reading()
        self._came.set()

    def eof_received(self) -> None:
        self._end()

    def connection_lost(self, _: Exception | None) -> None:
        self._end()

    def _end(self) -> None:
        self._is_over = True
        self._came.set()

    def write(self, data: bytes) -> None:
        self.transport.write(data)

    async def read(self, count: int) -> bytes:
        """The next *count* bytes. Raises: ProxyFailed."""
        while len(self._received) < count:
            await self._more()
        return self._take(count)

    async def read_until(self, end: bytes) -> bytes:
        """What comes up to *end* and with it. Raises: ProxyFailed."""
        while (at := self._received.find(end)) < 0:
            await self._more()
        return self._take(at + len(end))

    @property
    def has_more(self) -> bool:
        """Bytes came that were not read."""
        return bool(self._received)

    async def _more(self) -> None:
        if self._total > LIMIT:
            raise ProxyFailed(f"sends more than {LIMIT:,} bytes instead of an answer")
        if self._is_over:
            raise ProxyFailed("closed the connection without an answer")
        self._came.clear()
        await self._came.wait()

    def _take(self, count: int) -> bytes:
        taken = bytes(self._received[:count])
        del self._received[:count]
        return taken


class ProxyFailed(Exception):  # noqa: N818 - what happened
    """The proxy made no connection. The message goes on after "the proxy …"; *cure*: what to do, if that is known.

    *absent*: the proxy says that it cannot reach the server. *retry_after*: seconds that it asks to wait.
    """

    def __init__(self, what: str, cure: str = "", *, absent: bool = False, retry_after: float | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.cure = cure
        self.absent = absent
        self.retry_after = retry_after

    def __str__(self) -> str:
        return f"{self.what}: {self.cure}" if self.cure else self.what
