"""A mailbox: calls for another thread's loop, delivered in one wake-up as far as they come together."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any


class Mailbox:
    """Calls for *loop*, posted by one other thread and run there in order."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._calls: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._woken = False

    def post(self, call: Callable[..., object], *arguments: Any) -> None:
        """Have *call* run on the loop. Raises: RuntimeError: the loop is closed."""
        self._calls.append((call, arguments))
        if not self._woken:
            self._woken = True
            try:
                self._loop.call_soon_threadsafe(self._deliver)
            except RuntimeError:
                self._woken = False
                self._calls.clear()
                raise

    def _deliver(self) -> None:
        # First the flag, then the calls: what is posted from here on wakes the loop again, so that others have their turn on it.
        self._woken = False
        try:
            for _ in range(len(self._calls)):
                call, arguments = self._calls.popleft()
                call(*arguments)
        except BaseException:  # that is its own affair
            if self._calls:
                self._loop.call_soon(self._deliver)
            raise
