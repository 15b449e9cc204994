"""Where a test meets a function in another process: it calls at the test's door, says its pid, and may wait to be let go."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

PATIENCE = 30.0
"""Seconds that anything may take: a loaded machine starts a process in ten times its usual time."""


class Visit:
    """One function at the door."""

    def __init__(self, pid: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.pid = pid
        self._reader = reader
        self._writer = writer

    def let_go(self) -> None:
        self._writer.write(b"go\n")

    async def last_words(self, within: float = PATIENCE) -> str:
        """What the function sent before it, or its process, ended; nothing if it was not asked for any."""
        async with asyncio.timeout(within):
            return (await self._reader.read()).decode().strip()

    def close(self) -> None:
        self._writer.close()


class Door:
    """The door. Functions get `port` in their event's data."""

    def __init__(self) -> None:
        self.port = 0
        self._all: list[Visit] = []
        self._fresh: asyncio.Queue[Visit] = asyncio.Queue()

    @classmethod
    @asynccontextmanager
    async def opened(cls) -> AsyncIterator["Door"]:
        door = cls()
        async with await asyncio.start_server(door._receive, "127.0.0.1", 0) as server:
            door.port = server.sockets[0].getsockname()[1]
            yield door
            server.close()
            for visit in door._all:
                visit.close()

    async def visit(self) -> Visit:
        """Wait for the next function that calls."""
        async with asyncio.timeout(PATIENCE):
            return await self._fresh.get()

    async def visits(self, count: int) -> list[Visit]:
        return [await self.visit() for _ in range(count)]

    async def _receive(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visit = Visit(int(await reader.readline()), reader, writer)
        self._all.append(visit)
        self._fresh.put_nowait(visit)
