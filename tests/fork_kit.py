"""Forks of a test's own process. Each is waited for, and killed if it does not end."""

import os
import signal
import time
from collections.abc import Callable
from typing import Final

PATIENCE: Final = 10.0
RAISED: Final = 43


def end_of(child: Callable[[], object]) -> int:
    """Fork, call *child* there, and return its exit code: what it returns as a number, `RAISED`, or that of what it calls."""
    pid = os.fork()
    if not pid:
        code = RAISED
        try:
            code = int(bool(child()))
        finally:
            os._exit(code)
    return exit_code(pid)


def exit_code(pid: int) -> int:
    """Wait until process *pid*, a child, has ended; returns its exit code, negative if a signal ended it."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    return killed(pid)


def killed(pid: int) -> int:
    """Kill process *pid*, a child. Returns its exit code."""
    os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
