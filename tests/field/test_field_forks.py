"""Processes that functions make by a fork: each is as it would be without a worker, and can be ended."""

import asyncio
import contextlib
import os
import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from connect.gateway import Ended, Gateway

HERE = Path(__file__).parent
PATIENCE = 20.0
ALONE = {
    "handlers": ["0", "<built-in function default_int_handler>"],
    "wakeup": -1,
    "blocked": [],
    "sockets": [],
    "threads": [],
}
"""Handler 0 is SIG_DFL."""
EXPECTED = [
    ("fork", "pool", "left"),
    ("fork", "pool of a server", "left"),
    ("fork", "sums", 3),
    ("fork", "terminated", [-15, -15, -9, 1]),
    ("fork", "ended at once", [-15]),
    ("fork", "seen", ALONE),
    ("fork", "terminal", -2),
    ("fork", "hook", -15),
    ("fork", "in a thread", 0),
    ("fork", "exit", 3),
    ("fork", "exit with a text", 1),
    ("fork", "return", 0),
    ("fork", "raise", 1),
    ("fork", "raise what is no Exception", 1),
    ("fork-async", "pool", "left"),
    ("fork-async", "seen", ALONE),
    ("fork-async", "exit", 3),
    ("fork-async", "return", 0),
    ("fork-step", "raise", 1),
]
"""Function, its way to make a process, what it saw."""

BESIDE = """\
import asyncio, os, sys
import inngest
from connect import ConnectionState, connect

client = inngest.Inngest(app_id="app", is_production=False)

@client.create_function(fn_id="none", trigger=inngest.TriggerEvent(event="none"))
async def none(ctx): ...

async def main():
    worker = connect([(client, [none])], isolation=sys.argv[1])
    running = asyncio.create_task(worker.start())
    await worker.wait_for_state(ConnectionState.ACTIVE)
    child = os.fork()
    if child == 0:
        sys.exit(5)
    _, code = os.waitpid(child, 0)
    print("the child ended with", os.waitstatus_to_exitcode(code), flush=True)
    os._exit(0)  # a fork that leaves asyncio.run() takes its parent's loop along, with a worker or without

asyncio.run(main())
"""


@pytest.fixture
async def gw() -> AsyncIterator[Gateway]:
    """It does not notice by heartbeats that a worker is gone."""
    async with Gateway(heartbeat_timeout=60.0, close_timeout=0.5) as gateway:
        yield gateway


async def started(gw: Gateway, start_process: Any, isolation: str) -> Any:
    arguments = ["--isolation", isolation, *(["--processes", "1"] if isolation == "process" else [])]
    arguments += ["--http", "127.0.0.1:0", "forking_functions:apps"]
    worker = start_process("-m", "connect", "run", *arguments, cwd=HERE, INNGEST_DEV=gw.url)
    await gw.wait_for_worker(timeout=PATIENCE)
    return worker


async def output(gw: Gateway, function: str, way: str) -> Any:
    run = gw.start_run(f"app-{function}", {"way": way})
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            await run.done()
    return run.output


@pytest.mark.parametrize("isolation", ["none", "thread", "process"])
async def test_children_of_functions_are_as_without_a_worker(gw: Gateway, start_process: Any, isolation: str) -> None:
    worker = await started(gw, start_process, isolation)
    for function, way, expected in EXPECTED:
        if way == "pool of a server" and isolation != "none":
            continue  # the server takes half a second to start, and is no fork
        assert (function, way, await output(gw, function, way)) == (function, way, expected)
    assert len(gw.connections) == 1
    worker.signal()
    code = worker.ends()
    assert code == 0, worker.text


async def test_a_child_that_outlives_its_worker_keeps_nothing_of_it_open(gw: Gateway, start_process: Any) -> None:
    worker = await started(gw, start_process, "thread")
    port = re.findall(r"127\.0\.0\.1:(\d+)", worker.expect("probes and metrics"))[0]
    child = await output(gw, "fork", "left behind")
    worker.signal(signal.SIGKILL)
    assert worker.ends() == -signal.SIGKILL
    await gw.wait_for(lambda record: isinstance(record, Ended), timeout=PATIENCE)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
    os.kill(child, 0)


@pytest.mark.parametrize("isolation", ["none", "thread"])
async def test_a_fork_of_the_program_itself_ends_without_a_traceback(
    gw: Gateway, start_process: Any, isolation: str
) -> None:
    """It leaves by `sys.exit()` through the worker's own `finally`, which has nothing to undo in it."""
    program = start_process("-c", BESIDE, isolation, INNGEST_DEV=gw.url)
    code = await asyncio.to_thread(program.ends)
    assert code == 0, program.text
    assert "the child ended with 5" in program.text
    assert "Traceback" not in program.text
