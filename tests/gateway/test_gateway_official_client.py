"""The official client, unmodified, runs its functions against the embedded gateway."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import inngest
from inngest.connect import connect

from connect.gateway import Gateway


def client_for(gw: Gateway) -> inngest.Inngest:
    return inngest.Inngest(app_id="app", api_base_url=gw.url, is_production=False)


@asynccontextmanager
async def working(gw: Gateway, client: inngest.Inngest, functions: list[inngest.Function[Any]]) -> AsyncIterator[None]:
    connection = connect([(client, functions)], instance_id="official", shutdown_signals=[])
    task = asyncio.create_task(connection.start())
    try:
        await gw.wait_for_worker()
        yield
    finally:
        await connection.close(wait=True)
        await task


async def test_a_function_with_a_step_and_a_sleep_completes() -> None:
    async with Gateway() as gw:
        client = client_for(gw)

        @client.create_function(fn_id="fn", trigger=inngest.TriggerEvent(event="x"))
        async def fn(ctx: inngest.Context) -> object:
            a = await ctx.step.run("a", lambda: ctx.event.data["x"])
            await ctx.step.sleep("nap", 1000)
            return a

        async with working(gw, client, [fn]):
            run = await asyncio.wait_for(gw.invoke("app-fn", {"x": 3}), 5)
        assert run.output == 3
