"""What the processes of these tests run: each function does to its process what its name says."""

import asyncio
import ctypes
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import inngest
from sdk_kit import make_client, make_function

HOLD_GIL = ctypes.PyDLL(None)
"""C functions that are called through it keep the interpreter lock."""

log = logging.getLogger("pool")


async def pid(ctx: inngest.Context) -> int:
    """Who ran it; after `seconds`."""
    await asyncio.sleep(float(str(ctx.event.data.get("seconds", 0))))
    return os.getpid()


async def echo(ctx: inngest.Context) -> Any:
    return ctx.event.data["value"]


async def wait(ctx: inngest.Context) -> None:
    """Until cancelled; tells that it began and ended in files at `note`."""
    note = Path(str(ctx.event.data["note"]))
    note.with_suffix(".began").touch()
    try:
        await asyncio.Event().wait()
    finally:
        note.with_suffix(".ended").touch()


def wait_sync(ctx: inngest.ContextSync) -> None:
    """For ever, on a thread."""
    Path(str(ctx.event.data["note"])).with_suffix(".began").touch()
    threading.Event().wait()


async def hold_gil(ctx: inngest.Context) -> None:
    """The whole process stands still for `seconds`."""
    Path(str(ctx.event.data["note"])).with_suffix(".began").touch()
    HOLD_GIL.usleep(int(float(str(ctx.event.data["seconds"])) * 1e6))


async def end(ctx: inngest.Context) -> None:
    """The process ends, `how`."""
    await asyncio.sleep(float(str(ctx.event.data.get("seconds", 0))))
    match ctx.event.data["how"]:
        case "exit":
            os._exit(3)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "segfault":
            signal.signal(signal.SIGSEGV, signal.SIG_DFL)  # no traceback of it in the tests' output
            os.kill(os.getpid(), signal.SIGSEGV)
        case "interrupt":
            raise KeyboardInterrupt
        case "hang up":
            os.closerange(3, 1000)


async def sys_exit(ctx: inngest.Context) -> None:
    sys.exit(4)


async def unserialisable(ctx: inngest.Context) -> object:
    return object()


class Unpicklable(Exception):  # noqa: N818
    def __init__(self) -> None:
        super().__init__("not to be pickled")
        self.lock = threading.Lock()


async def unpicklable(ctx: inngest.Context) -> None:
    raise Unpicklable


async def speak(ctx: inngest.Context) -> None:
    """To everyone."""
    print("\x00\x01\x02\x03 said to stdout", flush=True)  # noqa: T201
    print("said to stderr", file=sys.stderr, flush=True)  # noqa: T201
    log.warning("said to the log")


async def close_stdout(ctx: inngest.Context) -> None:
    os.close(1)


async def change_directory(ctx: inngest.Context) -> str:
    os.chdir("/")
    return str(Path.cwd())


async def fork(ctx: inngest.Context) -> int:
    """Both of the fork go on, and return."""
    return os.fork()


async def environment(ctx: inngest.Context) -> Any:
    return {"argv": sys.argv, "PYTHONPATH": os.environ.get("PYTHONPATH"), "stdin": sys.stdin.read()}


async def block(ctx: inngest.Context) -> None:
    """The loop stands still for `seconds`, in Python."""
    until = time.monotonic() + float(str(ctx.event.data["seconds"]))
    Path(str(ctx.event.data["note"])).with_suffix(".began").touch()
    while time.monotonic() < until:
        pass


client = make_client()
apps = [
    (
        client,
        [
            make_function(client, handler.__name__, handler, retries=0)
            for handler in (
                pid,
                echo,
                wait,
                wait_sync,
                hold_gil,
                end,
                sys_exit,
                unserialisable,
                unpicklable,
                speak,
                close_stdout,
                change_directory,
                fork,
                environment,
                block,
            )
        ],
    )
]
