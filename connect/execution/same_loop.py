"""`isolation="none"`: functions run on the connection's own loop. Lowest latency, but a function that blocks delays heartbeats."""

import asyncio

from connect.execution.executor import DirectExecutor, Ended
from connect.execution.function_watch import FunctionWatch
from connect.execution.invocation import Invocation
from connect.execution.load import Load
from connect.execution.outcome import Outcome
from connect.execution.sdk import Apps


class SameLoop(DirectExecutor):
    """Runs functions on the loop that calls `begin`."""

    def __init__(self, apps: Apps, watch: FunctionWatch | None = None) -> None:
        self._apps = apps
        self._watch = watch or FunctionWatch()

    @property
    def load(self) -> Load:
        """What holds functions up. From any thread."""
        return Load(self._apps.threads, self._watch.blocks)

    @property
    def stuck(self) -> list[str]:
        """Request ids of the sync functions that still run. From any thread."""
        return sorted(self._apps.busy)

    async def start(self) -> None:
        """Nothing to do."""

    def begin(self, invocation: Invocation, ended: Ended) -> asyncio.Future[Outcome]:
        """As `DirectExecutor.begin`."""
        task = asyncio.get_running_loop().create_task(self._run(invocation), name=invocation.request_id)
        task.add_done_callback(ended)
        return task

    async def _run(self, invocation: Invocation) -> Outcome:
        self._watch.begin()
        try:
            return await self._apps.run(invocation)
        finally:
            self._watch.end()

    async def stop(self) -> None:
        """As `Executor.stop`. Sync functions that still run go on, and their outcomes are dropped."""
        self._apps.shutdown()
        self._watch.stop()
