"""The worker's own loops are the quickest that is installed; the garbage collector does not walk through what is imported."""

import asyncio
import contextlib
import socket
import ssl
import struct
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from connect.loops.loop import hand_over, new_loop, run_until_done


def test_a_new_loop_is_uvloops_where_that_is_installed() -> None:
    uvloop = pytest.importorskip("uvloop")
    loop = new_loop()
    assert isinstance(loop, uvloop.Loop)
    assert loop.run_until_complete(answer()) == 42
    loop.close()


def test_without_uvloop_it_is_asyncios() -> None:
    """In another process, whose import of uvloop fails."""
    program = """
import sys
sys.modules["uvloop"] = None
import asyncio
from connect.loops.loop import hand_over, new_loop, run_until_done
loop = new_loop()
assert isinstance(loop, asyncio.SelectorEventLoop), loop
loop.close()
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)  # noqa: S603


def test_what_is_imported_is_frozen_and_the_collector_goes_on_as_it_did() -> None:
    """In another process: it changes the whole of it."""
    program = """
import gc
from connect.loops.loop import freeze_imported_objects
kept = [[] for _ in range(1000)]
thresholds = gc.get_threshold()
assert gc.get_freeze_count() == 0
freeze_imported_objects()
assert gc.get_freeze_count() > 1000
assert gc.isenabled()
assert gc.get_threshold() == thresholds
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)  # noqa: S603


async def answer() -> int:
    return 42


def interrupt() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("make", [new_loop, asyncio.new_event_loop])
def test_a_loop_that_something_stops_is_run_on_and_told_of(make: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def main() -> str:
        loop.call_soon(loop.stop)
        await asyncio.sleep(0.01)
        loop.call_soon(interrupt)
        await asyncio.sleep(0.01)
        return "done"

    loop, told = make(), list[BaseException]()
    assert run_until_done(loop, main(), told.append) == "done"
    assert [type(error) for error in told] == [RuntimeError, KeyboardInterrupt]
    loop.close()


def test_what_the_main_task_raises_is_no_stop() -> None:
    async def main() -> None:
        raise SystemExit(3)

    loop, told = asyncio.new_event_loop(), list[BaseException]()
    with pytest.raises(SystemExit, match="3"):
        run_until_done(loop, main(), told.append)
    assert told == []
    loop.close()


def reset() -> socket.socket:
    """A connection whose peer has reset it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        sock = socket.create_connection(server.getsockname())
        peer, _ = server.accept()
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
    sock.setblocking(False)
    return sock


@pytest.mark.parametrize("make", [new_loop, asyncio.new_event_loop])
@pytest.mark.parametrize("tls", [{}, {"ssl": ssl.create_default_context(), "server_hostname": "a.example"}])
def test_a_connection_that_ends_as_it_is_handed_over_is_closed_once(
    make: Callable[[], asyncio.AbstractEventLoop], tls: dict[str, Any]
) -> None:
    """A second time it would close another socket that has its number by then: the link to a gateway, for one."""
    loop, sock = make(), reset()

    async def main() -> None:
        with contextlib.suppress(OSError):
            transport, _ = await hand_over(loop, asyncio.Protocol, sock, **tls)
            transport.abort()
        await asyncio.sleep(0.01)

    loop.run_until_complete(main())
    assert sock.fileno() == -1
    loop.close()
