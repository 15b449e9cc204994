"""Isolation: which executor runs the user's functions."""

import asyncio
from collections.abc import Callable

from connect.configuration import Configuration
from connect.events import LoopBlocked
from connect.execution import Executor
from connect.execution.caller_loop import CallerLoop
from connect.execution.function_watch import FunctionWatch
from connect.execution.same_loop import SameLoop


def executor_for(
    known: Configuration,
    home: asyncio.AbstractEventLoop,
    stopped: Callable[[], object] = lambda: None,
    blocked: Callable[[LoopBlocked], object] = lambda _: None,
) -> Executor:
    """The user's own executor, or that of the isolation; *home* is the loop that called `start()`, and runs on this thread.

    On the connection's loop, *stopped* is called if *home* stands still for good, and *blocked* when code blocks the loop that runs
    functions. A user's own executor is not watched.
    """
    options = known.options
    if options.executor:
        return options.executor
    if known.processes:
        from connect.execution.process_pool import ProcessPool  # imported only for isolation="process"

        traceparent = known.apps.spans.traceparent if known.apps.spans else str
        return ProcessPool(known.processes, options.deadlines, known.rng, known.sleep, traceparent, blocked)
    if known.apps.thread_waits:
        known.apps.thread_waits.limit = options.stall_warning
    watch = FunctionWatch(home, options.stall_warning, blocked)
    if options.isolation == "thread":
        return CallerLoop(known.apps, home, stopped, watch)
    return SameLoop(known.apps, watch)
