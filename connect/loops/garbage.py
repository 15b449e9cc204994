"""Garbage collection while a worker runs: what is there at its start is left out (docs/decisions/garbage.md)."""

import contextlib
import gc
import threading
from collections.abc import Iterator

from connect.loops.quick_import import has_frozen

_lock = threading.Lock()
_workers = 0
_is_ours = False
"""Whether this module has frozen what is frozen, and not the program or an earlier call."""


@contextlib.contextmanager
def start_left_out() -> Iterator[None]:
    """Freeze all objects that exist now, until the last of these contexts is left. From any thread.

    What the program has frozen itself, a thousand objects or more, stays frozen, and nothing more is.
    """
    global _workers, _is_ours
    with _lock:
        _workers += 1
        if _workers == 1 and not has_frozen():
            gc.freeze()
            _is_ours = True
    try:
        yield
    finally:
        with _lock:
            _workers -= 1
            if not _workers and _is_ours:
                gc.unfreeze()
                _is_ours = False
