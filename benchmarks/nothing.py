"""An executor that executes nothing: what is left is the worker itself."""

import asyncio
import json
from typing import Final

from benchmarks.app import RESULT_BYTES
from connect.execution import Invocation, Outcome
from connect.wire import SDKResponseStatus

OUTCOME: Final = Outcome(SDKResponseStatus.DONE, RESULT_BYTES)


class Nothing:
    """Answers every invocation at once, or when it has been held, with what the function would have returned."""

    async def start(self) -> None:
        """Nothing to do."""

    async def execute(self, invocation: Invocation) -> Outcome:
        """As `Executor.execute`."""
        if b'"hold":' in invocation.payload:
            await asyncio.sleep(json.loads(invocation.payload)["event"]["data"]["hold"])
        return OUTCOME

    async def stop(self) -> None:
        """Nothing to do."""
