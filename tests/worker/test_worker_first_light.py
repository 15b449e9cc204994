"""The main path of a worker, from end to end."""

from typing import Any

import pytest

from connect import ConnectionState, events
from connect.gateway import Gateway

pytestmark = pytest.mark.oldest


async def test_a_function_runs_and_its_result_comes_back(gw: Gateway, start: Any) -> None:
    worker = await start()
    run = await gw.invoke("app-echo", {"value": 42})
    assert (run.status, run.output) == ("completed", 42)
    await worker.close(wait=True)
    assert worker.get_state() is ConnectionState.CLOSED
    assert gw.ledger.summary()["lost"] == 0


async def test_a_drain_makes_the_new_link_before_it_breaks_the_old(gw: Gateway, start: Any) -> None:
    worker = await start()
    first = worker.get_connection_id()
    await gw.drain()
    await worker.hears(events.Connected, 2)
    assert worker.get_connection_id() != first
    run = await gw.invoke("app-echo", {"value": 1})
    assert run.status == "completed"
    await worker.close(wait=True)


async def test_a_dropped_link_is_replaced(gw: Gateway, start: Any) -> None:
    worker = await start()
    gw.connections[0].drop()
    await worker.hears(events.Connected, 2)
    run = await gw.invoke("app-echo", {"value": 1})
    assert run.status == "completed"
    await worker.close(wait=True)
