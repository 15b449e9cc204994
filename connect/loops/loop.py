"""The event loops that the worker makes: uvloop's or asyncio's."""

import asyncio
import contextlib
import gc
import socket
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from connect.loops import forks

T = TypeVar("T")
P = TypeVar("P", bound=asyncio.BaseProtocol)


def new_loop() -> asyncio.AbstractEventLoop:
    """A new event loop: uvloop's if that is installed, else asyncio's. The caller runs and closes it."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def call_soon(loop: asyncio.AbstractEventLoop, call: Callable[[], object]) -> None:
    """Call *call* on *loop* soon, unless *loop* is closed by then. From any thread, and from a signal handler."""
    with contextlib.suppress(RuntimeError):  # it is closed
        loop.call_soon_threadsafe(call)


async def hand_over(
    loop: asyncio.AbstractEventLoop, make: Callable[[], P], sock: socket.socket, **tls: Any
) -> tuple[asyncio.Transport, P]:
    """Give the connected *sock* to the protocol that *make* makes: `loop.create_connection`, with *tls* handed on.

    Raises: what that raises; *sock* is closed then.

    uvloop closes the descriptor of a connection that ends at once, or is cancelled, and leaves it in *sock*. At its own end *sock*
    would close it again, and with it another socket that has got the number by then (uvloop issue 738).
    """
    is_closing = True
    try:
        transport, protocol = await loop.create_connection(make, sock=sock, **tls)
        is_closing = transport.is_closing()
    finally:
        if is_closing and not isinstance(loop, asyncio.BaseEventLoop):
            sock.detach()
    return transport, protocol


def run_until_done(
    loop: asyncio.AbstractEventLoop, main: Coroutine[Any, Any, T], stopped: Callable[[BaseException], None]
) -> T:
    """Run *main* on *loop* to its end, and return what it returns or raise what it raises.

    If something else stops the loop meanwhile, it is run on, and *stopped* is told why: `loop.stop()`, or a KeyboardInterrupt or
    SystemExit that another task or a callback raised. A fork in which that happens ends.
    """
    task = loop.create_task(main)
    while not task.done():
        try:
            with forks.Boundary():
                loop.run_until_complete(task)
        except BaseException as error:
            if not task.done():
                stopped(error)
    return task.result()


def dispose(loop: asyncio.AbstractEventLoop) -> None:
    """Close *loop* without waiting for what cannot be cancelled: a name look-up can hang in a thread for half a minute."""
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.wait(tasks, timeout=1.0))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


def freeze_imported_objects() -> None:
    """Keep the garbage collector from walking through what is imported, which stays for good.

    It changes the whole process: call it once everything is imported, in a process that belongs to the worker.
    """
    # The collector's thresholds stay: higher ones made nothing faster, and memory grew.
    gc.collect()
    gc.freeze()
