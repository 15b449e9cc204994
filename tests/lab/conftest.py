"""Fixtures for tests of the lab: the command as a user starts it, on a free port."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest

APP = """
import asyncio
import inngest

client = inngest.Inngest(app_id="app")


@client.create_function(fn_id="greet", trigger=inngest.TriggerEvent(event="greet"))
async def greet(ctx):
    await ctx.step.run("think", think)
    return f"Hello, {ctx.event.data['name']}"


@client.create_function(fn_id="pass-on", trigger=inngest.TriggerEvent(event="pass-on"))
async def pass_on(ctx):
    await ctx.step.send_event("to greet", inngest.Event(name="greet", data={"name": "Bob"}))


@client.create_function(fn_id="wait", trigger=inngest.TriggerEvent(event="wait"))
async def wait(ctx):
    await asyncio.sleep(600)


async def think():
    return "thought"


apps = [(client, [greet, pass_on, wait])]
"""


ELSEWHERE = {
    **dict.fromkeys(
        ("INNGEST_DEV", "INNGEST_API_BASE_URL", "INNGEST_BASE_URL", "INNGEST_EVENT_API_BASE_URL"), "http://127.0.0.1:1"
    ),
    "INNGEST_CONNECT_GATEWAY_URL": "ws://127.0.0.1:1/",
    "INNGEST_SIGNING_KEY": "signkey-prod-00ff",
}


@pytest.fixture
def lab(start_process: Any, tmp_path: Any) -> str:
    """The address of a lab that runs `greet`, `pass-on` and `wait`. Its environment names other servers, which it must not use."""
    (tmp_path / "mine.py").write_text(APP)
    words = ("--heartbeat", "100ms", "--extend-lease", "100ms", "--time-scale", "0.01")
    command = start_process("-m", "connect", "lab", "mine:apps", "--port", "0", *words, cwd=tmp_path, **ELSEWHERE)
    found = re.search(r"http://\S+/", command.expect("the lab is at"))
    assert found
    return found.group()


class Client:
    """Does what the page does, without a browser."""

    def __init__(self, url: str, session: aiohttp.ClientSession, token: str) -> None:
        self.url = url
        self.session = session
        self.token = token

    async def post(self, path: str, body: Any = None, **headers: str) -> int:
        """Press a button; the status of the answer."""
        sent = {"X-Lab-Token": self.token, "Origin": self.url.rstrip("/"), **headers}
        async with self.session.post(path, json=body, headers=sent) as answer:
            return answer.status

    async def until(self, true: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Wait for a snapshot of the feed for which *condition* holds; that snapshot."""
        async with asyncio.timeout(20), self.session.get("/feed") as feed:
            async for line in feed.content:
                if line.startswith(b"data: "):
                    snapshot: dict[str, Any] = json.loads(line.removeprefix(b"data: "))
                    if snapshot["status"] and true(snapshot):
                        return snapshot
        raise AssertionError("the feed ended")

    async def reaches(self, state: str) -> dict[str, Any]:
        """Wait until the worker is in *state*."""
        return await self.until(lambda snapshot: snapshot["status"]["state"] == state)


@pytest.fixture
async def client(lab: str) -> AsyncIterator[Client]:
    """A client that has opened the page, once the worker takes work."""
    async with aiohttp.ClientSession(lab) as session:
        async with session.get("/") as page:
            found = re.search(r'name="lab-token" content="([^"]+)"', await page.text())
        assert found
        made = Client(lab, session, found.group(1))
        await made.reaches("ACTIVE")
        yield made
