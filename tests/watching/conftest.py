"""Fixtures for a worker with an open HTTP port, and for requests to it. The others are those of tests/worker."""

import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
from rig_fixtures import apps, gw, held, no_bug_is_reported, no_thread_is_left, quiet, start

__all__ = ["apps", "gw", "held", "no_bug_is_reported", "no_thread_is_left", "quiet", "start"]


@pytest.fixture
def port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


@pytest.fixture
async def get(port: int) -> AsyncIterator[Callable[..., Any]]:
    """`get(path)`: status code and body, JSON decoded."""
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:

        async def ask(path: str) -> tuple[int, Any]:
            async with session.get(path, timeout=aiohttp.ClientTimeout(5)) as answer:
                is_json = answer.content_type == "application/json"
                return answer.status, await (answer.json() if is_json else answer.text())

        yield ask


@pytest.fixture
def serve(start: Any, port: int) -> Callable[..., Any]:
    """Start a worker with its port open."""
    return lambda *given, **options: start(*given, http=f"127.0.0.1:{port}", **options)
