"""The app that every worker of the benchmarks serves: one async function that returns a small dict.

An event that says `hold` makes it sleep that many seconds first. `APPS` is what pool processes import.
"""

import asyncio
import json
import os
from typing import Any, Final

import inngest

APP: Final = "bench"
SLUG: Final = "bench-work"
RESULT: Final = {"ok": True, "greeting": "hello", "items": [1, 2, 3]}
RESULT_BYTES: Final = json.dumps(RESULT).encode()
ORIGIN: Final = "BENCH_ORIGIN"
"""The environment variable with the load gateway's address."""

client = inngest.Inngest(app_id=APP, api_base_url=os.environ.get(ORIGIN), is_production=False)


@client.create_function(fn_id="work", trigger=inngest.TriggerEvent(event="bench/work"))
async def work(ctx: inngest.Context) -> Any:
    hold = ctx.event.data.get("hold")
    if isinstance(hold, int | float) and hold:
        await asyncio.sleep(hold)
    return RESULT


APPS: Final = [(client, [work])]
