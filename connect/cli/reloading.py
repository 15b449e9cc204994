"""`run --reload`: the same command in a process of its own, ended and started again when a Python file changes."""

import shlex
import sys
from pathlib import Path

from connect.errors import ConfigurationError


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
    watchfiles.run_process(
        folder, target=command, target_type="command", watch_filter=watchfiles.PythonFilter(), sigint_timeout=5
    )
    return 0
