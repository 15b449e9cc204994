"""Pytest fixtures for programs that use this package.

They need pytest and pytest-asyncio: the extra `testing`. In `conftest.py`, or in the test's own file:

    pytest_plugins = ["connect.testing"]

Then a test takes `connect_gateway`, a gateway on its own event loop, or, if it is not asynchronous, `connect_gateway_thread`:

    async def test_it_adds(connect_gateway: Gateway) -> None:
        async with connect([(client, [add])], api_base_url=connect_gateway.url):
            await connect_gateway.wait_for_worker()
            run = await connect_gateway.invoke("app-add", {"a": 1, "b": 2})
        assert run.output == 3

Override `connect_gateway_settings` to change the gateway's settings; intervals are short by default.
"""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from connect.gateway import Gateway, ThreadedGateway, in_thread


@pytest.fixture
def connect_gateway_settings() -> dict[str, object]:
    """The arguments of `Gateway`. Override this fixture to change them."""
    return {"heartbeat_interval": "200ms", "extend_lease_interval": "200ms"}


@pytest_asyncio.fixture
async def connect_gateway(connect_gateway_settings: dict[str, object]) -> AsyncIterator[Gateway]:
    """A running gateway, closed after the test."""
    async with Gateway(**connect_gateway_settings) as gateway:  # type: ignore[arg-type]
        yield gateway


@pytest.fixture
def connect_gateway_thread(connect_gateway_settings: dict[str, object]) -> Iterator[ThreadedGateway]:
    """A running gateway on a thread of its own, closed after the test."""
    with in_thread(Gateway(**connect_gateway_settings)) as gateway:  # type: ignore[arg-type]
        yield gateway
