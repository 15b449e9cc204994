"""The history keeps the state, and the last changes of it, each of which listeners hear once."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from connect.events import StateChanged
from connect.history import KEPT, History
from connect.listeners import Listeners
from connect.status import ConnectionState

CONNECTING, ACTIVE, DRAINING = ConnectionState.CONNECTING, ConnectionState.ACTIVE, ConnectionState.DRAINING

Told = Callable[[], Awaitable[list[StateChanged]]]


@pytest.fixture
async def listeners() -> Listeners:
    return Listeners()


@pytest.fixture
async def told(listeners: Listeners) -> Told:
    """What listeners have heard so far."""
    heard: list[StateChanged] = []
    listeners.on(StateChanged, heard.append)

    async def so_far() -> list[StateChanged]:
        for _ in range(3):
            await asyncio.sleep(0)
        return heard

    return so_far


async def test_the_first_change_comes_from_nowhere(listeners: Listeners, told: Told) -> None:
    history = History(listeners)
    assert (history.state, history.changes) == (CONNECTING, ())
    history.begin()
    (change,) = history.changes
    assert (change.from_state, change.to_state, change.event) == (None, CONNECTING, "start")
    assert change.at == pytest.approx(time.time(), abs=60)
    (event,) = await told()
    assert (event.from_state, event.to_state, event.event, event.connection_id) == (None, CONNECTING, "start", None)


async def test_a_change_of_the_outermost_state_is_kept_and_told(listeners: Listeners, told: Told) -> None:
    history = History(listeners)
    history.enter(("CONNECTING",), "")
    history.connection_id = "01LINK"
    history.enter(("ACTIVE",), "link_ready")
    history.enter(("DRAINING", "REPLACING"), "gateway_closing")
    assert history.state is DRAINING
    assert [(change.from_state, change.to_state, change.event) for change in history.changes] == [
        (CONNECTING, ACTIVE, "link_ready"),
        (ACTIVE, DRAINING, "gateway_closing"),
    ]
    assert [(event.to_state, event.connection_id) for event in await told()] == [
        (ACTIVE, "01LINK"),
        (DRAINING, "01LINK"),
    ]


async def test_an_inner_change_is_kept_as_a_path_alone(listeners: Listeners, told: Told) -> None:
    history = History(listeners)
    history.enter(("DRAINING", "REPLACING"), "gateway_closing")
    history.enter(("DRAINING", "STOPPING"), "shutdown")
    assert history.path == ("DRAINING", "STOPPING")
    assert len(history.changes) == 1
    assert len(await told()) == 1


async def test_only_the_newest_changes_are_kept(listeners: Listeners) -> None:
    """What was read once does not change afterwards: other threads read it."""
    history = History(listeners)
    history.enter(("ACTIVE",), "0")
    before = history.changes
    for number in range(1, KEPT + 10):
        history.enter(("DRAINING",) if number % 2 else ("ACTIVE",), str(number))
    assert len(history.changes) == KEPT
    assert [change.event for change in history.changes] == [str(number) for number in range(10, KEPT + 10)]
    assert len(before) == 1
