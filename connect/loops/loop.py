"""The event loops that the worker makes: uvloop's or asyncio's."""

import asyncio
import gc


def new_loop() -> asyncio.AbstractEventLoop:
    """A new event loop: uvloop's if that is installed, else asyncio's. The caller runs and closes it."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def freeze_imported_objects() -> None:
    """Keep the garbage collector from walking through what is imported, which stays for good.

    It changes the whole process: call it once everything is imported, in a process that belongs to the worker.
    """
    # The collector's thresholds stay: higher ones made nothing faster, and memory grew.
    gc.collect()
    gc.freeze()
