"""The last line of the command says what became of the work, and its exit code whether the server knows of it."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connect.gateway import Gateway, Kind, ThreadedGateway, in_thread

MAIN = """
import asyncio, os, threading
import inngest

client = inngest.Inngest(app_id="app")

@client.create_function(fn_id="slow", trigger=inngest.TriggerEvent(event="slow"))
async def slow(ctx):
    os.write(1, b"begun\\n")
    await asyncio.sleep(600)

@client.create_function(fn_id="stubborn", trigger=inngest.TriggerEvent(event="stubborn"))
async def stubborn(ctx):
    os.write(1, b"begun\\n")
    try:
        await asyncio.sleep(600)
    except asyncio.CancelledError:
        return "done all the same"

@client.create_function(fn_id="stuck", trigger=inngest.TriggerEvent(event="stuck"))
def stuck(ctx):
    os.write(1, b"begun\\n")
    threading.Event().wait()

apps = [(client, [slow, stubborn, stuck])]
"""


@pytest.fixture
def gateway() -> Iterator[ThreadedGateway]:
    with in_thread(Gateway()) as threaded:
        yield threaded


@pytest.fixture
def working(gateway: ThreadedGateway, tmp_path: Path, start_process: Any) -> Any:
    """A worker in which these functions have begun, and the ids of their requests."""
    (tmp_path / "main.py").write_text(MAIN)

    def begin(*functions: str, words: tuple[str, ...] = ()) -> tuple[Any, list[str]]:
        worker = start_process("-m", "connect", "run", "main:apps", *words, INNGEST_DEV=gateway.url)
        gateway.wait_for_worker(timeout=30)
        runs = [gateway.call(lambda gw, name=name: gw.start_run(f"app-{name}")) for name in functions]
        for _ in functions:
            worker.expect("begun")
        return worker, [run.requests[0] for run in runs]

    return begin


def hurry(worker: Any) -> None:
    worker.signal(signal.SIGTERM)
    worker.expect("shutting down")
    worker.signal(signal.SIGTERM)


@pytest.mark.parametrize("isolation", ["thread", "process"])
def test_what_a_second_signal_has_cancelled_is_counted_and_is_no_failure(
    gateway: ThreadedGateway, working: Any, isolation: str
) -> None:
    """A result that comes in spite of it is no cancelled execution."""
    worker, requests = working("slow", "stubborn", "slow", words=("--isolation", isolation))
    hurry(worker)
    assert worker.ends() == 0
    last = "stopped; executions cancelled: 2; the server was told of each, and may try it again\n"
    assert worker.lines[-1].endswith(f"WARNING connect: {last}")
    bodies = [gateway.call(lambda gw, each=each: gw.ledger[each].reply.body) for each in requests]
    assert [b"WorkerShutdown" in body for body in bodies] == [True, False, True]


def test_what_the_limit_has_cancelled_is_counted_beside_what_is_lost(working: Any) -> None:
    worker, [_, stuck] = working("slow", "stuck", words=("--shutdown-timeout", "0.1", "--flush-timeout", "0.2"))
    worker.signal()
    last = f"stopped; requests without a reply: {stuck}; executions cancelled, and the server told: 1\n"
    assert worker.expect("stopped; ").endswith(last)
    assert worker.ends() == 1


def test_the_server_is_not_told_where_the_reply_is_lost(gateway: ThreadedGateway, working: Any) -> None:
    gateway.call(lambda gw: gw.faults.lose(Kind.WORKER_REPLY, None))
    gateway.call(lambda gw: gw.flushes.hold())
    worker, [slow] = working("slow", words=("--flush-timeout", "0.3"))
    hurry(worker)
    assert worker.ends() == 1
    assert worker.lines[-1].endswith(f"stopped; requests without a reply: {slow}\n")
