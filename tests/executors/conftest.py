"""The two rooms that functions run in: `room` is each in turn."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sdk_kit import Room, loop_on_thread


@pytest.fixture(params=["same", "caller"])
async def room(request: pytest.FixtureRequest) -> AsyncIterator[Room]:
    """Same loop, then the caller's loop; its executors are stopped at the end."""
    if request.param == "same":
        made = Room("same", asyncio.get_running_loop())
        yield made
        await made.close()
        return
    with loop_on_thread() as away:
        made = Room("caller", away)
        yield made
        await made.close()


@pytest.fixture
async def caller() -> AsyncIterator[Room]:
    """The caller's loop."""
    with loop_on_thread() as away:
        made = Room("caller", away)
        yield made
        await made.close()


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> Any:
    """No variable of the machine decides a test."""
    for name in ("INNGEST_DEV", "INNGEST_THREAD_POOL_MAX_WORKERS", "INNGEST_CONNECT_MAX_WORKER_CONCURRENCY"):
        monkeypatch.delenv(name, raising=False)
