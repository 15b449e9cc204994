"""What waits for a gateway that does not read takes a bounded amount of memory, and the worker ends when it is told to."""

import asyncio

from connect.wire import ulid
from connect.wire.codec import Kind
from tests.bounds.hostile import MIB, Link, frame, hostile, request, worker

REQUESTS = 30
PADDING = MIB // 2
"""The event stands twice in a request, which so has a mebibyte."""
UNFINISHED = 15 * MIB


async def test_requests_in_flight_have_a_bound_and_hinder_no_shutdown() -> None:
    """In each isolation, at the same time."""
    seen = await asyncio.gather(*map(_offered, ("none", "thread", "process")))
    assert max(grown for grown, _ in seen) < 60, "all 30 take 90 MiB and more"
    assert max(took for _, took in seen) < 8


async def _offered(isolation: str) -> tuple[float, float]:
    """A gateway reads nothing, and sends heartbeats, so that it does not seem dead. Returns MiB by which a worker grew, and the
    seconds that its end took.
    """

    async def offer(link: Link) -> None:
        await measured.wait()
        for _ in range(REQUESTS):
            await link.write(request(ulid.new(), "app-wait", PADDING) + frame(Kind.GATEWAY_HEARTBEAT))
        offered.set()
        while True:
            await asyncio.sleep(0.2)
            await link.write(frame(Kind.GATEWAY_HEARTBEAT))

    async with hostile() as peer:
        measured, offered = asyncio.Event(), asyncio.Event()
        peer.reads, peer.script = False, offer
        options = {"isolation": isolation, "processes": 1} if isolation == "process" else {"isolation": isolation}
        bounds = {"unfinished": UNFINISHED, "shutdown_timeout": 0.5, "flush_timeout": 0.5}
        async with worker(peer, **options, **bounds) as running:
            async with asyncio.timeout(30):
                await peer.ready.wait()
                before = running.rss
                measured.set()
                await offered.wait()
                await running.says("un-acked")
            await asyncio.sleep(0.5)
            grown = (running.rss - before) / MIB
            return grown, await running.stop()
