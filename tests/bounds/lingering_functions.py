"""A user's module for the tests of endings: functions that leave something running, or run for ever.

It shortens the wait for what blocks the connection.
"""

import asyncio
import atexit
import concurrent.futures
import multiprocessing
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import inngest

from connect import worker

client = inngest.Inngest(app_id="app", is_production=False)

CLOSING_SECONDS = worker.CLOSING_SECONDS = 4.0  # type: ignore[misc] # it is 10
FOREVER = 3600.0


def _sleep() -> None:
    time.sleep(FOREVER)


def _print() -> None:
    while True:
        print("x" * 1000, flush=True)  # noqa: T201
        time.sleep(0.001)


async def _refuse_to_end() -> None:
    while True:
        try:
            await asyncio.sleep(FOREVER)
        except asyncio.CancelledError:
            continue


_tasks: list[asyncio.Task[None]] = []


def _function(fn_id: str) -> Callable[[Any], inngest.Function[Any]]:
    return client.create_function(fn_id=fn_id, trigger=inngest.TriggerEvent(event=fn_id), retries=0)


@_function("leave-all")
async def leave_all(ctx: inngest.Context) -> str:
    """Leave behind whatever can go on when its function has ended."""
    threading.Thread(target=_sleep, name="mine").start()
    concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="mine-pool").submit(_sleep)
    concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="idle").submit(int).result()
    threading.Thread(target=_print, name="daemon", daemon=True).start()
    multiprocessing.get_context("fork").Process(target=_sleep, name="mine").start()
    atexit.register(_sleep)
    _tasks.append(asyncio.create_task(asyncio.to_thread(_sleep)))
    _tasks.append(asyncio.create_task(_refuse_to_end()))
    return "left"


@_function("stuck-sync")
def stuck_sync(ctx: inngest.ContextSync) -> None:
    _sleep()


@_function("stuck-print")
def stuck_print(ctx: inngest.ContextSync) -> None:
    _print()


@_function("stuck-async")
async def stuck_async(ctx: inngest.Context) -> None:
    _sleep()


@_function("wait")
async def wait(ctx: inngest.Context) -> str:
    """A bystander."""
    await asyncio.sleep(float(str(ctx.event.data.get("seconds", 1))))
    return "waited"


@_function("stop-loop")
async def stop_loop(ctx: inngest.Context) -> str:
    """Stop the loop that runs this, in the way that the event names, and then end as any other."""
    loop = asyncio.get_running_loop()
    match ctx.event.data["how"]:
        case "stop()":
            loop.stop()
        case "SystemExit in a task":
            _tasks.append(loop.create_task(_exit()))
    await asyncio.sleep(0.2)
    return "went on"


async def _exit() -> None:
    sys.exit(3)


apps = [(client, [leave_all, stuck_sync, stuck_print, stuck_async, wait, stop_loop])]
