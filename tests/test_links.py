"""Links: which carries work, which was replaced, which are alive, and what listeners hear of them."""

import asyncio
from typing import Any

import pytest

from connect.events import Connected, Disconnected, Event
from connect.links import Links
from connect.listeners import Listeners


class Named:
    """As much of a link as is needed here."""

    def __init__(self, name: str) -> None:
        self.connection_id = name
        self.group = f"group of {name}"


def named(*names: str) -> Any:
    """Links with these names."""
    return [Named(name) for name in names]


@pytest.fixture
async def heard() -> list[Event]:
    return []


@pytest.fixture
async def links(heard: list[Event]) -> Links:
    listeners = Listeners()
    listeners.on(Event, heard.append)
    return Links(listeners)


async def delivered() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_a_link_that_is_ready_takes_the_place_of_the_one_before(links: Links) -> None:
    first, second = named("first", "second")
    links.replace_current(first)
    assert (links.current, links.old) == (first, None)
    links.replace_current(second)
    assert (links.current, links.old) == (second, first)


async def test_a_link_that_was_replaced_is_kept_until_it_is_closed(links: Links) -> None:
    first, second = named("first", "second")
    links.replace_current(first)
    links.replace_current(second)
    links.drop(first)
    assert (links.current, links.old) == (second, None)
    links.drop(second)
    assert (links.current, links.old) == (None, None)
    links.drop(second)


async def test_where_the_current_link_is_gone_its_successor_leaves_the_old_one_in_its_place(links: Links) -> None:
    """The old one may still wait for confirmations."""
    first, second, third = named("first", "second", "third")
    links.replace_current(first)
    links.replace_current(second)
    links.drop(second)
    links.replace_current(third)
    assert (links.current, links.old) == (third, first)


async def test_links_are_alive_from_their_making_to_their_end_the_oldest_first(links: Links) -> None:
    """What was read once does not change afterwards: other threads read it."""
    first, second = named("first", "second")
    links.add(first)
    links.add(second)
    before = links.alive
    assert before == (first, second)
    links.remove(first)
    links.remove(first)
    assert links.alive == (second,)
    assert before == (first, second)


async def test_listeners_hear_of_each_link_that_was_in_use_once_at_either_end(links: Links, heard: list[Event]) -> None:
    used, unused = named("used", "unused")
    links.tell_connected(used)
    for _ in range(2):
        links.tell_disconnected(used, 1001, "bye")
        links.tell_disconnected(unused, 1006, "")
    await delivered()
    connected, disconnected = heard
    assert isinstance(connected, Connected)
    assert (connected.connection_id, connected.gateway_group) == ("used", "group of used")
    assert isinstance(disconnected, Disconnected)
    assert (disconnected.connection_id, disconnected.code, disconnected.reason) == ("used", 1001, "bye")
