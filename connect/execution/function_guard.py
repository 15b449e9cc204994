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

from connect.execution import sdk_internals

if TYPE_CHECKING:
    import inngest

function_results: contextvars.ContextVar[list[sdk_internals.CallResult]] = contextvars.ContextVar("results")
"""The result of the function that the current execution runs; empty until it has ended."""

_ENDING: Final = (SystemExit, KeyboardInterrupt, GeneratorExit)
"""What would end the loop, the thread or the coroutine that runs a function."""


class FunctionExited(Exception):  # noqa: N818 - the server shows this name
    """A function called `sys.exit()`, or raised KeyboardInterrupt or GeneratorExit: the function fails, the worker goes on."""


def guarded(function: inngest.Function[Any]) -> inngest.Function[Any]:
    """A copy of *function* that stores its result in `function_results`, and fails where it raises one of `_ENDING`.

    The SDK runs it in a task of its own, where a SystemExit or KeyboardInterrupt would end the loop.
    """

    async def call(client: Any, ctx: Any, *given: Any, **named: Any) -> sdk_internals.CallResult:
        sdk_internals.free_of_cycles(ctx)
        results = function_results.get()
        if not results:
            try:
                results.append(await function.call(client, ctx, *given, **named))
            except _ENDING as error:
                results.append(_exited(error))
        return results[0]

    def call_sync(client: Any, ctx: Any, *given: Any, **named: Any) -> sdk_internals.CallResult:
        sdk_internals.free_of_cycles(ctx)
        try:
            return function.call_sync(client, ctx, *given, **named)
        except _ENDING as error:
            return _exited(error)

    made = copy.copy(function)
    vars(made).update(call=call, call_sync=call_sync)
    return made


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
