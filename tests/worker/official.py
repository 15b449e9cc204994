"""What the drop-in tests use: a server, an app on it, and a function that is watched."""

import asyncio
import uuid
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import inngest
import inngest.connect

from connect.gateway import Gateway

DEV_ENV = "00000000-0000-4000-b000-000000000000"


@dataclass(eq=False)
class Server:
    """A server to connect to, a client of it, and an app whose ids no other test uses."""

    url: str
    long_step: float
    """Seconds that a step has to take for its lease to be extended more than once."""
    gateway: Gateway | None = None
    app_id: str = field(default_factory=lambda: f"app-{uuid.uuid4().hex[:8]}")

    def __post_init__(self) -> None:
        self.client = self.make_client()

    def make_client(self, **options: Any) -> inngest.Inngest:
        """A client of this server, in development mode unless *options* say otherwise."""
        options = {"is_production": False, "event_key": "key", **options}
        return inngest.Inngest(app_id=self.app_id, api_base_url=self.url, event_api_base_url=self.url, **options)

    def function(self, handler: Any, **options: Any) -> inngest.Function[Any]:
        """*handler* as a function that the app's own event triggers."""
        trigger = inngest.TriggerEvent(event=self.app_id)
        return self.client.create_function(fn_id="fn", trigger=trigger, retries=0, **options)(handler)

    async def trigger(self) -> None:
        """Send the app's event."""
        await self.client.send(inngest.Event(name=self.app_id))

    async def instances(self) -> list[str]:
        """The instance ids of the workers that the server knows."""
        if self.gateway:
            return [connection.worker.instance_id for connection in self.gateway.connections]
        url = f"{self.url}/v0/connect/envs/{DEV_ENV}/conns"
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return [each["instance_id"] for each in (await response.json())["data"]]


async def within(awaitable: Any, seconds: float = 5.0) -> Any:
    """Await *awaitable*, with a time limit."""
    async with asyncio.timeout(seconds):
        return await awaitable


class Watched:
    """A function that says when it runs and when it has ended, and that can be made to wait in between."""

    def __init__(self, server: Server, *, waits: bool = False) -> None:
        self.began, self.ended, self.go_on = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.task: asyncio.Task[Any] | None = None
        self.calls = 0
        if not waits:
            self.go_on.set()
        self.function = server.function(self._run)

    async def _run(self, ctx: inngest.Context) -> str:
        self.task = asyncio.current_task()
        self.calls += 1
        self.began.set()
        await self.go_on.wait()
        self.ended.set()
        return "Hello"


async def completed(gw: Gateway) -> None:
    """Wait until the gateway's only run has succeeded."""
    await gw.until(lambda: [each.status for each in gw.runs] == ["completed"])
