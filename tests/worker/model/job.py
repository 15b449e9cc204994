"""Jobs: the work of the worker."""

import asyncio
import contextlib
from dataclasses import dataclass, field


@dataclass
class Job:
    """One execution of the function `app-job`. A stubborn one cannot be cancelled."""

    stubborn: bool
    started: asyncio.Event = field(default_factory=asyncio.Event)
    release: asyncio.Event = field(default_factory=asyncio.Event)
    times: int = 0
    id: str = ""
    """The request's."""

    async def work(self) -> str:
        self.times += 1
        self.started.set()
        while not self.release.is_set():
            with contextlib.suppress(*[asyncio.CancelledError] * self.stubborn):
                await self.release.wait()
        return "done"
