"""Listeners on their own: what it keeps of those who have listened."""

import asyncio
import gc
import weakref

from connect.events import Event
from connect.listeners import Listeners


def test_a_loop_on_which_nobody_listens_any_more_is_let_go() -> None:
    listeners, loops = Listeners(), list[weakref.ref[asyncio.AbstractEventLoop]]()

    async def listen() -> None:
        heard = asyncio.Event()
        remove = listeners.on(Event, lambda _: heard.set())
        listeners.emit(Event())
        await heard.wait()
        remove()
        loops.append(weakref.ref(asyncio.get_running_loop()))

    for _ in range(3):
        asyncio.run(listen())
    gc.collect()
    assert [loop() for loop in loops] == [None, None, None]


async def test_whoever_listens_on_goes_on_hearing_when_another_stops() -> None:
    listeners, heard = Listeners(), list[str]()
    stop = listeners.on(Event, lambda _: heard.append("first"))
    listeners.on(Event, lambda _: heard.append("second"))
    listeners.emit(Event())
    stop()
    listeners.emit(Event())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert heard == ["first", "second", "second"]
