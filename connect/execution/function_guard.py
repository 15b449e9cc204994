"""What a function raises is its own failure, also where that would end the loop, the thread or the coroutine that runs it.

The SDK catches every Exception; the others reach what called it.
"""

from __future__ import annotations  # some annotations name what an unsupported release of the SDK lacks

import asyncio
import contextvars
import copy
import signal
import threading
from typing import TYPE_CHECKING, Any, Final

from connect.execution import sdk_internals, tracebacks
from connect.loops import forks

if TYPE_CHECKING:
    import inngest


class Attempt:
    """One call of a function: which it is, and what it came to.

    Leaving `with` drops the result, and empties the frames that its errors came through. Contexts hold this object, and
    tasks of user code, or of the SDK, may hold a context for long.
    """

    __slots__ = ("most", "number", "result")

    def __init__(self) -> None:
        self.number = 0
        """Counted from 1; 0 until the function is called."""
        self.most = 0
        """How many attempts the server makes; 0: not known."""
        self.result: sdk_internals.CallResult | None = None
        """None until the function has ended."""

    def begin(self, ctx: Any) -> None:
        """The function is called with *ctx*."""
        self.number, self.most = ctx.attempt + 1, sdk_internals.max_attempts(ctx)

    def __enter__(self) -> Attempt:
        return self

    def __exit__(self, *_: object) -> None:
        result, self.result = self.result, None
        for each in (result, *(result.multi or ())) if result else ():
            if each.error:
                tracebacks.empty(each.error)


current_attempt: contextvars.ContextVar[Attempt] = contextvars.ContextVar("attempt")
"""The attempt of the current execution."""

_ENDING: Final = (SystemExit, KeyboardInterrupt, GeneratorExit)
"""What would end the loop, the thread or the coroutine that runs a function."""


class FunctionExited(Exception):  # noqa: N818 - the server shows this name
    """A function called `sys.exit()`, or raised KeyboardInterrupt or GeneratorExit: the function fails, the worker goes on."""


def guarded(function: inngest.Function[Any]) -> inngest.Function[Any]:
    """A copy of *function* that stores its result in `current_attempt`, and fails where it raises one of `_ENDING`.

    The SDK runs it in a task of its own, where a SystemExit or KeyboardInterrupt would end the loop. A fork that the function has
    made ends where it leaves the function.
    """

    async def call(client: Any, ctx: Any, *given: Any, **named: Any) -> sdk_internals.CallResult:
        sdk_internals.free_of_cycles(ctx)
        attempt = current_attempt.get()
        attempt.begin(ctx)
        if attempt.result is None:
            try:
                with forks.Boundary() as boundary:
                    attempt.result = await function.call(client, ctx, *given, **named)
                    boundary.error = _error_in(attempt.result)
            except _ENDING as error:
                attempt.result = _exited(error)
        return attempt.result

    def call_sync(client: Any, ctx: Any, *given: Any, **named: Any) -> sdk_internals.CallResult:
        sdk_internals.free_of_cycles(ctx)
        attempt = current_attempt.get()
        attempt.begin(ctx)
        try:
            with forks.Boundary() as boundary:
                attempt.result = function.call_sync(client, ctx, *given, **named)
                boundary.error = _error_in(attempt.result)
        except _ENDING as error:
            attempt.result = _exited(error)
        return attempt.result

    made = copy.copy(function)
    vars(made).update(call=call, call_sync=call_sync)
    return made


def _error_in(result: sdk_internals.CallResult) -> Exception | None:
    """What the function, or the step that it ran, has raised."""
    return result.error or next((step.error for step in result.multi or () if step.error), None)


def _exited(error: BaseException) -> sdk_internals.CallResult:
    pass_ctrl_c_on(error)
    failed = FunctionExited(f"the function {_deed(error)}")
    return sdk_internals.CallResult(error=failed.with_traceback(error.__traceback__))


def _deed(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return f"called sys.exit({'' if error.code is None else repr(error.code)})"
    return f"raised {type(error).__name__}"


def pass_ctrl_c_on(error: BaseException) -> None:
    """If *error* may be Ctrl-C, raise KeyboardInterrupt in the running loop too, so that it ends.

    Where a worker or `asyncio.run()` handles SIGINT, Ctrl-C raises nothing in a function: then it is the function's own failure.
    """
    if (
        isinstance(error, KeyboardInterrupt)
        and threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    ):
        asyncio.get_running_loop().call_soon(signal.default_int_handler, signal.SIGINT, None)


def is_run_by_a_task() -> bool:
    """Whether the running coroutine is: one that is closed is not. On its thread."""
    try:
        return asyncio.current_task() is not None
    except RuntimeError:  # no loop runs
        return False
