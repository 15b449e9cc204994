"""Waits for a thread: counted, told of, and warned of once a minute while one lasts too long."""

import asyncio
import logging

import pytest

from connect.execution import thread_waits
from connect.execution.thread_waits import ThreadWaits
from connect.status import ThreadStatus

LIMIT = 0.03


@pytest.fixture
def waits() -> ThreadWaits:
    made = ThreadWaits(1)
    made.limit = LIMIT
    return made


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


async def wait(waits: ThreadWaits, free: asyncio.Semaphore, count: int) -> list["asyncio.Task[None]"]:
    """So many calls that wait for *free*."""
    calls = [asyncio.create_task(waits.acquire(free)) for _ in range(count)]
    await asyncio.sleep(0)
    return calls


async def test_only_who_finds_no_thread_waits(waits: ThreadWaits) -> None:
    changes: list[ThreadStatus] = []
    waits.changed = lambda: changes.append(waits.status)
    free = asyncio.Semaphore(1)
    await waits.acquire(free)
    assert (waits.status, changes) == (ThreadStatus(1, 0, 0), [])
    calls = await wait(waits, free, 2)
    assert waits.status == changes[-1] == ThreadStatus(1, 2, 2)
    for call in calls:
        free.release()
        await call
    assert waits.status == changes[-1] == ThreadStatus(1, 0, 2)


async def test_a_short_wait_is_no_warning(waits: ThreadWaits, caplog: pytest.LogCaptureFixture) -> None:
    """Nor one whose call is cancelled. No timer is left."""
    free = asyncio.Semaphore(0)
    [first, second] = await wait(waits, free, 2)
    free.release()
    await first
    second.cancel()
    await asyncio.wait([second])
    assert waits._timer is None
    await asyncio.sleep(2 * LIMIT)
    assert (warned(caplog), waits.status.waiting) == ([], 0)


async def test_a_long_one_is(waits: ThreadWaits, caplog: pytest.LogCaptureFixture) -> None:
    """With how many wait. The next warning comes a minute later, if one waits then."""
    free = asyncio.Semaphore(0)
    calls = await wait(waits, free, 3)
    await asyncio.sleep(3 * LIMIT)
    [line] = warned(caplog)
    assert line.startswith("3 sync functions wait for a thread, the longest for 0.0 s: all 1 threads are busy")
    for call in calls:
        free.release()
        await call
    again = await wait(waits, free, 1)
    await asyncio.sleep(2 * LIMIT)
    assert len(warned(caplog)) == 1
    again[0].cancel()
    await asyncio.wait(again)


async def test_a_wait_that_goes_on_is_warned_of_again(
    waits: ThreadWaits, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thread_waits, "WARNING_SECONDS", 2 * LIMIT)
    [call] = await wait(waits, asyncio.Semaphore(0), 1)
    await asyncio.sleep(8 * LIMIT)
    assert 2 <= len(warned(caplog)) <= 4
    call.cancel()
    await asyncio.wait([call])


@pytest.mark.parametrize("off", [None, 0])
async def test_without_a_limit_waits_are_only_counted(
    waits: ThreadWaits, caplog: pytest.LogCaptureFixture, off: float | None
) -> None:
    waits.limit = off
    [call] = await wait(waits, asyncio.Semaphore(0), 1)
    await asyncio.sleep(2 * LIMIT)
    assert (warned(caplog), waits.status) == ([], ThreadStatus(1, 1, 1))
    call.cancel()
    await asyncio.wait([call])
