"""An executor: what runs user functions for the connection."""

from typing import Protocol

from connect.execution.invocation import Invocation
from connect.execution.outcome import Outcome


class Executor(Protocol):
    """Runs invocations. All three methods are called on the connection's loop."""

    async def start(self) -> None:
        """Be ready to execute. Called once, before the first dial."""

    async def execute(self, invocation: Invocation) -> Outcome:
        """Run *invocation* to its outcome.

        A function that fails is an outcome too (ERROR): raising means that the executor itself is broken, and is answered
        with a retriable ERROR reply. Cancelling asks the user's code to stop, and this call to return once it has: by
        `CancelledError` where it stopped, with its outcome where it could not be stopped (a sync function on a thread).
        """

    async def stop(self) -> None:
        """Release threads and processes. No call of `execute` is under way, save what could not be stopped."""
