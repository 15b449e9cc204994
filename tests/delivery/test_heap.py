"""Freed memory is given back some time after enough of it was freed in large blocks, and not more often."""

import asyncio
import ctypes
import sys
import threading

import pytest

from connect.delivery import heap as module
from connect.delivery.heap import ENOUGH, LARGE, Heap


@pytest.fixture
def trims(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The threads on which the heap was trimmed."""
    done: list[str] = []

    def trim(_: int) -> int:
        done.append(threading.current_thread().name)
        return 1

    monkeypatch.setattr(module, "_malloc_trim", lambda: trim)
    monkeypatch.setattr(module, "TRIM_SECONDS", 0.02)
    return done


@pytest.mark.parametrize(
    ("sizes", "times"),
    [([ENOUGH], 1), ([ENOUGH // 2] * 2, 1), ([ENOUGH] * 5, 1), ([ENOUGH - 1], 0), ([LARGE - 1] * 2000, 0)],
)
async def test_it_is_trimmed_once_enough_was_freed(trims: list[str], sizes: list[int], times: int) -> None:
    heap = Heap()
    for size in sizes:
        heap.freed(size)
    await asyncio.sleep(0.1)
    assert trims == ["connect-heap"] * times
    heap.freed(ENOUGH)
    await asyncio.sleep(0.1)
    assert len(trims) == times + 1


async def test_nothing_is_trimmed_after_the_end(trims: list[str]) -> None:
    heap = Heap()
    heap.freed(ENOUGH)
    heap.stop()
    await asyncio.sleep(0.1)
    assert trims == []


async def test_without_malloc_trim_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    monkeypatch.setattr(module, "TRIM_SECONDS", 0.02)
    heap = Heap()
    heap.freed(ENOUGH)
    await asyncio.sleep(0.1)
    assert not [thread for thread in threading.enumerate() if thread.name == "connect-heap"]
    assert module._malloc_trim() is None
    monkeypatch.setitem(sys.modules, "ctypes", None)
    assert module._malloc_trim() is None
