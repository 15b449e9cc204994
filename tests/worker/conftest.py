"""Fixtures for tests of the whole worker alone: servers for the drop-in tests, and ways to break a frame or an action."""

import asyncio
import functools
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from official import Server, within
from rig import ACTIVE, Running
from rig_fixtures import apps, gw, held, no_bug_is_reported, no_thread_is_left, quiet, spoilt, start
from spoilt_network import Spoilt

from connect.gateway import Gateway

__all__ = ["apps", "gw", "held", "no_bug_is_reported", "no_thread_is_left", "quiet", "spoilt", "start"]


@pytest.fixture(params=["embedded", pytest.param("real", marks=pytest.mark.real_server)])
async def server(request: pytest.FixtureRequest, gw: Gateway) -> AsyncIterator[Server]:
    if request.param == "embedded":
        gw.heartbeat_interval = "1s"  # no test of these asks whether three of them come in time
        made = Server(gw.url, long_step=0.6, gateway=gw)
    else:
        named = os.environ.get("INNGEST_DEV", "")
        if named in ("", "0", "false"):
            pytest.skip(
                "INNGEST_DEV names no server: set it to http://127.0.0.1:8288, or to 1, with a dev server running"
            )
        made = Server(named if named.startswith("http") else "http://127.0.0.1:8288", long_step=70.0)
    yield made
    await made.client._http_client._http_client.aclose()  # it has no public way to let go of what it sent events over


@pytest.fixture
async def embedded(gw: Gateway) -> AsyncIterator[Server]:
    gw.heartbeat_interval = "1s"
    made = Server(gw.url, long_step=0.6, gateway=gw)
    yield made
    await made.client._http_client._http_client.aclose()


@pytest.fixture
async def run() -> AsyncIterator[Callable[..., Any]]:
    """Start a worker that `connect` made, and wait until it is ACTIVE unless told otherwise; at the end close it."""
    started: list[Running] = []

    async def begin(connection: Any, *, ready: bool = True) -> Running:
        worker = Running(connection)
        started.append(worker)
        if ready:
            await within(connection.wait_for_state(ACTIVE))
        return worker

    yield begin
    for worker in started:
        await worker.connection.close()
        await asyncio.wait([worker.task], timeout=10)
        assert worker.task.done()
        worker.task.exception()


@pytest.fixture
def break_write(spoilt: Spoilt) -> Callable[..., None]:
    """`break_write(kind)`: writing the next frame of *kind* (or *count* of them) raises in the worker; its socket stays open."""
    left: Counter[int] = Counter()

    async def before(kind: int) -> None:
        if left[kind]:
            left[kind] -= 1
            raise ConnectionResetError("Cannot write to closing transport")

    spoilt.before.append(before)

    def arm(kind: int, count: int = 1) -> None:
        left[kind] += count

    return arm


@pytest.fixture
def breaks(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`breaks(owner, name, nth)`: the *nth* call of that action raises. `rig.reported` checks what the worker logs then."""

    def arm(owner: type[Any], name: str, nth: int = 1) -> None:
        action, calls = getattr(owner, name), Counter[str]()

        @functools.wraps(action)
        def broken(*args: Any, **data: Any) -> Any:
            calls[name] += 1
            if calls[name] == nth:
                raise ZeroDivisionError("a bug")
            return action(*args, **data)

        monkeypatch.setattr(owner, name, broken)

    return arm
