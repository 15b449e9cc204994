"""The threads on which sync functions run, so that they do not block the loop that starts them."""

import asyncio
import concurrent.futures
import contextlib
import contextvars
import os
import sys
from collections.abc import Callable
from typing import Any, TypeVar

from connect.execution.thread_waits import ThreadWaits

T = TypeVar("T")


def _usual_limit() -> int:
    """Python's default for a ThreadPoolExecutor."""
    if sys.version_info >= (3, 13):
        return min(32, (os.process_cpu_count() or 1) + 4)
    return min(32, (os.cpu_count() or 1) + 4)


class ThreadPool:
    """At most *limit* threads (None: Python's default for a ThreadPoolExecutor), started with the first call.

    A call waits here for a free thread, not in the executor: that would keep a cancelled call, and all that it holds, until a
    thread is free. `run` is awaited on one loop.
    """

    def __init__(self, limit: int | None) -> None:
        self._limit = limit or _usual_limit()
        self._free = asyncio.Semaphore(self._limit)
        self.waits = ThreadWaits(self._limit)
        self._pool: concurrent.futures.ThreadPoolExecutor | None = None
        self._calls: dict[object, str] = {}
        self._waiting: set[asyncio.Future[Any]] = set()
        self.closed = False

    @property
    def busy(self) -> list[str]:
        """The names of the calls that have not ended. From any thread."""
        return list(self._calls.values())

    async def run(self, name: str, work: Callable[[], T]) -> T:
        """Call *work* on a thread, with a copy of the caller's context variables; return what it returns, raise what it raises.

        Cancelling keeps *work* from starting. Once it has started it cannot be stopped: a cancelled `run` waits for its end, or
        until `shutdown`, which cancels every `run`. Raises: RuntimeError: the pool was shut down before, or *work* raised
        StopIteration.
        """
        if self.closed:
            raise RuntimeError("this thread pool was shut down")
        call = object()
        self._calls[call] = name
        try:
            await self.waits.acquire(self._free)
        except asyncio.CancelledError:
            del self._calls[call]
            raise
        try:
            running = self._submit(call, work)
            waiter = asyncio.wrap_future(running)
            self._waiting.add(waiter)
            try:
                return await self._end(running, waiter)
            finally:
                self._waiting.discard(waiter)
        finally:
            self._free.release()

    def _submit(self, call: object, work: Callable[[], T]) -> concurrent.futures.Future[T]:
        if self.closed:  # while it waited: no thread took it
            del self._calls[call]
            raise asyncio.CancelledError
        if self._pool is None:
            self._pool = concurrent.futures.ThreadPoolExecutor(self._limit, thread_name_prefix="inngest")
        try:
            running = self._pool.submit(contextvars.copy_context().run, _call, work)
        except RuntimeError:  # the system gives no thread
            del self._calls[call]
            raise
        running.add_done_callback(lambda _: self._calls.pop(call))
        return running

    async def _end(self, running: concurrent.futures.Future[T], waiter: asyncio.Future[T]) -> T:
        while True:
            try:
                return await asyncio.shield(waiter)
            except asyncio.CancelledError:
                if running.cancel() or self.closed:
                    raise
                if running.done():  # the cancel came too late, or *work* itself raised CancelledError
                    return running.result()

    def shutdown(self) -> None:
        """Start no more calls, and cancel every `run`. Calls that run go on; if there are none, the threads are joined.

        From any thread.
        """
        self.closed = True
        for waiter in list(self._waiting):
            with contextlib.suppress(RuntimeError):  # the loop that waited is closed
                waiter.get_loop().call_soon_threadsafe(waiter.cancel)
        if self._pool:
            self._pool.shutdown(wait=not self._calls, cancel_futures=True)


def _call(work: Callable[[], T]) -> T:
    """What *work* returns. An asyncio future takes no StopIteration, and its waiter would wait for ever."""
    try:
        return work()
    except StopIteration as error:
        raise RuntimeError("StopIteration was raised") from error
