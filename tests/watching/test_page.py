"""A worker's live page shows the worker from its start, and has no buttons."""

import json
from typing import Any

import aiohttp
import pytest

from connect.errors import ConfigurationError
from connect.gateway import Gateway


async def test_the_live_page_is_served_read_only(gw: Gateway, serve: Any, get: Any, port: int) -> None:
    """It is the lab's page without its buttons, and no path takes a POST."""
    await serve(status_page=True)
    code, page = await get("/")
    assert (code, 'name="lab-token" content=""' in page) == (200, True)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        async with session.get("/feed") as feed:
            await feed.content.readline()
            snapshot = json.loads((await feed.content.readline()).removeprefix(b"data: "))
        async with session.post("/do/drop") as answer:
            assert answer.status == 404
    assert snapshot["status"]["state"] == "ACTIVE"
    assert "world" not in snapshot


async def test_a_feed_that_is_asked_for_with_nonsense_starts_at_the_beginning(serve: Any, port: int) -> None:
    """A request cannot make the worker log errors."""
    await serve(status_page=True)
    async with (
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
        session.get("/feed", headers={"Last-Event-ID": "nonsense"}) as feed,
    ):
        assert feed.status == 200
        await feed.content.readline()
        snapshot = json.loads((await feed.content.readline()).removeprefix(b"data: "))
    assert snapshot["moments"][0]["number"] == 1


async def test_a_page_that_knew_another_process_is_told_all_of_this_one(serve: Any, port: int) -> None:
    """The number that the page remembers belongs to the other process."""
    await serve(status_page=True)
    async with (
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
        session.get("/feed", headers={"Last-Event-ID": "another-5000"}) as feed,
    ):
        sent_id = (await feed.content.readline()).decode()
        snapshot = json.loads((await feed.content.readline()).removeprefix(b"data: "))
    assert snapshot["moments"][0]["number"] == 1
    assert sent_id.strip() == f"id: {snapshot['session']}-{snapshot['moments'][-1]['number']}"


async def test_a_live_page_needs_an_address(start: Any) -> None:
    with pytest.raises(ConfigurationError, match="status_page needs an address"):
        await start(status_page=True)
