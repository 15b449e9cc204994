"""Isolation: which executor runs the user's functions."""

import asyncio
from collections.abc import Callable

from connect.configuration import Configuration
from connect.execution import Executor
from connect.execution.caller_loop import CallerLoop
from connect.execution.same_loop import SameLoop


def executor_for(
    known: Configuration, home: asyncio.AbstractEventLoop, stopped: Callable[[], object] = lambda: None
) -> Executor:
    """The user's own executor, or that of the isolation; *home* is the loop that called `start()`; *stopped* is called, on the
    connection's loop, if it stands still for good.
    """
    if known.options.executor:
        return known.options.executor
    if known.processes:
        from connect.execution.process_pool import ProcessPool  # imported only for isolation="process"

        traceparent = known.apps.spans.traceparent if known.apps.spans else str
        return ProcessPool(known.processes, known.options.deadlines, known.rng, known.sleep, traceparent)
    return CallerLoop(known.apps, home, stopped) if known.options.isolation == "thread" else SameLoop(known.apps)
