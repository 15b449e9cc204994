"""A test of your own functions with the test gateway: `INNGEST_DEV=1 pytest test_hello.py` (needs the extra `testing`)."""

import hello
import pytest

from connect import connect
from connect.gateway import Gateway

pytest_plugins = ["connect.testing"]


@pytest.mark.asyncio
async def test_a_guest_is_greeted(connect_gateway: Gateway) -> None:
    async with connect(hello.apps, api_base_url=connect_gateway.url):
        await connect_gateway.wait_for_worker()
        run = await connect_gateway.invoke("hello-greet", {"name": "ada"})
    assert run.output == "Hello, Ada!"
    assert run.steps["look up"].data == "Ada"


@pytest.mark.asyncio
async def test_a_guest_is_greeted_although_the_socket_breaks(connect_gateway: Gateway) -> None:
    async with connect(hello.apps, api_base_url=connect_gateway.url):
        connection = await connect_gateway.wait_for_worker()
        run = connect_gateway.start_run("hello-greet", {"name": "ada"})
        connection.drop()
        await run.done()
    assert run.output == "Hello, Ada!"
    assert not connect_gateway.ledger.lost
