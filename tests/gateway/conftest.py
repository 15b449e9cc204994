from collections.abc import AsyncIterator, Callable

import aiohttp
import pytest
from raw_worker import RawWorker

from connect.gateway import Gateway


@pytest.fixture
async def gw() -> AsyncIterator[Gateway]:
    async with Gateway() as gateway:
        yield gateway


@pytest.fixture
async def another(gw: Gateway) -> AsyncIterator[Callable[..., RawWorker]]:
    """Make raw workers; they leave at the end of the test."""
    workers: list[RawWorker] = []

    def make(instance_id: str = "raw") -> RawWorker:
        workers.append(RawWorker(gw, session, instance_id))
        return workers[-1]

    async with aiohttp.ClientSession() as session:
        yield make
        for worker in workers:
            await worker.leave()


@pytest.fixture
def worker(another: Callable[..., RawWorker]) -> RawWorker:
    return another()
