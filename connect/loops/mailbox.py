"""A mailbox: calls for a loop on another thread. Calls that are posted together wake that loop once."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from typing import Any


class Mailbox:
    """Runs calls on *loop*, in the order in which one other thread posts them.

    While the loop is blocked, at most *limit* calls wait (None: any number). Past that the oldest are dropped; *full* is called, on
    the posting thread, when that begins.

    *poster*: the loop that posts, if nothing ever blocks it. *loop* is woken once the turn of that one is over, in which it mostly
    has nothing more to do: while it has, both threads would wait for the interpreter's lock again and again.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        limit: int | None = None,
        full: Callable[[], object] | None = None,
        poster: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._loop = loop
        self._limit = limit
        self._full = full
        self._poster = poster
        # `maxlen` drops the oldest and adds the newest in one step: `_deliver`, on the other thread, finds as many as it counted.
        self._calls: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque(maxlen=limit)
        self._woken = False
        self._told = False

    def post(self, call: Callable[..., object], *arguments: Any) -> None:
        """Run *call* on the loop, soon. From the other thread.

        Raises: RuntimeError: the loop is closed; with a *poster*, the call is dropped instead.
        """
        if len(self._calls) == self._limit and self._full and not self._told:
            self._told = True
            self._full()
        self._calls.append((call, arguments))
        if not self._woken:
            self._woken = True
            if self._poster is None:
                self._wake()
            else:
                self._poster.call_soon(self._wake_later)

    def _wake(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._deliver)
        except RuntimeError:
            self._woken = False
            self._calls.clear()
            raise

    def _wake_later(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile: nothing runs on it any more
            self._wake()

    def _deliver(self) -> None:
        # Clear the flag before the calls run: what is posted meanwhile wakes the loop again, and other callbacks run in between.
        self._woken = self._told = False
        try:
            for _ in range(len(self._calls)):
                call, arguments = self._calls.popleft()
                call(*arguments)
        except BaseException:  # asyncio handles it; the calls that are left run in the next turn
            if self._calls:
                self._loop.call_soon(self._deliver)
            raise
