"""Fixtures for tests of the command: a gateway on a thread, and a user's module for a worker to run."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from connect.gateway import Gateway, ThreadedGateway, in_thread

MODULE = """
import asyncio
import logging
import threading

import inngest

client = inngest.Inngest(app_id="app", logger=logging.getLogger("sdk"))


@client.create_function(fn_id="echo", trigger=inngest.TriggerEvent(event="echo"), retries=0)
async def echo(ctx):
    return ctx.event.data["value"]


@client.create_function(fn_id="slow", trigger=inngest.TriggerEvent(event="slow"), retries=0)
async def slow(ctx):
    async def work():
        await asyncio.sleep(ctx.event.data["seconds"])
        return "slept"

    return await ctx.step.run("work", work)


@client.create_function(fn_id="stuck", trigger=inngest.TriggerEvent(event="stuck"), retries=0)
def stuck(ctx):
    threading.Event().wait()


@client.create_function(fn_id="fragile", trigger=inngest.TriggerEvent(event="fragile"), retries=1)
async def fragile(ctx):
    raise ValueError("not today")


apps = [(client, [echo, slow, stuck, fragile])]
nothing = None
"""


@pytest.fixture
def gateway() -> Iterator[ThreadedGateway]:
    """A gateway on a thread of its own."""
    with in_thread(Gateway(heartbeat_interval="200ms", extend_lease_interval="200ms")) as threaded:
        yield threaded


@pytest.fixture
def run(gateway: ThreadedGateway, tmp_path: Path, start_process: Any) -> Callable[..., Any]:
    """`python -m connect run main:apps` against the gateway; the arguments come after `run`, other variables by name."""
    (tmp_path / "main.py").write_text(MODULE)

    def begin(*arguments: str, **env: str) -> Any:
        env = {"INNGEST_DEV": gateway.url, **env}
        return start_process("-m", "connect", "run", *(arguments or ("main:apps",)), **env)

    return begin
