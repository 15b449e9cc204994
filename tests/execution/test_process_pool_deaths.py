"""When a process dies its requests are answered, it is replaced, and the other processes work on. One that cannot start is reported
once.
"""

import asyncio
import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import psutil
import pytest
import tenacity
from visits import PATIENCE, Door

from connect import ConfigurationError, ConnectionState, Deadlines, connect
from connect.gateway import Gateway
from connect.wire import SDKResponseStatus

HEALING = tenacity.AsyncRetrying(sleep=lambda _: asyncio.sleep(0.05))
"""Whatever the backoff says, 50 ms."""


async def done(run: Any) -> Any:
    async with asyncio.timeout(PATIENCE):
        return await run.done()


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("exit", "exited with code 3"),
        ("sys.exit in a task of its own", "exited with code 4"),
        ("segfault", "was ended by SIGSEGV"),
        ("interrupt", "was ended by SIGINT"),
    ],
)
async def test_every_request_of_a_process_that_dies_is_told_why(
    gw: Gateway, start: Any, door: Door, caplog: pytest.LogCaptureFixture, how: str, told: str
) -> None:
    worker = await start(processes=1, retry=HEALING)
    [old] = worker.status().processes
    bystander = gw.start_run("app-wait", {"door": door.port})
    await door.visit()
    culprit = gw.start_run("app-end", {"how": how})
    for run in (await done(bystander), await done(culprit)):
        reply = gw.ledger[run.requests[0]].reply
        assert (reply.status, reply.no_retry) == (SDKResponseStatus.ERROR, False)
        error = json.loads(reply.body)
        assert error["name"] == "ProcessDied"
        assert error["message"].startswith(f"process 1 (pid {old.pid}) of the worker {told} while it ran this")
    assert (await gw.invoke("app-echo", {"value": 1})).output == 1
    [new] = worker.status().processes
    assert (new.number, new.restarts, new.pid != old.pid) == (1, 1, True)
    deaths = [record for record in caplog.records if told in record.getMessage()]
    assert [record.levelname for record in deaths] == ["ERROR", "WARNING", "WARNING"]
    assert [getattr(record, "function", None) for record in deaths] == [None, "app-wait", "app-end"]
    assert "while it ran 2 executions" in deaths[0].getMessage()


async def test_crashes_under_load_lose_nothing_and_answer_each_request_once(gw: Gateway, start: Any) -> None:
    worker = await start(processes=2, retry=HEALING)
    runs = [gw.start_run("app-fragile", {"crash": n % 40 == 20}) for n in range(120)]
    ended = [await done(run) for run in runs]
    assert {run.status for run in ended} == {"completed"}
    summary = gw.ledger.summary()
    assert (summary["lost"], summary["duplicates"], summary["strangers"]) == (0, 0, 0)
    assert summary["replied"] == summary["requests"] > 120
    died = [request for request in gw.ledger if b"ProcessDied" in request.reply.body]  # type: ignore[union-attr]
    assert len(died) >= 3
    await gw.until(lambda: len(worker.status().processes) == 2, timeout=PATIENCE)


async def test_one_that_is_killed_from_outside_is_replaced(gw: Gateway, start: Any) -> None:
    worker = await start(processes=1, retry=HEALING)
    [old] = worker.status().processes
    os.kill(old.pid, signal.SIGKILL)
    assert (await gw.invoke("app-pid")).output != old.pid


async def test_one_that_dies_while_it_finishes_its_share_is_told_of(
    gw: Gateway, start: Any, door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    worker = await start(processes=1, recycle_after=1)
    [old] = worker.status().processes
    run = gw.start_run("app-wait", {"door": door.port})
    await door.visit()
    assert (await gw.invoke("app-pid")).status == "completed"
    await gw.until(lambda: len(worker.status().processes) == 2, timeout=PATIENCE)
    os.kill(old.pid, signal.SIGKILL)
    assert "SIGKILL" in str((await done(run)).error)
    assert f"process 1 (pid {old.pid}) was ended by SIGKILL while it ran 1 executions" in caplog.text


async def test_what_it_forks_off_does_not_hide_its_death(gw: Gateway, start: Any, door: Door) -> None:
    """The fork outlives the process, with copies of all its open files."""
    worker = await start(processes=1, retry=HEALING)
    [old] = worker.status().processes
    assert (await gw.invoke("app-fork", {"door": door.port})).status == "completed"
    fork = await door.visit()
    await done(gw.start_run("app-end", {"how": "kill"}))
    assert (await gw.invoke("app-pid")).output != old.pid
    fork.let_go()
    await fork.last_words()


# -- starting ----------------------------------------------------------------------------------------------------------------

FICKLE = """
import os, sys, time
import multiprocessing
import pathlib
import pool_functions

if multiprocessing.current_process().name.startswith("connect-"):
    what = pathlib.Path(__file__).with_suffix(".todo").read_text()
    exec(what)
apps = pool_functions.apps
"""


class Fickle:
    """A module whose import, in a process, does what the test says."""

    def __init__(self, path: Path) -> None:
        self._todo = path / "fickle.todo"
        (path / "fickle.py").write_text(FICKLE)
        self.does("")

    def does(self, what: str) -> None:
        self._todo.write_text(what)


CALL_AND_SLEEP = """
import socket
door = socket.create_connection(("127.0.0.1", {port}))
door.sendall(f"{{os.getpid()}}\\n".encode())
time.sleep(600)
"""


@pytest.fixture
def fickle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(tmp_path)
    yield Fickle(tmp_path)
    sys.modules.pop("fickle", None)


@pytest.mark.parametrize(
    ("does", "said"),
    [
        ("raise ValueError('two\\nlines')", "cannot import 'fickle': ValueError: two lines"),
        ("sys.exit(7)", "it exited with code 7 before it had imported fickle:apps"),
        ("time.sleep(600)", "it has not imported them within 1 s"),
    ],
)
async def test_a_process_that_cannot_start_is_an_error_in_one_line(
    gw: Gateway, start: Any, fickle: Fickle, does: str, said: str
) -> None:
    fickle.does(does)
    impatient = {"deadlines": Deadlines(process_start=1.0, process_end=0.2)} if "sleep" in does else {}
    with pytest.raises(ConfigurationError) as raised:
        await start("fickle:apps", processes=1, **impatient)
    assert said in str(raised.value)
    assert "cannot run fickle:apps" in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not gw.connections


async def test_one_that_the_system_refuses_is_an_error(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(ConfigurationError, match=r"process 1 cannot be started: .*/nowhere/python"):
        await start(processes=1)


async def test_a_replacement_for_which_there_is_no_thread_is_tried_again_and_leaves_no_process(
    gw: Gateway, start: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A container's limit counts threads too: a process may start, and then the thread that waits for its end may not."""
    worker = await start(processes=1, retry=HEALING)
    [old] = worker.status().processes
    before, start_thread, refused = psutil.Process().children(), threading.Thread.start, list[psutil.Process]()

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "connect-1-end" and not refused:
            refused.extend(child for child in psutil.Process().children() if child not in before)
            raise RuntimeError("can't start new thread")
        start_thread(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    os.kill(old.pid, signal.SIGKILL)
    async with asyncio.timeout(PATIENCE):
        while (await gw.invoke("app-pid", {"seconds": 0.05})).status != "completed":
            pass
    assert "process 1 cannot be started: can't start new thread" in caplog.text
    assert len(refused) == 1
    assert not refused[0].is_running()


async def test_a_process_that_starts_a_worker_when_it_imports_is_an_error(
    gw: Gateway, start: Any, fickle: Fickle
) -> None:
    """Each of its processes would start others."""
    fickle.does(
        "import asyncio, connect\n"
        f"asyncio.run(connect.connect('pool_functions:apps', isolation='process', api_base_url={gw.url!r}).start())"
    )
    with pytest.raises(ConfigurationError, match="put that under `if __name__ =="):
        await start("fickle:apps", processes=1)


async def test_a_replacement_that_cannot_start_is_tried_again_and_requests_are_told(
    gw: Gateway, start: Any, fickle: Fickle, caplog: pytest.LogCaptureFixture
) -> None:
    await start("fickle:apps", processes=1, retry=HEALING)
    fickle.does("1 / 0")
    await done(gw.start_run("app-end", {"how": "kill"}))
    refused = await gw.invoke("app-pid")
    assert refused.status == "failed"
    error = json.loads(gw.ledger[refused.requests[0]].reply.body)  # type: ignore[union-attr]
    assert error["name"] == "NoProcess"
    assert "ZeroDivisionError" in error["message"]
    assert "cannot replace process 1, next attempt in" in caplog.text
    fickle.does("")
    async with asyncio.timeout(PATIENCE):
        while (await gw.invoke("app-pid", {"seconds": 0.05})).status != "completed":
            pass


async def test_while_a_replacement_starts_the_others_work(gw: Gateway, start: Any, fickle: Fickle) -> None:
    worker = await start("fickle:apps", processes=2, deadlines=Deadlines(process_end=0.2))
    fickle.does("time.sleep(600)")
    old = {each.pid for each in worker.status().processes}
    await done(gw.start_run("app-end", {"how": "kill"}))
    [left] = old & {each.pid for each in worker.status().processes}
    assert {(await gw.invoke("app-pid")).output for _ in range(5)} == {left}


async def test_one_that_is_due_stays_while_no_successor_starts(gw: Gateway, start: Any, fickle: Fickle) -> None:
    worker = await start("fickle:apps", processes=1, recycle_after=1, retry=HEALING)
    [old] = worker.status().processes
    fickle.does("1 / 0")
    for _ in range(5):
        assert (await gw.invoke("app-pid")).output == old.pid
    fickle.does("")
    async with asyncio.timeout(PATIENCE):
        while (await gw.invoke("app-pid", {"seconds": 0.05})).output == old.pid:
            pass


async def test_a_worker_that_is_closed_while_its_processes_start_ends(door: Door, fickle: Fickle) -> None:
    """It waits neither for the import, nor as long as a process may take to finish its work."""
    fickle.does(CALL_AND_SLEEP.format(port=door.port))
    late = Deadlines(process_end=2 * PATIENCE)
    connection = connect("fickle:apps", isolation="process", processes=2, shutdown_signals=[], deadlines=late)
    task = asyncio.create_task(connection.start())
    visits = await door.visits(2)
    await connection.close()
    async with asyncio.timeout(PATIENCE):
        await task
    assert [await visit.last_words() for visit in visits] == ["", ""]
    assert connection.get_state() is ConnectionState.CLOSED
