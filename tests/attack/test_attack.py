"""`make attack`: hostile gateways, one after the other, against a worker in each isolation.

Under each the worker stays within its memory, answers its probe, and ends when told to while the attack goes on.
"""

import asyncio
import contextlib
import os
import signal
import socket
import statistics
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import psutil
import pytest
from attackers import ATTACKERS, MIB, Attacker
from group_kit import end_group

HERE = Path(__file__).parent
PROBE = 0.05
"""Seconds that `/livez` may take, beyond those by which this process itself is late: it attacks and probes, on the same cores."""
SOME = 0.1
"""The share of probes that may take longer: a machine with few cores runs the attacker, the worker and the prober."""
WORST = 1.0
"""Seconds that no probe may take."""
END = 1.0 + 2.0 + 3.0
"""Seconds to end: shutdown_timeout, flush_timeout, and closing."""


@pytest.mark.timeout(0)
@pytest.mark.parametrize("isolation", ["thread", "none", "process"])
@pytest.mark.parametrize("kind", ATTACKERS, ids=lambda kind: kind.__name__)
async def test_a_worker_outlives(request: pytest.FixtureRequest, kind: type[Attacker], isolation: str) -> None:
    seconds = request.config.getoption("--attack-seconds")
    async with kind() as attacker, attacked(isolation, attacker) as worker:
        attacker.outside(worker.port)
        await worker.watch(seconds)
        took, code = await worker.end()
    print(f"\n  {kind.__name__:<18} {isolation:<8} {attacker.blows} blows, {worker}, ended in {took:.1f} s with {code}")
    assert attacker.blows > 0 or kind is Attacker
    assert attacker.failed == []
    assert worker.grown < kind.grows
    assert worker.late() <= SOME
    assert max(worker.probes) < WORST
    assert took < END
    assert code in (0, 1)
    assert "bug in the worker" not in worker.errors


class Attacked:
    """The worker's process, as it is seen from outside."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.port = port
        self.probes: list[float] = []
        self.errors = ""
        self.grown = 0
        self._process = process
        self._seen = psutil.Process(process.pid)
        self._before = 0
        self._own_lateness = 0.0
        self._reading = asyncio.create_task(self._read())

    def __str__(self) -> str:
        probe = f"/livez median {statistics.median(self.probes) * 1000:.0f} ms, worst {max(self.probes) * 1000:.0f} ms"
        return f"grew by {self.grown / MIB:.0f} MiB, {probe}, {self.late():.0%} late"

    def late(self) -> float:
        """The share of probes that took too long."""
        return sum(each > PROBE for each in self.probes) / len(self.probes)

    async def watch(self, seconds: float) -> None:
        """Probe it, and measure its memory."""
        until = time.monotonic() + seconds
        lateness = asyncio.create_task(self._note_own_lateness())
        async with aiohttp.ClientSession(f"http://127.0.0.1:{self.port}") as session:
            while time.monotonic() < until:
                self._own_lateness = 0.0
                took = await self._probe(session)
                self.probes.append(max(0.0, took - self._own_lateness))
                self._measure()
                await asyncio.sleep(0.05)
        lateness.cancel()

    async def _note_own_lateness(self) -> None:
        while True:
            asked = time.monotonic()
            await asyncio.sleep(0.002)
            self._own_lateness = max(self._own_lateness, time.monotonic() - asked - 0.002)

    async def end(self) -> tuple[float, int]:
        """Send it SIGTERM; how long it took to end, and its exit code. It is killed if it takes a minute."""
        asked = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        measuring = asyncio.create_task(self._measure_on())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(self._process.wait(), self._reading), 60)
        measuring.cancel()
        code = self._process.returncode
        return time.monotonic() - asked, -1 if code is None else code

    async def _probe(self, session: aiohttp.ClientSession) -> float:
        asked = time.monotonic()
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            async with session.get("/livez", timeout=aiohttp.ClientTimeout(30)) as answer:
                await answer.read()
                return time.monotonic() - asked
        return 30.0

    async def _read(self) -> None:
        assert self._process.stderr
        async for line in self._process.stderr:
            self.errors += line.decode(errors="replace")

    async def _measure_on(self) -> None:
        while True:
            self._measure()
            await asyncio.sleep(0.05)

    def _measure(self) -> None:
        with contextlib.suppress(psutil.Error):
            every = [self._seen, *self._seen.children()]
            size = sum(each.memory_info().rss for each in every)
            self._before = self._before or size
            self.grown = max(self.grown, size - self._before)


@contextlib.asynccontextmanager
async def attacked(isolation: str, attacker: Attacker) -> AsyncIterator[Attacked]:
    """A worker that the attacker has let in."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(HERE / "attacked.py"),
        isolation,
        attacker.url,
        str(port),
        env={name: text for name, text in os.environ.items() if not name.startswith("INNGEST_")},
        cwd=HERE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        await asyncio.wait_for(attacker.let_in.wait(), 30)
        yield Attacked(process, port)
    finally:
        end_group(process.pid)
        await process.wait()
