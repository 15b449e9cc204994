"""`run --reload`: the same command in a process of its own, ended and started again when a Python file changes."""

import os
import shlex
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Final

from connect.errors import ConfigurationError

_WATCHER: Final = "STATECHART_CONNECT_RELOADED_BY"
"""The variable that tells the worker the id of the process that watches the files."""
_LOOKS: Final = 0.5
"""Seconds between two looks at whether that process is still there."""


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
    # Every Unix tells an orphan in this way; a pipe would not do, for watchfiles passes none on.
    while os.getppid() == watcher:
        time.sleep(_LOOKS)
    os.kill(os.getpid(), signal.SIGTERM)
