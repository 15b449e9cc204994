"""What the process holds for replies is `outbox_limit`, whatever the faults (docs/decisions/bounded-memory.md)."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from connect.gateway import HANG, Answer, Gateway, Kind

MIB = 1024 * 1024
PROGRAM = Path(__file__).parent / "large_replies.py"
NOISE = 12 * MIB
"""What the process may gain besides: code that a first failure imports, pages of small blocks."""


@dataclass
class Worker:
    """A worker process, and what it prints."""

    process: asyncio.subprocess.Process
    go: Path

    @property
    def memory(self) -> int:
        return psutil.Process(self.process.pid).memory_info().rss

    async def says(self, word: str, count: int) -> None:
        """Read until it has printed *count* lines that begin with *word*."""
        assert self.process.stdout
        async with asyncio.timeout(60):
            while count:
                line = (await self.process.stdout.readline()).decode()
                assert line, "the worker has ended"
                count -= line.startswith(word)

    async def gives_back(self, most: int) -> int:
        """Its memory once it is at most *most* bytes, or after ten seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(10):
                while self.memory > most:  # noqa: ASYNC110 - memory tells nobody when it is freed
                    await asyncio.sleep(0.1)
        return self.memory


@contextlib.asynccontextmanager
async def working(gateway: Gateway, go: Path, isolation: str, limit: int, size: int) -> AsyncIterator[Worker]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *(str(PROGRAM), isolation, str(limit), str(size), str(go)),
        env={**os.environ, "INNGEST_DEV": gateway.url},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await gateway.wait_for_worker(timeout=30)
        yield Worker(process, go)
    finally:
        process.kill()
        await process.wait()


@pytest.mark.parametrize(
    ("isolation", "fault"), [("none", "the API hangs"), ("thread", "the API fails"), ("none", "replies vanish")]
)
async def test_the_process_holds_no_more_for_replies_than_the_limit(tmp_path: Path, isolation: str, fault: str) -> None:
    count, size, limit = 30, 4 * MIB, 24 * MIB
    async with Gateway() as gateway, working(gateway, tmp_path / "go", isolation, limit, size) as worker:
        before = worker.memory
        for _ in range(count):
            gateway.start_run("app-large")
        await gateway.until(lambda: len(gateway.frames(Kind.WORKER_REQUEST_ACK)) == count, timeout=30)
        gateway.flushes.standing = HANG if fault == "the API hangs" else Answer(500)
        if fault == "replies vanish":
            gateway.faults.lose(Kind.WORKER_REPLY, None)
        else:
            gateway.starts.standing = Answer(500)
            for connection in gateway.connections:
                connection.drop()
        worker.go.touch()
        await worker.says("lost", count - limit // size)
        most = before + limit * 11 // 10 + NOISE
        assert await worker.gives_back(most) <= most


async def test_a_reply_that_waits_keeps_no_payload_of_its_request(tmp_path: Path) -> None:
    count, size = 36, 3 * MIB // 2
    async with Gateway() as gateway, working(gateway, tmp_path / "go", "none", 512 * MIB, 10) as worker:
        before = worker.memory
        for _ in range(count):
            gateway.start_run("app-large", {"payload": "y" * size})
        await gateway.until(lambda: len(gateway.frames(Kind.WORKER_REQUEST_ACK)) == count, timeout=30)
        assert worker.memory > before + count * size
        gateway.starts.standing = gateway.flushes.standing = Answer(500)
        for connection in gateway.connections:
            connection.drop()
        worker.go.touch()
        await worker.says("kept", count)
        most = before + count * size // 2
        assert await worker.gives_back(most) <= most
