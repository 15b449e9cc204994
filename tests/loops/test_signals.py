"""Shutdown signals: who handles them, how soon, and that everything is as before in the end."""

import asyncio
import signal
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from connect import ConnectionState
from connect.loops import signals


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """Handlers and the wake-up are as before."""
    before = signal.getsignal(signal.SIGUSR1), signal.getsignal(signal.SIGUSR2)
    yield
    assert (signal.getsignal(signal.SIGUSR1), signal.getsignal(signal.SIGUSR2)) == before
    assert signal.set_wakeup_fd(-1) == -1


# -- by themselves ---------------------------------------------------------------------------------------------------------------


async def test_signals_are_handled_while_the_context_lasts() -> None:
    heard: list[int] = []
    with signals.handled([signal.SIGUSR1, signal.SIGUSR2], lambda number, _: heard.append(number)):
        signal.raise_signal(signal.SIGUSR1)
        signal.raise_signal(signal.SIGUSR2)
        signal.raise_signal(signal.SIGUSR1)
    assert heard == [signal.SIGUSR1, signal.SIGUSR2, signal.SIGUSR1]


async def test_the_handlers_of_before_come_back_whatever_happens() -> None:
    def handler(_number: int, _frame: Any) -> None: ...

    def body() -> None:
        with signals.handled([signal.SIGUSR1], lambda *_: None):
            assert signal.getsignal(signal.SIGUSR1) is not handler
            raise ZeroDivisionError

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        with pytest.raises(ZeroDivisionError):
            body()
        assert signal.getsignal(signal.SIGUSR1) is handler
    finally:
        signal.signal(signal.SIGUSR1, before)


async def test_a_signal_is_handled_while_user_code_blocks_the_loop() -> None:
    handled_at: list[float] = []
    with signals.handled([signal.SIGUSR1], lambda *_: handled_at.append(time.monotonic())):
        threading.Timer(0.1, lambda: signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)).start()
        end = time.monotonic() + 10
        while not handled_at and time.monotonic() < end:
            sum(range(1000))
    assert handled_at


async def test_an_idle_loop_is_woken_by_a_signal_that_another_thread_received() -> None:
    """The main thread waits for I/O meanwhile, and must run the handler."""
    heard, over = asyncio.Event(), threading.Event()

    def kill_itself() -> None:
        time.sleep(0.2)
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
        over.wait(20)

    thread = threading.Thread(target=kill_itself)
    with signals.handled([signal.SIGUSR1], lambda *_: heard.set()):
        thread.start()
        begun = time.monotonic()
        await asyncio.wait([asyncio.create_task(heard.wait())], timeout=20)
        assert time.monotonic() - begun < 10
        assert heard.is_set()
        over.set()
    thread.join()


async def test_a_wakeup_that_is_there_already_is_left_alone() -> None:
    """uvloop has one."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.setblocking(False)
        signal.set_wakeup_fd(theirs.fileno())
        with signals.handled([signal.SIGUSR1], lambda *_: None):
            signal.raise_signal(signal.SIGUSR1)
            assert ours.recv(1) == bytes([signal.SIGUSR1])
        assert signal.set_wakeup_fd(-1) == theirs.fileno()


async def test_off_the_main_thread_signals_are_left_alone() -> None:
    def body() -> None:
        before = signal.getsignal(signal.SIGUSR1)
        with signals.handled([signal.SIGUSR1], lambda *_: None):
            assert signal.getsignal(signal.SIGUSR1) is before

    await asyncio.to_thread(body)


# -- with a worker ---------------------------------------------------------------------------------------------------------------


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
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    worker = await start(shutdown_signals=[signal.SIGUSR1])
    assert signal.getsignal(signal.SIGUSR1) is not signal.SIG_IGN
    await worker.close(wait=True)
    await worker.task
    assert signal.signal(signal.SIGUSR1, before) is signal.SIG_IGN
    assert signal.set_wakeup_fd(-1) == -1
