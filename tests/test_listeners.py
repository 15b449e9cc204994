"""Listeners hear each event of their kind once, in order, on the loop that they came from."""

import asyncio
import gc
import threading
import weakref

import pytest

from connect.events import Closed, Connected, Draining, Event, LinkOpened, Moved
from connect.listeners import Listeners
from statecharts.binding import Move


def link_opened(name: str) -> LinkOpened:
    return LinkOpened(connection_id=name)


async def delivered() -> None:
    """Until what was told so far has been delivered on this loop."""
    for _ in range(3):
        await asyncio.sleep(0)


# -- who hears what --------------------------------------------------------------------------------------------------------------


async def test_each_event_is_heard_by_the_listeners_of_its_kind_in_order() -> None:
    """A listener for `Event` hears all."""
    listeners, opened, everything = Listeners(), list[Event](), list[Event]()
    listeners.on(LinkOpened, opened.append)
    listeners.on(Event, everything.append)
    told = [link_opened("a"), Draining(by="worker", connection_id=None), link_opened("b")]
    for event in told:
        listeners.emit(event)
    assert (opened, everything) == ([], []), "emit itself calls no listener"
    await delivered()
    assert opened == [told[0], told[2]]
    assert everything == told


async def test_a_listener_goes_on_hearing_when_another_stops() -> None:
    listeners, heard = Listeners(), list[str]()
    stop = listeners.on(Event, lambda _: heard.append("first"))
    listeners.on(Event, lambda _: heard.append("second"))
    listeners.emit(Event())
    stop()
    stop()
    listeners.emit(Event())
    await delivered()
    assert heard == ["first", "second", "second"]


async def test_a_listener_may_stop_itself_and_others_may_come_while_one_is_called() -> None:
    listeners, heard = Listeners(), list[str]()

    def once(_: Event) -> None:
        stop()
        heard.append("once")
        listeners.on(Event, lambda _: heard.append("new"))

    stop = listeners.on(Event, once)
    for _ in range(2):
        listeners.emit(Event())
        await delivered()
    assert heard == ["once", "new"]


async def test_a_listener_that_raises_is_logged_and_keeps_no_other_from_hearing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    listeners, heard = Listeners(), list[Event]()

    def broken(_: LinkOpened) -> None:
        raise ZeroDivisionError("the user's bug")

    listeners.on(LinkOpened, broken)
    listeners.on(LinkOpened, heard.append)
    listeners.emit(link_opened("a"))
    listeners.emit(link_opened("b"))
    await delivered()
    assert [event.connection_id for event in heard if isinstance(event, LinkOpened)] == ["a", "b"]
    said = [record.getMessage() for record in caplog.records]
    assert said == ["a listener for LinkOpened raised; the worker goes on"] * 2
    assert all(record.exc_info and record.exc_info[0] is ZeroDivisionError for record in caplog.records)


def test_it_knows_for_which_kinds_there_is_a_listener() -> None:
    """Also after one has come or gone."""
    listeners = Listeners()
    assert not listeners.wants(LinkOpened)
    stop = listeners.on(LinkOpened, print)
    assert (listeners.wants(LinkOpened), listeners.wants(Connected)) == (True, False)
    stop_all = listeners.on(Event, print)
    assert listeners.wants(Connected)
    stop()
    assert listeners.wants(LinkOpened)
    stop_all()
    assert not listeners.wants(LinkOpened)


async def test_a_move_of_a_chart_is_told_with_its_chart_and_link() -> None:
    listeners, heard = Listeners(), list[Moved]()
    move = Move(event="ready", source=("HANDSHAKE",), target=("UP", "READY"))
    listeners.emit_move("link", "01LINK", move)
    listeners.on(Moved, heard.append)
    listeners.emit_move("link", "01LINK", move)
    await delivered()
    (moved,) = heard
    assert (moved.chart, moved.connection_id, moved.event) == ("link", "01LINK", "ready")
    assert (moved.source, moved.target) == (("HANDSHAKE",), ("UP", "READY"))


# -- where it is heard -----------------------------------------------------------------------------------------------------------


async def test_a_listener_is_called_on_the_loop_that_it_came_from() -> None:
    """Here the events come from a thread, as the connection's do."""
    listeners, heard = Listeners(), list[tuple[Event, int]]()
    last = asyncio.Event()
    listeners.on(LinkOpened, lambda event: heard.append((event, threading.get_ident())))
    listeners.on(Closed, lambda _: last.set())
    told = [link_opened(str(number)) for number in range(1000)]

    def tell() -> None:
        for event in told:
            listeners.emit(event)
        listeners.emit(Closed(error=None))

    thread = threading.Thread(target=tell)
    thread.start()
    async with asyncio.timeout(10):
        await last.wait()
    thread.join()
    assert heard == [(event, threading.get_ident()) for event in told]


def test_a_listener_from_outside_of_any_loop_is_called_on_the_default_loop() -> None:
    """Before there is one it hears nothing."""
    listeners, heard = Listeners(), list[str]()
    listeners.on(LinkOpened, lambda event: heard.append(event.connection_id))
    listeners.emit(link_opened("too early"))

    async def body() -> None:
        listeners.set_default_loop(asyncio.get_running_loop())
        listeners.emit(link_opened("a"))
        await delivered()

    asyncio.run(body())
    assert heard == ["a"]


def test_a_loop_without_listeners_is_let_go() -> None:
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


def test_a_listener_whose_loop_is_closed_harms_nothing() -> None:
    listeners, heard = Listeners(), list[str]()

    async def listen_and_leave() -> None:
        listeners.on(Event, lambda _: heard.append("gone"))

    asyncio.run(listen_and_leave())

    async def body() -> None:
        listeners.on(Event, lambda _: heard.append("here"))
        for _ in range(2):
            listeners.emit(Event())
        await delivered()

    asyncio.run(body())
    assert heard == ["here", "here"]


# -- as an iterator --------------------------------------------------------------------------------------------------------------


async def test_events_come_one_after_the_other_up_to_the_last() -> None:
    listeners, heard = Listeners(), list[Event]()
    told = [link_opened("a"), link_opened("b"), Closed(error=None)]

    async def listen() -> None:
        async for event in listeners.events():
            heard.append(event)

    listening = asyncio.create_task(listen())
    await delivered()
    for event in told:
        listeners.emit(event)
    async with asyncio.timeout(10):
        await listening
    assert heard == told
    assert not listeners.wants(LinkOpened)


async def test_an_iterator_that_is_left_hears_no_more() -> None:
    listeners = Listeners()
    events = listeners.events()
    asyncio.get_running_loop().call_soon(listeners.emit, link_opened("a"))
    assert isinstance(await anext(events), LinkOpened)
    await events.aclose()  # type: ignore[attr-defined]
    assert not listeners.wants(LinkOpened)
