"""Fixtures for tests of the requests to the API."""

from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from connect.secrets import Keyring
from connect.transport.api import Api
from connect.transport.websocket import open_session
from tests.transport.api_kit import FALLBACK, PRIMARY, Server, ring


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_route("*", "/{path:.*}", made.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with open_session() as opened:
        yield opened


@pytest.fixture
def keyring() -> Keyring:
    """Both keys."""
    return ring(PRIMARY, FALLBACK)


@pytest.fixture
def api(server: Server, session: aiohttp.ClientSession, keyring: Keyring) -> Api:
    return Api(session, server.url, "branch", keyring, timeout=5.0)
