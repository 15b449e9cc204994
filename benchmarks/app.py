"""The app that every worker of the benchmarks serves: one async function that returns a small dict.

If the event has `hold`, the function sleeps that many seconds first; if it also has `block`, it blocks its event loop for as long,
in one of the ways of `BLOCKS`. The processes of `isolation="process"` import `APPS`.
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
"""The environment variable that has the load gateway's address."""


def spin(seconds: float) -> None:
    """Run Python code without a pause; the interpreter still switches to other threads."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def hold_the_gil(seconds: float) -> None:
    """Run C code that holds the GIL: no other thread of the process runs any Python."""
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
