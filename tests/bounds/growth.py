"""Measures what this process holds on to: bytes, and objects of a kind."""

import gc
import tracemalloc
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any


def alive(kind: type[Any]) -> int:
    """How many objects of *kind* this process holds."""
    gc.collect()
    return sum(isinstance(each, kind) for each in gc.get_objects())


@contextmanager
def traced() -> Iterator[None]:
    """Count the bytes that are allocated in this block."""
    tracemalloc.start()
    try:
        yield
    finally:
        tracemalloc.stop()


async def growth(step: Callable[[int], Awaitable[object]], count: int) -> int:
    """Bytes held after 3 * *count* calls of *step*, over those held after *count*; *step* gets a new number each time."""
    with traced():
        for number in range(count):
            await step(number)
        before = _held()
        for number in range(count, 3 * count):
            await step(number)
        return _held() - before


def _held() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]
