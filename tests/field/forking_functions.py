"""A user's module whose functions make processes in every way that Python has. Each checks its child, and returns what it saw.

`fork` is a sync function and runs on a thread, `fork-async` runs on the loop. The event's `way` names one of `WAYS`.
"""

import concurrent.futures
import json
import multiprocessing
import os
import pty
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import inngest

client = inngest.Inngest(app_id="app", is_production=False)
PATIENCE = 10.0
SIGTERM, SIGKILL = signal.SIGTERM, signal.SIGKILL
FORKS = multiprocessing.get_context("fork")
SERVER = multiprocessing.get_context("forkserver")


class Odd(Exception):  # noqa: N818
    """What leaves a `with` block."""


def left_by_an_exception(make: Callable[[], Any]) -> str:
    try:
        with make() as pool:
            assert list(pool.map(abs, [-1])) == [1]
            raise Odd  # noqa: TRY301 - this is what is tried
    except Odd:
        return "left"


def terminated() -> list[int | None]:
    """Terminate a process at once, and one that runs; end others by other signals."""
    codes = []
    for runs, end in [(False, SIGTERM), (True, SIGTERM), (False, SIGKILL), (True, signal.SIGINT)]:
        ready = FORKS.Event()
        process = FORKS.Process(target=_sleep, args=(ready,))
        process.start()
        if runs:
            ready.wait(PATIENCE)
        os.kill(process.pid or 0, end)
        process.join(PATIENCE)
        codes.append(process.exitcode)
    return codes


def ended_at_once() -> list[int]:
    """Children that get a signal before they run."""
    codes = []
    for _ in range(20):
        pid = os.fork()
        if not pid:
            time.sleep(3600)
        os.kill(pid, SIGTERM)
        codes.append(exit_code(pid, 2.0))
    return sorted(set(codes))


def _sleep(ready: Any) -> None:
    ready.set()
    time.sleep(3600)


def seen_by_a_child() -> Any:
    """What a fork has: its handlers, its wakeup descriptor, signals that are blocked, sockets, threads."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        seen = {
            "handlers": [str(signal.getsignal(number)) for number in (SIGTERM, signal.SIGINT)],
            "wakeup": signal.set_wakeup_fd(-1),
            "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
            "sockets": open_sockets(),
            "threads": [thread.name for thread in threading.enumerate() if thread is not threading.current_thread()],
        }
        os.write(writer, json.dumps(seen).encode())
        os._exit(0)
    os.close(writer)
    with open(reader) as told:
        seen = json.loads(told.read())
    assert exit_code(pid) == 0
    return seen


def open_sockets() -> list[str]:
    """The network sockets of this process."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            is_socket = stat.S_ISSOCK(os.fstat(int(name)).st_mode)
        except OSError:  # it was that of the listing
            continue
        if is_socket:
            with socket.socket(fileno=os.dup(int(name))) as sock:
                where = sock.getsockname()
                if sock.family in (socket.AF_INET, socket.AF_INET6):
                    found.append(f"{name} {where}")
    return found


def exit_code(pid: int, patience: float = PATIENCE) -> int:
    end = time.monotonic() + patience
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(pid, SIGKILL)
    os.waitpid(pid, 0)
    return 999


def terminal() -> int:
    """A fork with a terminal of its own, to which Ctrl-C is sent."""
    pid, typed = pty.fork()
    if not pid:
        os.write(1, b"ready")
        time.sleep(3600)
    assert os.read(typed, 5) == b"ready"
    os.write(typed, b"\x03")
    code = exit_code(pid)
    os.close(typed)
    return code


def started_with_a_hook() -> int:
    """A program that is started by a fork, in which a hook of the user's runs."""
    child = subprocess.Popen(["sleep", "3600"], preexec_fn=lambda: None)  # noqa: S607
    child.terminate()
    return child.wait(PATIENCE)


def left_behind() -> int:
    """A child that outlives its function, and would outlive the worker."""
    pid = os.fork()
    if not pid:
        for output in (1, 2):
            os.close(output)
        time.sleep(3600)
    return pid


def in_a_thread() -> int:
    """A fork that is made by a thread of the user's, and ends with it: as a C program does."""
    pids = []
    thread = threading.Thread(target=lambda: pids.append(os.fork() or sys.exit()))
    thread.start()
    thread.join()
    return exit_code(pids[0])


def sums() -> int:
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=FORKS) as pool:
        return sum(pool.map(abs, [-1, -2]))


class Left(BaseException):
    """What no `except Exception` catches."""


ENDS: dict[str, Callable[[], Any]] = {
    "exit": lambda: sys.exit(3),
    "exit with a text": lambda: sys.exit("over"),
    "return": lambda: None,
    "raise": lambda: 1 / 0,
    "raise what is no Exception": lambda: (_ for _ in ()).throw(Left()),
}
WAYS: dict[str, Callable[[], Any]] = {
    "pool": lambda: left_by_an_exception(lambda: FORKS.Pool(2)),
    "pool of a server": lambda: left_by_an_exception(lambda: SERVER.Pool(1)),
    "sums": sums,
    "terminated": terminated,
    "ended at once": ended_at_once,
    "seen": seen_by_a_child,
    "terminal": terminal,
    "in a thread": in_a_thread,
    "left behind": left_behind,
    "hook": started_with_a_hook,
}


def tried(way: str) -> Any:
    if way in WAYS:
        return WAYS[way]()
    if pid := os.fork():
        return exit_code(pid)
    return ENDS[way]()


def _function(fn_id: str) -> Callable[[Any], inngest.Function[Any]]:
    return client.create_function(fn_id=fn_id, trigger=inngest.TriggerEvent(event=fn_id), retries=0)


@_function("fork")
def fork(ctx: inngest.ContextSync) -> Any:
    return tried(str(ctx.event.data["way"]))


@_function("fork-async")
async def fork_async(ctx: inngest.Context) -> Any:
    return tried(str(ctx.event.data["way"]))


@_function("fork-step")
def fork_step(ctx: inngest.ContextSync) -> Any:
    return ctx.step.run("fork", lambda: tried(str(ctx.event.data["way"])))


apps = [(client, [fork, fork_async, fork_step])]
