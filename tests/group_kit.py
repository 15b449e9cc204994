"""Ends processes that tests start. Each leads a group of its own (`start_new_session=True`)."""

import contextlib
import os
import signal


def end_group(leader: int) -> None:
    """Kill process *leader* and all that it started, which would hold its pipes open and run on."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # none is left: macOS raises the second
        os.killpg(leader, signal.SIGKILL)
