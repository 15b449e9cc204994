"""A worker for the benchmarks, a process of its own: `python -m benchmarks.worker SUBJECT INSTANCE`, with BENCH_ORIGIN set.

The official client and ours print two lines: when they called `start()`, and when they first reported ACTIVE, in seconds of the
machine's monotonic clock. Each subject imports only what it needs, so that its memory and start time are its own.
"""

import asyncio
import importlib.util
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final

from benchmarks.app import APPS

Subject = Callable[[str], Coroutine[Any, Any, None]]


async def official(instance: str) -> None:
    import inngest.connect as lib

    await report(lib, lib.connect(APPS, instance_id=instance))


async def official_uvloop(instance: str) -> None:
    """Set uvloop's policy: the client makes a second loop inside, and that one follows the policy."""
    import uvloop

    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    await official(instance)


def ours(**options: Any) -> Subject:
    async def run(instance: str) -> None:
        import connect as lib
        from connect.loops.loop import freeze_imported_objects

        freeze_imported_objects()
        await report(lib, lib.connect(options.pop("apps", APPS), instance_id=instance, **options))

    return run


async def drop_in(instance: str) -> None:
    """Ours for a user who changes only the import: Python's own loop on both threads, even if uvloop is installed."""
    sys.modules["uvloop"] = None  # type: ignore[assignment] # makes `import uvloop` fail
    import connect as lib

    await report(lib, lib.connect(APPS, instance_id=instance))


async def ours_noop(instance: str) -> None:
    from benchmarks.noop import NoopExecutor

    await ours(isolation="none", executor=NoopExecutor())(instance)


def floor(*, executing: bool) -> Subject:
    async def run(instance: str) -> None:
        from benchmarks.floor import Floor
        from connect.loops.loop import freeze_imported_objects

        freeze_imported_objects()
        await Floor(instance, executing=executing).run()

    return run


SUBJECTS: Final[dict[str, Subject]] = {
    "official": official,
    "official-uvloop": official_uvloop,
    "drop-in": drop_in,
    "none": ours(isolation="none"),
    "thread": ours(),
    "process": ours(apps="benchmarks.app:APPS", isolation="process", processes=2),
    "floor": floor(executing=True),
    "none-noop": ours_noop,
    "floor-noop": floor(executing=False),
}


async def report(lib: Any, connection: Any) -> None:
    """Run *connection*, and print when `start()` was called and when it was ACTIVE."""
    print(time.monotonic(), flush=True)
    running = asyncio.create_task(connection.start())
    await connection.wait_for_state(lib.ConnectionState.ACTIVE)
    print(time.monotonic(), flush=True)
    await running


def loop_of(subject: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The loop that users of the subject get: uvloop's with our command, Python's own with the official client."""
    if subject in ("official", "drop-in") or not importlib.util.find_spec("uvloop"):
        return None
    import uvloop

    return uvloop.new_event_loop


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=loop_of(sys.argv[1])) as runner:
        runner.run(SUBJECTS[sys.argv[1]](sys.argv[2]))
