"""The functions that processes run in these tests. Each does what its name says. `data["door"]`: see `visits`."""

import asyncio
import ctypes
import logging
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

import inngest
from sdk_kit import make_client, make_function

HOLDING = ctypes.PyDLL(None)
"""C functions that are called through it keep the interpreter lock."""

log = logging.getLogger("pool")


def call(ctx: inngest.Context | inngest.ContextSync) -> socket.socket:
    """Call at the test's door."""
    door = socket.create_connection(("127.0.0.1", int(str(ctx.event.data["door"]))))
    door.sendall(f"{os.getpid()}\n".encode())
    return door


async def pid(ctx: inngest.Context) -> int:
    await asyncio.sleep(float(str(ctx.event.data.get("seconds", 0))))
    return os.getpid()


async def echo(ctx: inngest.Context) -> Any:
    return ctx.event.data["value"]


async def wait(ctx: inngest.Context) -> int:
    """Wait until the test lets it go."""
    with call(ctx) as door:
        door.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_recv(door, 10)
        except asyncio.CancelledError:
            door.send(b"cancelled")
            raise
    return os.getpid()


async def wait_unwatched(ctx: inngest.Context) -> int:
    """As `wait`, but the kernel does not end this process when its parent has gone."""
    ctypes.CDLL(None).prctl(1, 0)
    return await wait(ctx)


def wait_for_ever(ctx: inngest.ContextSync) -> None:
    """Block a thread for ever."""
    with call(ctx):
        threading.Event().wait()


async def hold_gil(ctx: inngest.Context) -> int:
    """Stop the whole process for `seconds`, by holding the interpreter lock."""
    with call(ctx):
        HOLDING.usleep(int(float(str(ctx.event.data["seconds"])) * 1e6))
    return os.getpid()


async def block(ctx: inngest.Context) -> int:
    """Block the loop for `seconds`, in C, without the interpreter lock."""
    with call(ctx):
        time.sleep(float(str(ctx.event.data["seconds"])))  # noqa: ASYNC251
    return os.getpid()


async def spin(ctx: inngest.Context) -> int:
    """Block the loop for `seconds`, or for ever, in Python."""
    with call(ctx) as door:
        try:
            end = time.monotonic() + float(str(ctx.event.data.get("seconds", "inf")))
            while time.monotonic() < end:
                pass
        finally:
            door.sendall(b"unwound")
    return os.getpid()


async def leave() -> None:
    sys.exit(4)


async def leave_function(ctx: inngest.Context) -> None:
    await leave()


async def end(ctx: inngest.Context) -> None:
    """End the process; `how` says in which way."""
    match ctx.event.data["how"]:
        case "exit":
            os._exit(3)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "segfault":
            signal.signal(signal.SIGSEGV, signal.SIG_DFL)  # else pytest's own handler shows where
            os.kill(os.getpid(), signal.SIGSEGV)
        case "sys.exit in a task of its own":
            await asyncio.create_task(leave())
        case "interrupt":
            asyncio.get_running_loop().call_soon(signal.default_int_handler, signal.SIGINT, None)
            await asyncio.Event().wait()


async def fragile(ctx: inngest.Context) -> int:
    """End the process at the first attempt, if the event asks for it."""
    await asyncio.sleep(0.01)
    if ctx.event.data.get("crash") and ctx.attempt == 0:
        os._exit(3)
    return os.getpid()


async def unserialisable(ctx: inngest.Context) -> object:
    return object()


class Unpicklable(Exception):  # noqa: N818
    def __init__(self) -> None:
        super().__init__("not to be pickled")
        self.lock = threading.Lock()


async def unpicklable(ctx: inngest.Context) -> None:
    raise Unpicklable


class Odd(BaseException):
    """An exception that `except Exception` does not catch."""


async def odd(ctx: inngest.Context) -> None:
    raise Odd("unheard of")


async def speak(ctx: inngest.Context) -> None:
    print("\x00\x00\x00\x04 said to stdout", flush=True)  # noqa: T201
    print("said to stderr", file=sys.stderr, flush=True)  # noqa: T201
    log.warning("said to the log")
    log.debug("whispered to the log")


async def close_stdout(ctx: inngest.Context) -> None:
    os.close(1)


async def change_directory(ctx: inngest.Context) -> str:
    os.chdir("/")
    return str(Path.cwd())


async def fork(ctx: inngest.Context) -> int:
    """Fork a process, which calls at the door and keeps every open file."""
    forked = os.fork()
    if not forked:
        with call(ctx) as door:
            door.recv(10)
        os._exit(0)
    return forked


async def surroundings(ctx: inngest.Context) -> Any:
    return {
        "arguments": sys.orig_argv,
        "environment": dict(os.environ),
        "input": sys.stdin.read(),
        "loop": type(asyncio.get_running_loop()).__module__,
    }


FUNCTIONS = (
    pid,
    echo,
    wait,
    wait_unwatched,
    wait_for_ever,
    hold_gil,
    block,
    spin,
    leave_function,
    end,
    fragile,
    unserialisable,
    unpicklable,
    odd,
    speak,
    close_stdout,
    change_directory,
    fork,
    surroundings,
)
client = make_client(is_production="POOL_IN_CLOUD" in os.environ)
apps = [
    (
        client,
        [make_function(client, each.__name__, each, retries=20 if each is fragile else 0) for each in FUNCTIONS],
    )
]
