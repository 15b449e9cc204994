"""A worker for the benchmarks, a process of its own: `python -m benchmarks.worker ours|official URL`.

It prints when it called `start()` and when it first said that it is ACTIVE: a line each, seconds of the machine's monotonic clock.
"""

import asyncio
import sys
import time
from typing import Any

import inngest


def module_of(whose: str) -> Any:
    """Either client: its names are the same."""
    if whose == "official":
        import inngest.connect as official

        return official
    import connect as ours

    return ours


async def main(whose: str, url: str) -> None:
    lib = module_of(whose)
    client = inngest.Inngest(app_id="bench", api_base_url=url, is_production=False)

    @client.create_function(fn_id="echo", retries=20, trigger=inngest.TriggerEvent(event="echo"))
    async def echo(ctx: inngest.Context) -> Any:
        return ctx.event.data

    conn = lib.connect([(client, [echo])])
    print(time.monotonic(), flush=True)
    running = asyncio.create_task(conn.start())
    await conn.wait_for_state(lib.ConnectionState.ACTIVE)
    print(time.monotonic(), flush=True)
    await running


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
