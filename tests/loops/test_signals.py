"""Shutdown signals: who handles them, how soon, and that everything is as before in the end."""

import asyncio
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from fork_kit import end_of, exit_code

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


# -- as guests -----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def host() -> Iterator[Any]:
    """A program that installs its handler for SIGUSR1, which notes what it hears."""
    heard: list[str] = []
    before = signal.signal(signal.SIGUSR1, lambda *_: heard.append("host"))
    yield heard
    signal.signal(signal.SIGUSR1, before)


def guest(heard: list[str], name: str = "ours") -> Any:
    return signals.handled([signal.SIGUSR1], lambda *_: heard.append(name))


async def test_the_handler_that_was_there_is_called_after_ours(host: list[str]) -> None:
    with guest(host):
        signal.raise_signal(signal.SIGUSR1)
        assert host == ["ours", "host"]
    signal.raise_signal(signal.SIGUSR1)
    assert host == ["ours", "host", "host"]


async def test_what_the_handler_of_before_raises_is_raised(host: list[str]) -> None:
    def handler(*_: object) -> None:
        raise ZeroDivisionError

    signal.signal(signal.SIGUSR1, handler)
    with guest(host), pytest.raises(ZeroDivisionError):
        signal.raise_signal(signal.SIGUSR1)
    assert host == ["ours"]


@pytest.mark.parametrize("first", [0, 1])
async def test_two_guests_end_in_any_order(host: list[str], first: int) -> None:
    before = signal.getsignal(signal.SIGUSR1)
    guests = [guest(host, "0"), guest(host, "1")]
    for each in guests:
        each.__enter__()
    signal.raise_signal(signal.SIGUSR1)
    assert host == ["0", "1", "host"]
    guests[first].__exit__(None, None, None)
    signal.raise_signal(signal.SIGUSR1)
    assert host == ["0", "1", "host", str(1 - first), "host"]
    assert signal.set_wakeup_fd(-1) != -1, "the loop is woken for the one that is left"
    guests[1 - first].__exit__(None, None, None)
    assert signal.getsignal(signal.SIGUSR1) is before


async def test_a_handler_that_the_host_has_installed_meanwhile_stays(host: list[str]) -> None:
    def later(*_: object) -> None:
        host.append("later")

    with guest(host):
        signal.signal(signal.SIGUSR1, later)
    assert signal.getsignal(signal.SIGUSR1) is later


async def test_what_the_host_puts_back_too_late_does_what_was_done_before(host: list[str]) -> None:
    with guest(host):
        ours = signal.signal(signal.SIGUSR1, lambda *_: None)
    signal.signal(signal.SIGUSR1, ours)
    signal.raise_signal(signal.SIGUSR1)
    assert host == ["host"]
    with guest(host):
        signal.raise_signal(signal.SIGUSR1)
        assert host == ["host", "ours", "host"]


async def test_put_back_too_late_it_does_the_default_too() -> None:
    with guest([]):
        ours = signal.signal(signal.SIGUSR1, signal.SIG_DFL)

    def child() -> None:
        signal.signal(signal.SIGUSR1, ours)
        signal.raise_signal(signal.SIGUSR1)

    assert end_of(child) == -signal.SIGUSR1


async def test_a_guest_comes_above_what_the_host_has_put_above_another(host: list[str]) -> None:
    with guest(host, "1"):
        first = signal.getsignal(signal.SIGUSR1)
        signal.signal(signal.SIGUSR1, lambda *given: (host.append("above"), first(*given)))  # type: ignore[operator]
        above = signal.getsignal(signal.SIGUSR1)
        with guest(host, "2"):
            signal.raise_signal(signal.SIGUSR1)
            assert host == ["2", "above", "1", "host"]
        assert signal.getsignal(signal.SIGUSR1) is above
        signal.signal(signal.SIGUSR1, first)


async def test_the_hosts_loop_handles_signals_too(host: list[str]) -> None:
    loop, heard = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGUSR1, heard.set)
    try:
        with guest(host):
            signal.raise_signal(signal.SIGUSR1)
            await asyncio.wait_for(heard.wait(), 10)
            assert host == ["ours"]
    finally:
        loop.remove_signal_handler(signal.SIGUSR1)
        signal.signal(signal.SIGUSR1, lambda *_: None)


@pytest.mark.parametrize("program", ["asyncio.run", "a loop of its own"])
def test_ctrl_c_stays_graceful_in_a_program_that_only_runs_a_worker(program: str) -> None:
    """Python's own handler would cancel the main task, or raise KeyboardInterrupt in the middle of it."""

    async def main() -> str:
        ended = asyncio.Event()
        with signals.handled([signal.SIGINT], lambda *_: ended.set()):
            signal.raise_signal(signal.SIGINT)
            await ended.wait()
            await asyncio.sleep(0)
        return "graceful"

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        if program == "asyncio.run":
            assert asyncio.run(main()) == "graceful"
        else:
            with asyncio.Runner() as runner:
                assert runner.get_loop().run_until_complete(main()) == "graceful"
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


# -- how much they ask for -----------------------------------------------------------------------------------------------------

INT, TERM, HUP = signal.SIGINT, signal.SIGTERM, signal.SIGHUP


@pytest.mark.parametrize(
    ("came", "asked"),
    [
        ([(0, TERM)], [False]),
        ([(0, TERM), (0, TERM)], [False, True]),
        ([(0, INT), (0.5, INT), (0.6, INT)], [False, True, True]),
        ([(0, INT), (1.9, TERM)], [False, False]),
        ([(0, INT), (1.9, TERM), (1.9, INT)], [False, False, True]),
        ([(0, INT), (2, TERM)], [False, True]),
        ([(0, HUP), (9, HUP), (9, TERM), (9, HUP), (9, TERM)], [False, False, False, False, True]),
    ],
)
def test_a_later_signal_asks_to_hurry_unless_it_is_the_first_passed_on(
    came: list[tuple[float, signal.Signals]], asked: list[bool]
) -> None:
    heard: list[bool] = []
    times = iter([at for at, number in came if number is not HUP])
    escalation = signals.Escalation(heard.append, clock=lambda: next(times))
    for _, number in came:
        escalation(number, None)
    assert heard == asked


# -- in forks ------------------------------------------------------------------------------------------------------------------


async def test_a_fork_has_the_handlers_of_before(host: list[str]) -> None:
    before = signal.getsignal(signal.SIGUSR1)

    def child() -> bool:
        same = signal.getsignal(signal.SIGUSR1) is before and signal.set_wakeup_fd(-1) == -1
        signal.raise_signal(signal.SIGUSR1)
        return same and host == ["host"]

    with guest(host), guest(host):
        assert end_of(child) == 1
        signal.raise_signal(signal.SIGUSR1)
        assert host == ["ours", "ours", "host"]


async def test_a_signal_reaches_a_fork_however_soon_it_comes() -> None:
    """Python drops what comes before it has dealt with the fork."""
    with guest([]):
        for _ in range(20):
            pid = os.fork()
            if not pid:
                time.sleep(1)  # noqa: ASYNC251 - it is no loop's any more
                os._exit(0)
            os.kill(pid, signal.SIGUSR1)
            assert exit_code(pid) == -signal.SIGUSR1
        assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()


async def test_a_handler_in_the_place_of_others_is_there_in_no_fork(host: list[str]) -> None:
    def grandchild() -> bool:
        signal.raise_signal(signal.SIGUSR1)
        return host == ["ours", "host"]

    def child() -> bool:
        signals.replace([signal.SIGUSR1], lambda *_: host.append("ours"))
        signal.raise_signal(signal.SIGUSR1)
        return host == ["ours"] and end_of(grandchild) == 1

    assert end_of(child) == 1, "in a fork, since it stays for good"


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
