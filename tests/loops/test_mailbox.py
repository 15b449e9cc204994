"""A mailbox hands calls over to another loop: in order, none lost, with few wake-ups."""

import asyncio
import threading
from typing import Any

import pytest

from connect.loops.mailbox import Mailbox


async def test_calls_that_come_together_share_a_wake_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred calls that are posted in one turn wake the loop once, and run in order."""
    loop, ran = asyncio.get_running_loop(), list[int]()
    wake, wakes = loop.call_soon_threadsafe, list[Any]()
    monkeypatch.setattr(loop, "call_soon_threadsafe", lambda *call: (wakes.append(call), wake(*call)))
    mailbox = Mailbox(loop)
    for number in range(100):
        mailbox.post(ran.append, number)
    await asyncio.sleep(0)
    assert (ran, len(wakes)) == (list(range(100)), 1)
    mailbox.post(ran.append, 100)
    await asyncio.sleep(0)
    assert (ran[-1], len(wakes)) == (100, 2)


async def test_no_call_of_another_thread_is_lost_or_overtakes_another() -> None:
    """This holds however posting and delivering interleave."""
    loop, ran, last = asyncio.get_running_loop(), list[int](), 20_000
    mailbox, done = Mailbox(loop), asyncio.Event()

    def post() -> None:
        for number in range(last):
            mailbox.post(ran.append, number)
        mailbox.post(done.set)

    thread = threading.Thread(target=post)
    thread.start()
    async with asyncio.timeout(30):
        await done.wait()
    thread.join()
    assert ran == list(range(last))


async def test_a_call_that_raises_takes_no_other_with_it() -> None:
    """The loop reports it as it does for any callback, and the calls behind it run."""
    loop, ran, reported = asyncio.get_running_loop(), list[int](), list[Any]()
    loop.set_exception_handler(lambda _, context: reported.append(context["exception"]))
    mailbox = Mailbox(loop)
    mailbox.post(lambda: 1 // 0)
    mailbox.post(ran.append, 1)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert ran == [1]
    assert [type(error) for error in reported] == [ZeroDivisionError]


async def test_a_closed_loop_is_refused_every_time() -> None:
    """The mailbox keeps nothing that was posted to it."""
    loop = asyncio.new_event_loop()
    loop.close()
    mailbox = Mailbox(loop)
    for _ in range(2):
        with pytest.raises(RuntimeError):
            mailbox.post(print)
    assert not mailbox._calls


async def test_a_poster_that_keeps_up_does_not_keep_the_loop_to_itself() -> None:
    """Events may come faster than a listener handles them; functions on the same loop run all the same."""
    loop, posted, turns = asyncio.get_running_loop(), 100, 0
    mailbox, done = Mailbox(loop), asyncio.Event()

    def again(left: int) -> None:
        if left:
            mailbox.post(again, left - 1)
        else:
            done.set()

    mailbox.post(again, posted)
    while not done.is_set():
        turns += 1
        await asyncio.sleep(0)
    assert turns >= posted
