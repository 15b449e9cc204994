"""Gives memory that replies have freed back to the system.

glibc keeps a freed block for the next one. After a storm of large replies the process would so hold several times what it uses, for
good. Where the C library has no `malloc_trim`, such as on macOS or with musl, nothing is done.
"""

import asyncio
import threading
from collections.abc import Callable
from typing import Final

LARGE: Final = 64 * 1024
"""Bytes of a block that counts: the holes that smaller ones leave are soon used again."""
ENOUGH: Final = 32 * 1024 * 1024
"""Bytes that must have been freed before it is worth the milliseconds that it takes."""
TRIM_SECONDS: Final = 1.0
"""It is done this long after, and so at most this often."""


class Heap:
    """Counts what is freed, and trims the heap of the process now and then. On one loop only."""

    def __init__(self) -> None:
        self._freed = 0
        self._timer: asyncio.TimerHandle | None = None

    def freed(self, size: int) -> None:
        """*size* bytes were freed, or are about to be."""
        if size < LARGE:
            return
        self._freed += size
        if self._freed >= ENOUGH and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(TRIM_SECONDS, self._give_back)

    def stop(self) -> None:
        """Trim no more."""
        if self._timer:
            self._timer.cancel()

    def _give_back(self) -> None:
        self._timer, self._freed = None, 0
        # It takes 13 ms for 125 MB, and lets Python run meanwhile.
        threading.Thread(target=_trim, name="connect-heap", daemon=True).start()


def _trim() -> None:
    if trim := _malloc_trim():
        trim(0)


def _malloc_trim() -> Callable[[int], int] | None:
    try:
        import ctypes  # not imported at the start: few workers free so much

        trim: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (ImportError, OSError, AttributeError, TypeError):
        return None
    return trim
