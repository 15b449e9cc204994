"""With `isolation="process"` functions run in processes, behind one connection."""

import asyncio
import json
import os
from collections import Counter
from typing import Any

import psutil
import pytest
from visits import PATIENCE, Door

from connect import ConfigurationError, Deadlines, connect
from connect.gateway import Gateway, Kind
from connect.wire import SDKResponseStatus


async def pids(gw: Gateway, count: int, seconds: float = 0.0) -> "Counter[Any]":
    """The process ids that served *count* runs at once, each of which took *seconds*."""
    async with asyncio.timeout(PATIENCE):
        ended = await asyncio.gather(*(gw.invoke("app-pid", {"seconds": seconds}) for _ in range(count)))
    return Counter(run.output for run in ended)


async def test_the_processes_share_the_load_behind_one_connection(gw: Gateway, start: Any) -> None:
    worker = await start(processes=2)
    served = await pids(gw, 60, seconds=0.01)
    assert sum(served.values()) == 60
    assert len(served) == 2
    assert min(served.values()) >= 20, served
    assert len(gw.connections) == 1
    told = worker.status().processes
    assert {each.pid: each.served for each in told} == served
    assert [(each.number, each.in_flight, each.restarts) for each in sorted(told, key=lambda each: each.number)] == [
        (1, 0, 0),
        (2, 0, 0),
    ]


async def test_work_goes_to_the_process_with_the_fewest_in_flight(gw: Gateway, start: Any, door: Door) -> None:
    worker = await start(processes=2)
    for _ in range(4):
        gw.start_run("app-wait", {"door": door.port})
    visits = await door.visits(4)
    assert sorted(Counter(visit.pid for visit in visits).values()) == [2, 2]
    freed = visits[0].pid
    for visit in visits:
        if visit.pid == freed:
            visit.let_go()
            await visit.last_words()
    await gw.until(lambda: sum(each.in_flight for each in worker.status().processes) == 2, timeout=PATIENCE)
    assert set(await pids(gw, 2)) == {freed}


async def test_a_process_that_stands_still_delays_neither_the_others_nor_a_beat_nor_a_lease(
    gw: Gateway, start: Any, door: Door
) -> None:
    """User code holds its process's interpreter lock for 16 intervals."""
    gw.heartbeat_interval = gw.extend_lease_interval = "100ms"
    await start(processes=2)
    seconds = 16 * 0.1
    held = gw.start_run("app-hold_gil", {"door": door.port, "seconds": seconds})
    visit = await door.visit()
    beats = len(gw.frames(Kind.WORKER_HEARTBEAT))
    for _ in range(20):
        assert visit.pid not in await pids(gw, 1)
    async with asyncio.timeout(PATIENCE):
        assert (await held.done()).output == visit.pid
    request = gw.ledger[held.requests[0]]
    # Undisturbed there are 15 or 16 of each; a loaded machine sends fewer.
    assert len(gw.frames(Kind.WORKER_HEARTBEAT)) - beats >= 8
    assert request.extended >= 8
    assert (request.nacked, request.status, len(request.dispatched)) == (0, "replied", 1)


async def test_a_lost_lease_cancels_the_function_in_its_process(gw: Gateway, start: Any, door: Door) -> None:
    await start(processes=1)
    gw.faults.nack()
    gw.start_run("app-wait", {"door": door.port})
    visit = await door.visit()
    assert await visit.last_words() == "cancelled"


async def test_a_graceful_shutdown_finishes_the_work_of_all_processes(gw: Gateway, start: Any, door: Door) -> None:
    worker = await start(processes=2)
    started = [gw.start_run("app-wait", {"door": door.port}) for _ in range(4)]
    visits = await door.visits(4)
    assert len({visit.pid for visit in visits}) == 2
    await worker.close()
    await gw.wait_for(Kind.WORKER_PAUSE)
    for visit in visits:
        visit.let_go()
    async with asyncio.timeout(PATIENCE):
        assert {(await run.done()).output for run in started} == {visit.pid for visit in visits}
        await worker.closed()
    assert not any(psutil.pid_exists(visit.pid) for visit in visits)


async def test_a_shutdown_in_a_hurry_cancels_the_functions_and_answers(gw: Gateway, start: Any, door: Door) -> None:
    worker = await start(processes=1, shutdown_timeout=0.05)
    run = gw.start_run("app-wait", {"door": door.port})
    visit = await door.visit()
    await worker.close(wait=True)
    assert await visit.last_words() == "cancelled"
    assert b"WorkerShutdown" in gw.ledger[run.requests[0]].reply.body  # type: ignore[union-attr]


async def test_what_cannot_be_stopped_ends_with_its_process(gw: Gateway, start: Any, door: Door) -> None:
    """One function blocks a thread, one its loop. Both end with their process, and neither is reported as stuck."""
    impatient = Deadlines(pause=0.01, settle=0.3, process_end=1.5)
    worker = await start(processes=2, shutdown_timeout=0.05, flush_timeout=0.1, deadlines=impatient)
    gw.start_run("app-wait_for_ever", {"door": door.port})
    on_a_thread = await door.visit()
    gw.start_run("app-spin", {"door": door.port})
    in_the_loop = await door.visit()
    await worker.close(wait=True)
    assert worker.stuck() == []
    assert await on_a_thread.last_words() == ""
    assert await in_the_loop.last_words() == "unwound", "it was told by SIGTERM, not killed at once"


async def test_each_process_is_relieved_after_its_share_and_nothing_is_lost(gw: Gateway, start: Any) -> None:
    worker = await start(processes=2, recycle_after=20)
    first = {each.pid for each in worker.status().processes}
    served: Counter[Any] = Counter()
    async with asyncio.timeout(PATIENCE):
        while len(served) < 4:
            served += await pids(gw, 20, seconds=0.1)
            assert len(worker.status().processes) >= 2, "one is gone, and no successor there"
    assert first < set(served)
    for pid, count in served.items():
        assert count >= 20 or pid in {each.pid for each in worker.status().processes}
    assert gw.ledger.summary()["lost"] == 0
    assert {request.reply.status for request in gw.ledger if request.reply} == {SDKResponseStatus.DONE}
    assert gw.ledger.summary()["duplicates"] == 0
    await gw.until(lambda: len(worker.status().processes) <= 3, timeout=PATIENCE)
    assert max(each.restarts for each in worker.status().processes) >= 1


async def test_one_that_is_relieved_finishes_what_it_has(gw: Gateway, start: Any, door: Door) -> None:
    worker = await start(processes=1, recycle_after=2)
    [old] = worker.status().processes
    run = gw.start_run("app-wait", {"door": door.port})
    visit = await door.visit()
    while old.pid in await pids(gw, 1, seconds=0.05):
        pass
    assert [each.in_flight for each in worker.status().processes if each.pid == old.pid] == [1]
    visit.let_go()
    async with asyncio.timeout(PATIENCE):
        assert (await run.done()).output == old.pid
    await gw.until(lambda: old.pid not in {each.pid for each in worker.status().processes}, timeout=PATIENCE)


async def test_log_records_name_their_process(gw: Gateway, start: Any, capfd: pytest.CaptureFixture[str]) -> None:
    await start(processes=1)
    assert (await gw.invoke("app-speak")).status == "completed"
    out, err = capfd.readouterr()
    assert "said to stdout" in out
    assert "said to stderr" in err
    assert "WARNING connect-1 pool: said to the log" in err
    assert "whispered" not in err


async def test_a_signing_key_that_is_an_option_reaches_the_processes_in_secret(
    gw: Gateway, start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POOL_IN_CLOUD", "1")
    key = "signkey-test-" + "0f" * 16
    gw.signing_keys = [key]
    worker = await start(processes=1, signing_key=key)
    run = await gw.invoke("app-surroundings")
    assert run.status == "completed"
    assert "0f0f" not in json.dumps([run.output["arguments"], run.output["environment"]])
    assert "0f0f" not in repr(worker.status()) + repr(worker._known) + repr(worker._processes)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"apps": [], "isolation": "process"}, 'pass their name, "MODULE:APPS"'),
        ({"isolation": "process", "processes": 0}, "processes is 0: it must be more than 0"),
        ({"isolation": "process", "processes": -1}, "processes is -1"),
        ({"isolation": "process", "recycle_after": 0}, "recycle_after is 0: it must be more than 0"),
        ({"processes": 2}, "processes is 2, but isolation is 'thread': pass isolation=\"process\""),
        ({"isolation": "none", "recycle_after": 2}, "recycle_after is 2, but isolation is 'none'"),
        ({"isolation": "process", "executor": object()}, "leave one of them out"),
        ({"isolation": "fork"}, "must be one of thread, none, process"),
    ],
)
def test_misuse_is_refused_with_its_cure(options: Any, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said.replace("(", r"\(")):
        connect(**{"apps": "pool_functions:apps", **options})


def test_by_default_there_is_a_process_for_each_core() -> None:
    made = connect("pool_functions:apps", isolation="process")._known.processes
    assert made is not None
    assert made.count == len(os.sched_getaffinity(0))
