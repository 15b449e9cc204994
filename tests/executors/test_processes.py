"""`isolation="process"`: a worker whose functions run in processes of their own, behind one connection."""

import asyncio
from collections import Counter
from typing import Any

from sdk_kit import PATIENCE

from connect.gateway import Gateway


async def runs(gw: Gateway, slug: str, data: Any = None, *, count: int) -> list[Any]:
    """What so many runs at once return."""
    async with asyncio.timeout(PATIENCE):
        ended = await asyncio.gather(*(gw.invoke(slug, data) for _ in range(count)))
    return [run.output for run in ended]


async def test_the_processes_share_the_load_behind_one_connection(gw: Gateway, start: Any) -> None:
    worker = await start(processes=2)
    served = Counter(await runs(gw, "app-pid", {"seconds": 0.01}, count=60))
    assert sum(served.values()) == 60
    assert len(served) == 2
    assert min(served.values()) >= 20, served
    assert len(gw.connections) == 1
    assert {each.pid: each.served for each in worker.status().processes} == served
