"""Testing one's own functions against the embedded gateway: `INNGEST_DEV=1 pytest test_hello.py` (needs pytest-asyncio)."""

import hello
import pytest

from connect import connect
from connect.gateway import Gateway


@pytest.mark.asyncio
async def test_a_guest_is_greeted() -> None:
    async with Gateway() as gateway, connect(hello.apps, api_base_url=gateway.url):
        await gateway.wait_for_worker()
        run = await gateway.invoke("hello-greet", {"name": "ada"})
    assert run.output == "Hello, Ada!"
    assert run.steps["look up"].data == "Ada"


@pytest.mark.asyncio
async def test_a_guest_is_greeted_although_the_socket_breaks() -> None:
    async with Gateway() as gateway, connect(hello.apps, api_base_url=gateway.url):
        connection = await gateway.wait_for_worker()
        run = gateway.start_run("hello-greet", {"name": "ada"})
        connection.drop()
        await run.done()
    assert run.output == "Hello, Ada!"
    assert not gateway.ledger.lost
