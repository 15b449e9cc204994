"""The hub on its own: what it keeps of those who have listened."""

import asyncio
import gc
import weakref

from connect.events import Event
from connect.hub import Hub


def test_a_loop_on_which_nobody_listens_any_more_is_let_go() -> None:
    hub, loops = Hub(), list[weakref.ref[asyncio.AbstractEventLoop]]()

    async def listen() -> None:
        heard = asyncio.Event()
        remove = hub.on(Event, lambda _: heard.set())
        hub.emit(Event())
        await heard.wait()
        remove()
        loops.append(weakref.ref(asyncio.get_running_loop()))

    for _ in range(3):
        asyncio.run(listen())
    gc.collect()
    assert [loop() for loop in loops] == [None, None, None]


async def test_whoever_listens_on_goes_on_hearing_when_another_stops() -> None:
    hub, heard = Hub(), list[str]()
    stop = hub.on(Event, lambda _: heard.append("first"))
    hub.on(Event, lambda _: heard.append("second"))
    hub.emit(Event())
    stop()
    hub.emit(Event())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert heard == ["first", "second", "second"]
