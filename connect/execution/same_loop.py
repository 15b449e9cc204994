"""Everything on one loop: the lowest latency, where user code is known not to block."""

from connect.execution.invocation import Invocation
from connect.execution.outcome import Outcome
from connect.execution.sdk import Apps


class SameLoop:
    """Runs functions on the connection's own loop."""

    def __init__(self, apps: Apps) -> None:
        self._apps = apps

    @property
    def stuck(self) -> list[str]:
        """Request ids of the sync functions that still run. From any thread."""
        return sorted(self._apps.busy)

    async def start(self) -> None:
        """Nothing to do."""

    async def execute(self, invocation: Invocation) -> Outcome:
        """As `Executor.execute`."""
        return await self._apps.run(invocation)

    async def stop(self) -> None:
        """Nobody waits any longer for sync functions that still run; they are left to themselves."""
        self._apps.shutdown()
