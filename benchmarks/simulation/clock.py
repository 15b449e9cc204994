"""An event loop whose clock is virtual: nothing sleeps, and an hour takes as long as what happens in it."""

import asyncio
import selectors
from collections.abc import Mapping
from typing import Any


class _Selector(selectors.DefaultSelector):
    """Waits for nothing. Where a loop would wait for its next timer, the time of that timer comes at once."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise RuntimeError("every task of the simulation waits, and no timer is set: this would last for ever")
        if not ready and timeout:
            self.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop for `asyncio.Runner(loop_factory=VirtualLoop)`. `time()` begins at 0, in seconds."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now

    def call_exception_handler(self, context: Mapping[str, Any]) -> None:
        """Whatever would only be logged ends the simulation: its figures would be worth nothing."""
        error = context.get("exception")
        self.default_exception_handler(dict(context))
        self.stop()
        raise SystemExit(f"the simulation broke: {context['message']}: {error!r}")
