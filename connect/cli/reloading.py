"""`run --reload`: the same command in a process of its own, ended and started again when a Python file changes."""

import logging
import os
import select
import shlex
import signal
import sys
import threading
from pathlib import Path
from typing import Final

from connect.errors import ConfigurationError

log = logging.getLogger("connect")

_WATCHER: Final = "STATECHART_CONNECT_RELOADED_BY"
"""The variable that tells the worker the id of the process that watches the files."""


def run(folder: Path) -> int:
    """Until Ctrl-C. The worker that is replaced ends gracefully, for at most five seconds.

    Raises: ConfigurationError: watchfiles is not installed.
    """
    try:
        import watchfiles
    except ImportError:
        raise ConfigurationError("--reload needs watchfiles: pip install watchfiles") from None
    # Whatever said so, this line or pyproject.toml: the process that is started again watches nothing.
    command = shlex.join([sys.executable, "-m", "connect", *sys.argv[1:], "--no-reload"])
    os.environ[_WATCHER] = str(os.getpid())
    watchfiles.run_process(
        folder, target=command, target_type="command", watch_filter=watchfiles.PythonFilter(), sigint_timeout=5
    )
    return 0


def end_with_watcher() -> None:
    """In the worker that `run` starts: a SIGTERM to itself once that process has ended, however it ended. Elsewhere: nothing."""
    watcher = os.environ.pop(_WATCHER, None)  # what user code starts is nobody's to reload
    if watcher:
        threading.Thread(target=_outlive, args=[int(watcher)], name="connect-reload", daemon=True).start()


def _outlive(watcher: int) -> None:
    try:
        if os.getppid() == watcher:  # or its id may be another's by now
            _wait_for_end(watcher)
    except ProcessLookupError:
        pass
    except (OSError, AttributeError) as error:
        log.debug("the worker goes on if the process that watches the files is killed: %s", error)
        return
    # One signal, not a parent-death signal of the kernel's: that comes for each thread of the parent, and a second one cancels.
    os.kill(os.getpid(), signal.SIGTERM)


def _wait_for_end(process: int) -> None:
    """Of a process that is no child of this one. Raises: ProcessLookupError: it has ended. OSError: not possible here."""
    if sys.platform == "linux":
        descriptor = os.pidfd_open(process)
        select.select([descriptor], [], [])
        os.close(descriptor)
    else:
        ends = select.kevent(process, select.KQ_FILTER_PROC, select.KQ_EV_ADD, select.KQ_NOTE_EXIT)
        select.kqueue().control([ends], 1)
