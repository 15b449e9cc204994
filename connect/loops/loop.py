"""Event loops: which kind the worker runs on."""

import asyncio
import gc


def new_loop() -> asyncio.AbstractEventLoop:
    """uvloop's where it is installed."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def spare_the_collector() -> None:
    """For a process of our own, once everything is imported: what is there stays for good, so the garbage collector is not made to
    walk through it again. Changes the whole process."""
    # Its thresholds stay: with higher ones memory creeps up, and nothing is faster.
    gc.collect()
    gc.freeze()
