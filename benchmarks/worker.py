"""A worker for the benchmarks, a process of its own: `python -m benchmarks.worker ours|official URL`."""

import asyncio
import sys
from typing import Any

import inngest


def connect_of(whose: str) -> Any:
    """Either `connect`: the call is the same."""
    if whose == "official":
        from inngest.connect import connect as official

        return official
    from connect import connect as ours

    return ours


async def main(whose: str, url: str) -> None:
    client = inngest.Inngest(app_id="bench", api_base_url=url, is_production=False)

    @client.create_function(fn_id="echo", retries=20, trigger=inngest.TriggerEvent(event="echo"))
    async def echo(ctx: inngest.Context) -> Any:
        return ctx.event.data

    await connect_of(whose)([(client, [echo])]).start()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
