"""What holds in every isolation, as the gateway sees it: on the connection's loop, on the caller's, and in processes."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from visits import PATIENCE, Door

from connect import events
from connect.gateway import Answer, Ended, Gateway, Kind

MIB = 2**20
DOWN = Answer(500)
BEAT = 0.15
"""Seconds between beats, and between extensions, of the tests that count them."""
STANDSTILL = 18 * BEAT
PATIENT = 8 * BEAT
"""What the gateway allows between two of either: less than half of a standstill, and more than a loaded machine takes."""

ROUTES = {
    ("ACTIVE", "gateway_closing", "DRAINING · REPLACING"),
    ("DRAINING · REPLACING", "link_ready", "ACTIVE"),
    ("ACTIVE", "link_lost", "RECONNECTING"),
    ("RECONNECTING", "link_ready", "ACTIVE"),
    ("ACTIVE", "shutdown", "DRAINING · STOPPING"),
    ("DRAINING · STOPPING", "handlers_ended", "DRAINING · STOPPING"),
    ("DRAINING · STOPPING", "", "CLOSED"),
}
"""Of the connection chart, from the first ACTIVE on: where from, by which event, where to."""


@pytest.fixture(params=["none", "thread", "process"])
def worker_in(request: pytest.FixtureRequest, start: Any) -> Callable[..., Any]:
    """Start a worker in each isolation in turn."""

    async def begin(**options: Any) -> Any:
        share = {"processes": 2} if request.param == "process" else {}
        return await start(isolation=request.param, **share, **options)

    return begin


async def done(run: Any) -> Any:
    async with asyncio.timeout(PATIENCE):
        return await run.done()


@pytest.mark.parametrize("size", [MIB, 4 * MIB])
async def test_large_payloads_go_both_ways(gw: Gateway, worker_in: Any, size: int) -> None:
    """Several go each way at once, over the one link, which stays."""
    gw.payload_limit = 16 * MIB  # an event travels twice: alone, and in the list of events
    await worker_in()
    texts = [str(n) * size for n in range(3)]
    ended = [await done(run) for run in [gw.start_run("app-echo", {"value": text}) for text in texts]]
    assert [run.output for run in ended] == texts
    assert {gw.ledger[run.requests[0]].via for run in ended} == {"socket"}
    assert len(gw.connections) == 1


@pytest.mark.parametrize(
    ("function", "error"),
    [("unserialisable", "OutputUnserializable"), ("leave_function", "FunctionExited"), ("odd", "Odd")],
)
async def test_what_a_function_does_wrong_is_its_own_failure(
    gw: Gateway, worker_in: Any, function: str, error: str
) -> None:
    await worker_in()
    assert (await done(gw.start_run(f"app-{function}"))).status == "failed"
    [failed] = gw.ledger
    assert error in failed.reply.body.decode()
    assert (await done(gw.start_run("app-echo", {"value": 1}))).output == 1
    assert len(gw.connections) == 1


async def test_a_function_may_write_to_stdout(gw: Gateway, worker_in: Any, capfd: pytest.CaptureFixture[str]) -> None:
    await worker_in()
    assert (await done(gw.start_run("app-speak"))).status == "completed"
    assert (await done(gw.start_run("app-echo", {"value": 1}))).output == 1
    assert "said to stdout" in capfd.readouterr().out


async def test_a_worker_takes_the_same_ways_through_its_life(gw: Gateway, worker_in: Any, door: Door) -> None:
    """With work in flight: a lost lease, a redelivery, a drain, a loss, a reply without a link, a shutdown."""
    moves: list[events.Moved] = []
    worker = await worker_in()
    worker.on(events.Moved, lambda move: moves.append(move) if move.chart == "connection" else None)

    lost = gw.start_run("app-wait", {"door": door.port})
    visit = await door.visit()
    gw.faults.nack()
    assert await visit.last_words() == "cancelled"

    run = gw.start_run("app-wait", {"door": door.port})
    visit = await door.visit()
    await gw.redeliver(run.requests[0])
    await gw.until(lambda: len(gw.ledger[run.requests[0]].acked) == 2)
    await gw.drain()
    await gw.wait_for(Kind.WORKER_READY, count=2)
    await gw.wait_for(lambda record: isinstance(record, Ended))
    gw.connections[0].drop()
    await gw.wait_for(Kind.WORKER_READY, count=3)
    gw.starts.standing = DOWN
    gw.connections[0].drop()
    visit.let_go()
    assert (await done(run)).status == "completed"
    request = gw.ledger[run.requests[0]]
    assert (request.via, request.nacked, len(request.dispatched), request.duplicates) == ("flush", 0, 2, 0)

    gw.starts.clear()
    await gw.wait_for_worker()
    last = gw.start_run("app-wait", {"door": door.port})
    visit = await door.visit()
    await worker.close()
    await gw.wait_for(Kind.WORKER_PAUSE)
    visit.let_go()
    assert (await done(last)).status == "completed"
    await worker.closed()
    taken = {(" · ".join(move.source), move.event, " · ".join(move.target)) for move in moves}
    assert taken == ROUTES
    assert lost.requests[0] not in {each.id for each in gw.ledger if each.reply}
    assert worker.status().unexpected_events == 0


@pytest.mark.parametrize(
    ("isolation", "function"),
    [("thread", "block"), ("thread", "spin"), ("process", "block"), ("process", "spin"), ("process", "hold_gil")],
)
async def test_beats_and_leases_go_on_while_user_code_stands_still(
    gw: Gateway, run: Any, door: Door, isolation: str, function: str
) -> None:
    """The gateway drops a silent connection, and gives up a request whose lease is not extended."""
    gw.heartbeat_interval = gw.extend_lease_interval = f"{round(BEAT * 1000)}ms"
    gw.heartbeat_timeout = gw.lease_duration = PATIENT
    gw.lease_grace = 0.0
    run("--isolation", isolation, *(("--processes", "1") if isolation == "process" else ()))
    await gw.wait_for_worker(timeout=PATIENCE)
    started = gw.start_run(f"app-{function}", {"door": door.port, "seconds": STANDSTILL})
    visit, beats = await door.visit(), len(gw.frames(Kind.WORKER_HEARTBEAT))
    assert (await done(started)).output == visit.pid
    request = gw.ledger[started.requests[0]]
    assert (request.status, request.nacked, len(request.dispatched)) == ("replied", 0, 1)
    assert not [record for record in gw.log if isinstance(record, Ended)]
    assert min(request.extended, len(gw.frames(Kind.WORKER_HEARTBEAT)) - beats) >= STANDSTILL / BEAT / 2
