"""An executor that runs no function, to measure the worker alone."""

import asyncio
import json
from typing import Final

from benchmarks.app import RESULT_BYTES
from connect.execution import Invocation, Outcome
from connect.wire import SDKResponseStatus

OUTCOME: Final = Outcome(SDKResponseStatus.DONE, RESULT_BYTES)


class NoopExecutor:
    """Answers every invocation with what the function would return, at once or after the event's `hold` seconds."""

    async def start(self) -> None:
        """NoopExecutor to do."""

    async def execute(self, invocation: Invocation) -> Outcome:
        """See `Executor.execute`."""
        if b'"hold":' in invocation.payload:
            await asyncio.sleep(json.loads(invocation.payload)["event"]["data"]["hold"])
        return OUTCOME

    async def stop(self) -> None:
        """NoopExecutor to do."""
