"""`run --reload`: runs the same command in a child process, and restarts it when a Python file changes."""

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
"""The environment variable in which the worker finds the id of the process that watches the files."""


def run(folder: Path) -> int:
    """Run the worker, restarted at each change below *folder*, until Ctrl-C. Returns the exit code.

    A worker that is replaced has five seconds to end gracefully. Raises: ConfigurationError: watchfiles is not installed.
    """
    try:
        import watchfiles
    except ImportError:
        raise ConfigurationError("--reload needs watchfiles: pip install watchfiles") from None
    # --no-reload goes last: --reload may come from the command line or from pyproject.toml, and the child must not watch files too.
    command = shlex.join([sys.executable, "-m", "connect", *sys.argv[1:], "--no-reload"])
    os.environ[_WATCHER] = str(os.getpid())
    watchfiles.run_process(
        folder, target=command, target_type="command", watch_filter=watchfiles.PythonFilter(), sigint_timeout=5
    )
    return 0


def end_with_watcher() -> None:
    """In a worker that `run` starts: send SIGTERM to itself once the watching process has ended, however it ended.

    In any other process: do nothing.
    """
    watcher = os.environ.pop(_WATCHER, None)  # not for the processes that user code starts: they are not reloaded
    if watcher:
        threading.Thread(target=_end_after, args=[int(watcher)], name="connect-reload", daemon=True).start()


def _end_after(watcher: int) -> None:
    try:
        if os.getppid() == watcher:  # else it has ended, and another process may have its id by now
            _wait_for_end(watcher)
    except ProcessLookupError:
        pass
    except (OSError, AttributeError) as error:
        log.debug("this worker keeps running if the process that watches the files is killed: %s", error)
        return
    # Not the kernel's parent-death signal: that comes once for each thread of the parent, and a second SIGTERM cancels work.
    os.kill(os.getpid(), signal.SIGTERM)


def _wait_for_end(process: int) -> None:
    """Wait until *process*, which is not a child, ends. Raises: ProcessLookupError: it has ended. OSError: not possible here."""
    if sys.platform == "linux":
        descriptor = os.pidfd_open(process)
        select.select([descriptor], [], [])
        os.close(descriptor)
    else:
        ends = select.kevent(process, select.KQ_FILTER_PROC, select.KQ_EV_ADD, select.KQ_NOTE_EXIT)
        select.kqueue().control([ends], 1)
