"""Shutdown signals, and a main thread that waits for I/O when they come."""

import asyncio
import signal
import threading
from typing import Any

import pytest

from connect import ConnectionState


def connection_thread() -> threading.Thread:
    [thread] = [thread for thread in threading.enumerate() if thread.name == "connect"]
    return thread


@pytest.mark.usefixtures("quiet")
async def test_a_signal_that_another_thread_receives_is_handled_although_the_loop_is_idle(start: Any) -> None:
    worker = await start(shutdown_signals=[signal.SIGUSR1])
    ident = connection_thread().ident
    # From a thread, so that the main one is waiting for I/O by then, as it is when the kernel chooses another thread.
    threading.Timer(0.2, lambda: signal.pthread_kill(ident, signal.SIGUSR1)).start()
    async with asyncio.timeout(5):
        await worker.closed()
    assert worker.get_state() is ConnectionState.CLOSED


async def test_handlers_and_the_wakeup_are_as_before_when_the_worker_has_ended(start: Any) -> None:
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    worker = await start(shutdown_signals=[signal.SIGUSR1])
    assert signal.getsignal(signal.SIGUSR1) is not signal.SIG_IGN
    await worker.close(wait=True)
    await worker.task
    assert signal.signal(signal.SIGUSR1, signal.SIG_DFL) is signal.SIG_IGN
    assert signal.set_wakeup_fd(-1) == -1
