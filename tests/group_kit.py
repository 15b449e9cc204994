"""The end of processes that tests start, each the leader of a group of its own (`start_new_session=True`)."""

import contextlib
import os
import signal


def end_group(leader: int) -> None:
    """Kill the process with the id *leader* and all that it started: what is left would hold its pipes open, and run on."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # nobody is left: macOS says the second
        os.killpg(leader, signal.SIGKILL)
