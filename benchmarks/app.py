"""The app that every worker of the benchmarks serves: one async function that returns a small dict.

An event that says `hold` makes it sleep that many seconds first; one that says `block` keeps its loop from everything else for so
long, in one of the ways of `BLOCKS`. `APPS` is what pool processes import.
"""

import asyncio
import ctypes
import json
import os
import time
from collections.abc import Callable
from typing import Any, Final

import inngest

APP: Final = "bench"
SLUG: Final = "bench-work"
RESULT: Final = {"ok": True, "greeting": "hello", "items": [1, 2, 3]}
RESULT_BYTES: Final = json.dumps(RESULT).encode()
ORIGIN: Final = "BENCH_ORIGIN"
"""The environment variable with the load gateway's address."""


def spin(seconds: float) -> None:
    """Python without a pause: the interpreter takes turns with other threads."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def hold_the_gil(seconds: float) -> None:
    """C code that keeps the interpreter to itself: no other thread of the process runs any Python."""
    ctypes.PyDLL(None).usleep(round(seconds * 1e6))


BLOCKS: Final[dict[str, Callable[[float], None]]] = {"sleep": time.sleep, "spin": spin, "gil": hold_the_gil}

client = inngest.Inngest(app_id=APP, api_base_url=os.environ.get(ORIGIN), is_production=False)


@client.create_function(fn_id="work", trigger=inngest.TriggerEvent(event="bench/work"))
async def work(ctx: inngest.Context) -> Any:
    data = ctx.event.data
    hold, block = data.get("hold"), data.get("block")
    if isinstance(block, str) and isinstance(hold, int | float):
        BLOCKS[block](hold)
    elif isinstance(hold, int | float) and hold:
        await asyncio.sleep(hold)
    return RESULT


APPS: Final = [(client, [work])]
