"""A worker for the benchmarks, a process of its own: `python -m benchmarks.worker NAME INSTANCE [uvloop] [report]`.

BENCH_ORIGIN has the server's address. The worker starts as the program of a user does, with `asyncio.run(connect(APPS).start())`.
Each imports only what it needs, so that its memory and start time are its own.

With `uvloop`, uvloop's policy is set first: the loops that the official client makes inside follow it. With `report`, two lines are
printed: when `start()` was called, and when the worker first reported ACTIVE, in seconds of the machine's monotonic clock.
"""

import asyncio
import sys
import time
from collections.abc import Callable
from typing import Any, Final

from benchmarks.app import APPS


def official(instance: str) -> Any:
    import inngest.connect as lib

    return lib.connect(APPS, instance_id=instance)


def ours(apps: Any = APPS, **options: Any) -> Callable[[str], Any]:
    def make(instance: str) -> Any:
        import connect as lib

        return lib.connect(apps, instance_id=instance, **options)

    return make


def ours_noop(instance: str) -> Any:
    from benchmarks.noop import NoopExecutor

    return ours(isolation="none", executor=NoopExecutor())(instance)


def floor(*, executing: bool) -> Callable[[str], Any]:
    def make(instance: str) -> Any:
        from benchmarks.floor import Floor

        return Floor(instance, executing=executing)

    return make


WORKERS: Final[dict[str, Callable[[str], Any]]] = {
    "official": official,
    "thread": ours(),
    "none": ours(isolation="none"),
    "process": ours("benchmarks.app:APPS", isolation="process", processes=2),
    "floor": floor(executing=True),
    "none-noop": ours_noop,
    "floor-noop": floor(executing=False),
}


async def report(connection: Any) -> None:
    """Run *connection*, and print when `start()` was called and when it was ACTIVE."""
    print(time.monotonic(), flush=True)
    running = asyncio.create_task(connection.start())
    await connection.wait_for_state(type(connection.get_state()).ACTIVE)
    print(time.monotonic(), flush=True)
    await running


def main(name: str, instance: str, *asked: str) -> None:
    if "uvloop" in asked:
        import uvloop

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    worker = WORKERS[name](instance)
    asyncio.run(report(worker) if "report" in asked else worker.start())


if __name__ == "__main__":
    main(*sys.argv[1:])
