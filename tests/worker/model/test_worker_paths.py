"""A shortest path to every transition of every chart, and to every guard that refuses, played with the real worker.

The paths come from the charts (`routes`), and each test is called after the events of its path; how the world brings the events
about is told by a class for each chart. The journal of the real chart has to be, step by step, what the model did.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from connection_world import ConnectionWorld
from link_world import LinkWorld
from request_world import RequestWorld
from rig import Apps, reported
from routes import Path, goals, paths_of
from world import World

from connect.gateway import Gateway
from statecharts import Connection, Link, Request, model
from statecharts.tools.walking.paths import Move

WORLDS: dict[type[Any], type[World]] = {
    Connection: ConnectionWorld,
    Link: LinkWorld,
    Request: RequestWorld,
}
PATHS = [path for chart, world in WORLDS.items() for path in paths_of(chart, world.needs)]


@pytest.mark.parametrize("chart", WORLDS, ids=lambda chart: chart.__name__)
def test_every_transition_and_every_refusal_has_a_path(chart: type[Any]) -> None:
    shown = {goal for path in PATHS for goal in path.goals}
    missing = [goal for goal in goals(model.read(chart)) if goal not in shown]
    assert not missing, f"no path shows them; what the world needs for an event is in {WORLDS[chart].__name__}.needs"


@pytest.mark.parametrize("path", PATHS, ids=str)
async def test_path(
    path: Path,
    gw: Gateway,
    quiet: None,
    apps: Apps,
    start: Callable[..., Any],
    breaks: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = WORLDS[path.chart](path, gw, apps, start, breaks, monkeypatch)
    try:
        await world.play()
    finally:
        await world.end()
    if "error_execution" in path.events:
        reported(caplog)


async def test_an_event_that_the_world_cannot_bring_about_says_what_to_write(
    gw: Gateway, apps: Apps, start: Callable[..., Any], breaks: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = ConnectionWorld(replace(PATHS[0], moves=(Move("earthquake"),)), gw, apps, start, breaks, monkeypatch)
    with pytest.raises(pytest.fail.Exception, match=r"write `async def earthquake\(self\)` in connection_world"):
        await world.play()
