"""`run --reload`: the same command in a process of its own, ended and started again when a Python file changes."""

import contextlib
import os
import select
import shlex
import signal
import sys
import threading
from pathlib import Path
from typing import Final

from connect import signals
from connect.errors import ConfigurationError

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
    watcher = int(os.environ.pop(_WATCHER, 0))  # what user code starts is nobody's to reload
    if not watcher:
        return
    signals.at_parents_end(signal.SIGTERM)
    if hasattr(select, "kqueue"):
        threading.Thread(target=_outlive, args=[watcher], name="connect-reload", daemon=True).start()
    elif os.getppid() != watcher:
        os.kill(os.getpid(), signal.SIGTERM)


def _outlive(watcher: int) -> None:
    """Where the kernel sends no signal by itself, as on macOS."""
    if sys.platform != "linux":
        ends = select.kevent(watcher, select.KQ_FILTER_PROC, select.KQ_EV_ADD, select.KQ_NOTE_EXIT)
        with contextlib.suppress(ProcessLookupError):  # it has ended already
            select.kqueue().control([ends], 1)
    os.kill(os.getpid(), signal.SIGTERM)
