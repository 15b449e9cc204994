"""`python -m connect run --isolation process`, as a terminal, a supervisor and an operator see it."""

import asyncio
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest
from visits import PATIENCE, Door

from connect.gateway import Gateway, Kind

ORPHANED = 2.0
"""Seconds that a process may outlive its worker."""


def everyone(command: Any) -> list[psutil.Process]:
    """The processes of a worker, and itself as the last."""
    worker = psutil.Process(command._process.pid)
    return [*worker.children(), worker]


@pytest.mark.parametrize("function", ["wait", "wait_unwatched", "hold_gil"])
async def test_no_process_outlives_a_worker_that_is_killed(gw: Gateway, run: Any, door: Door, function: str) -> None:
    """Whatever its functions do; on Linux even one that holds the interpreter lock ends."""
    command = run()
    await gw.wait_for_worker(timeout=30)
    children = everyone(command)[:-1]
    for _ in children:
        gw.start_run(f"app-{function}", {"door": door.port, "seconds": 20})
    visits = await door.visits(len(children))
    assert {visit.pid for visit in visits} == {child.pid for child in children}
    command.signal(signal.SIGKILL)
    async with asyncio.timeout(PATIENCE if function == "wait_unwatched" else ORPHANED):
        for visit in visits:
            await visit.last_words()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_to_all_of_them_is_a_graceful_shutdown(
    gw: Gateway, run: Any, door: Door, number: signal.Signals
) -> None:
    command = run()
    await gw.wait_for_worker(timeout=30)
    started = [gw.start_run("app-wait", {"door": door.port}) for _ in range(2)]
    visits = await door.visits(2)
    command.signal_all(number)
    await gw.wait_for(Kind.WORKER_PAUSE)
    for visit in visits:
        visit.let_go()
    assert await asyncio.to_thread(command.ends) == 0, command.text
    assert {gw.ledger[run.requests[0]].reply.body for run in started} == {  # type: ignore[union-attr]
        str(visit.pid).encode() for visit in visits
    }
    assert "stopped gracefully" in command.text
    assert "Traceback" not in command.text


async def test_a_signal_while_the_processes_start_ends_it_at_once(
    gw: Gateway, run: Any, door: Door, tmp_path: Path
) -> None:
    (tmp_path / "slow.py").write_text(
        "import multiprocessing, os, socket, time\n"
        "from pool_functions import apps\n"
        'if multiprocessing.current_process().name.startswith("connect-"):\n'
        f'    door = socket.create_connection(("127.0.0.1", {door.port}))\n'
        '    door.sendall(f"{os.getpid()}\\n".encode())\n'
        "    time.sleep(600)\n"
    )
    command = run(apps="slow:apps")
    await door.visits(2)
    command.signal_all(signal.SIGINT)
    assert await asyncio.to_thread(command.ends) == 0, command.text
    assert "stopped gracefully" in command.text


async def test_what_cannot_be_stopped_does_not_keep_it(gw: Gateway, run: Any, door: Door) -> None:
    command = run("--isolation", "process", "--processes", "1", "--shutdown-timeout", "0.1", "--flush-timeout", "0.1")
    await gw.wait_for_worker(timeout=30)
    started = gw.start_run("app-wait_for_ever", {"door": door.port})
    visit = await door.visit()
    command.signal()
    await asyncio.to_thread(command.ends)
    assert f"requests without a reply: {started.requests[0]}" in command.text
    assert await visit.last_words() == ""
    assert "cancelled executions" not in command.text


@pytest.mark.parametrize(("level", "shown"), [("debug", 2), ("error", 0)])
async def test_its_log_names_the_process_and_keeps_to_the_level(gw: Gateway, run: Any, level: str, shown: int) -> None:
    command = run("--isolation", "process", "--processes", "1", "--log-level", level)
    await gw.wait_for_worker(timeout=30)
    assert (await gw.invoke("app-speak")).status == "completed"
    command.signal()
    assert await asyncio.to_thread(command.ends) == 0, command.text
    said = [line for line in command.lines if "to the log" in line]
    assert len(said) == shown
    assert all(" connect-1 pool: " in line for line in said)
    assert "said to stdout" in command.text


def test_misuse_is_one_line_and_2(run: Any) -> None:
    command = run("--isolation", "process", "--recycle-after", "0")
    assert command.ends() == 2
    assert len(command.lines) == 1
    assert "--recycle-after is 0: it must be more than 0" in command.text


def test_a_process_that_cannot_import_ends_it_with_one_line_and_2(run: Any, tmp_path: Path) -> None:
    (tmp_path / "picky.py").write_text(
        "import multiprocessing\n"
        "from pool_functions import apps\n"
        'assert multiprocessing.current_process().name == "MainProcess", "not here"\n'
    )
    command = run("--isolation", "process", "--processes", "1", apps="picky:apps")
    assert command.ends() == 2
    assert len(command.lines) == 1
    assert "cannot run picky:apps: cannot import 'picky': AssertionError: not here" in command.text
