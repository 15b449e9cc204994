"""An executor that executes nothing: what is left is the worker itself."""

from typing import Final

from benchmarks.app import RESULT_BYTES
from connect.executors import Invocation, Outcome
from connect.wire import SDKResponseStatus

OUTCOME: Final = Outcome(SDKResponseStatus.DONE, RESULT_BYTES)


class Nothing:
    """Answers every invocation at once, with what the function would have returned."""

    async def start(self) -> None:
        """Nothing to do."""

    async def execute(self, _: Invocation) -> Outcome:
        """As `Executor.execute`."""
        return OUTCOME

    async def stop(self) -> None:
        """Nothing to do."""
