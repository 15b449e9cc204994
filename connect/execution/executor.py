"""The executor: what runs user functions for the connection. One for each `isolation`, or the user's own."""

import abc
import asyncio
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

from connect.execution.invocation import Invocation
from connect.execution.outcome import Outcome


class Executor(Protocol):
    """Runs invocations. The worker calls all three methods on the connection's loop; none of them may block it."""

    async def start(self) -> None:
        """Get ready to execute. Called once, before the first dial; cancelled if the worker is closed meanwhile.

        What it raises leaves `WorkerConnection.start()`.
        """

    async def execute(self, invocation: Invocation) -> Outcome:
        """Run the function and return its outcome. Calls overlap: one for each request in flight.

        A function that fails returns an outcome with status ERROR. An exception from here means that the executor itself failed:
        the worker logs it and answers with a retriable ERROR reply. On cancellation, stop the user's code and wait until it has
        ended; then raise CancelledError if it was stopped, or return its outcome if it could not be (a sync function on a thread).
        """

    async def stop(self) -> None:
        """Release threads and processes. Called once, at the end, also where `start` failed or was cancelled.

        No call of `execute` is under way then, except those that could not be stopped.
        """


Ended: TypeAlias = Callable[[asyncio.Future[Any]], object]
"""Called once with the future of a function, when that is done."""


class DirectExecutor(abc.ABC):
    """An executor of the worker's own: what it is given begins without a task on the connection's loop that waits for it."""

    @abc.abstractmethod
    def begin(self, invocation: Invocation, ended: Ended) -> asyncio.Future[Outcome]:
        """Begin the function; its outcome is the future's result, as that of `Executor.execute`. Raises nothing.

        Cancelling the future stops the user's code. It ends once that has ended: cancelled, or with an outcome. *ended* is called
        then, in the same turn of the loop if possible.
        """

    async def execute(self, invocation: Invocation) -> Outcome:
        """As `Executor.execute`."""
        return await awaited(self.begin(invocation, ignore))


def begun(executor: Executor, invocation: Invocation, ended: Ended) -> asyncio.Future[Outcome]:
    """Have *executor* run the function. On the connection's loop."""
    if isinstance(executor, DirectExecutor):
        return executor.begin(invocation, ended)
    task = asyncio.get_running_loop().create_task(_execute(executor, invocation), name=invocation.request_id)
    task.add_done_callback(ended)
    return task


async def awaited(future: asyncio.Future[Outcome]) -> Outcome:
    """The outcome of *future*. A cancel that comes when that is done is ignored: what has ended cannot be stopped."""
    try:
        return await future
    except asyncio.CancelledError:
        if not future.done() or future.cancelled():
            raise
        return future.result()


async def _execute(executor: Executor, invocation: Invocation) -> Outcome:
    """Whatever a user's `execute` is, what it raises is raised here."""
    return await executor.execute(invocation)


def ignore(_: object) -> None:
    """An `Ended`, for a future that is awaited."""
