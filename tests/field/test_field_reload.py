"""`run --reload`: it says what changed, and waits for work as a shutdown does."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connect.cli.source_files import SourceFiles
from connect.gateway import Gateway, Kind, ThreadedGateway, in_thread

MAIN = """
import asyncio, threading
import inngest

client = inngest.Inngest(app_id="app")

@client.create_function(fn_id="slow", trigger=inngest.TriggerEvent(event="slow"), retries=0)
async def slow(ctx):
    await asyncio.sleep(ctx.event.data["seconds"])
    return "slept"

@client.create_function(fn_id="stuck", trigger=inngest.TriggerEvent(event="stuck"), retries=0)
def stuck(ctx):
    threading.Event().wait()

apps = [(client, [slow, stuck])]
"""
SHORT_KILL = "import runpy, sys; from connect.cli import reloading; reloading.KILL_SECONDS = 0.3; "
SHORT_KILL += "sys.argv = ['', *sys.argv[1:]]; runpy.run_module('connect', run_name='__main__')"


@pytest.fixture
def gateway() -> Iterator[ThreadedGateway]:
    with in_thread(Gateway()) as threaded:
        yield threaded


@pytest.fixture
def reloaded(gateway: ThreadedGateway, tmp_path: Path, start_process: Any) -> Any:
    (tmp_path / "main.py").write_text(MAIN)

    def begin(*words: str, start: tuple[str, ...] = ("-m", "connect")) -> Any:
        return start_process(*start, "run", "main:apps", "--reload", *words, INNGEST_DEV=gateway.url)

    return begin


def started(gateway: ThreadedGateway, slug: str, **data: Any) -> Any:
    """A run whose first request the worker has acknowledged."""
    acked = gateway.call(lambda gw: len(gw.frames(Kind.WORKER_REQUEST_ACK)))
    run = gateway.call(lambda gw: gw.start_run(slug, data))
    gateway.run(lambda gw: gw.wait_for(Kind.WORKER_REQUEST_ACK, count=acked + 1))
    return run


def reply(gateway: ThreadedGateway, run: Any) -> bytes:
    body: bytes = gateway.call(lambda gw: gw.ledger[run.requests[0]].reply.body)
    return body


def test_it_says_what_changed_and_lets_work_finish(gateway: ThreadedGateway, reloaded: Any, tmp_path: Path) -> None:
    """Several changes in a burst are one restart. All of it is in our own log's format."""
    watcher = reloaded("--log-format", "json")
    watcher.expect("CONNECTING → ACTIVE")
    run = started(gateway, "app-slow", seconds=1)
    for name in ("a.py", "b.py", "main.py"):
        (tmp_path / name).write_text(MAIN)
    assert "a.py and 2 more changed: the worker starts again" in watcher.expect("changed")
    watcher.expect("stopped gracefully")
    assert b"slept" in reply(gateway, run)
    watcher.expect("CONNECTING → ACTIVE")
    watcher.signal()
    assert watcher.ends() == 0
    assert watcher.text.count("starts again") == 1
    assert all(json.loads(line)["message"] for line in watcher.lines)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_ctrl_c_reaches_both_and_lets_work_finish(
    gateway: ThreadedGateway, reloaded: Any, number: signal.Signals
) -> None:
    """A terminal sends its signals to the watching process and to the worker: for the worker that is one, not two."""
    watcher = reloaded()
    watcher.expect("CONNECTING → ACTIVE")
    run = started(gateway, "app-slow", seconds=1)
    watcher.signal_all(number)
    assert watcher.ends() == 0
    assert b"slept" in reply(gateway, run)


def test_work_is_cancelled_after_the_bound_and_the_log_says_so(
    gateway: ThreadedGateway, reloaded: Any, tmp_path: Path
) -> None:
    watcher = reloaded("--reload-timeout", "0.2")
    watcher.expect("CONNECTING → ACTIVE")
    run = started(gateway, "app-slow", seconds=600)
    (tmp_path / "other.py").touch()
    watcher.expect("other.py changed: the worker starts again")
    watcher.expect("work in flight did not finish within 0.2 s (--reload-timeout): it is cancelled")
    watcher.expect("CONNECTING → ACTIVE")
    assert b"WorkerShutdown" in reply(gateway, run)
    started(gateway, "app-slow", seconds=600)
    watcher.signal()
    watcher.signal_all(signal.SIGINT)
    assert watcher.ends() == 0


def test_a_worker_that_cannot_be_ended_is_killed(gateway: ThreadedGateway, reloaded: Any, tmp_path: Path) -> None:
    watcher = reloaded("--reload-timeout", "0.1", start=("-c", SHORT_KILL))
    watcher.expect("CONNECTING → ACTIVE")
    started(gateway, "app-stuck")
    (tmp_path / "other.py").touch()
    watcher.expect("it is cancelled")
    watcher.expect("the worker did not end within 0.3 s after that: it is killed")
    watcher.expect("CONNECTING → ACTIVE")


def test_a_worker_that_ends_by_itself_is_started_again_at_the_next_change(reloaded: Any, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("def broken(:")
    watcher = reloaded()
    watcher.expect("cannot import 'main': SyntaxError")
    watcher.expect("the worker ended with exit code 2: waiting for a change")
    (tmp_path / "main.py").write_text(MAIN)
    watcher.expect("main.py changed: the worker starts again")
    watcher.expect("CONNECTING → ACTIVE")
    (tmp_path / "main.py").write_text("1 / 0")
    watcher.expect("the worker ended with exit code 2: waiting for a change")
    watcher.signal(signal.SIGINT)
    assert watcher.ends() == 2
    assert watcher.text.count("waiting for a change") == 2


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("main.py", True),
        ("shop/orders.py", True),
        (".env", True),
        ("../other.env", True),
        ("pyproject.toml", True),
        ("notes.txt", False),
        ("main.pyc", False),
        ("shop/__pycache__/main.py", False),
        (".venv/lib/x.py", False),
        ("environment/lib/x.py", False),
        (".#main.py", False),
        ("main.py~", False),
        ("shop/flycheck_main.py", False),
        ("../other.py", False),
    ],
)
def test_what_counts_as_a_change(tmp_path: Path, name: str, counts: bool) -> None:
    folder = tmp_path / ".hidden" / "project"
    (folder / "environment").mkdir(parents=True)
    (folder / "environment" / "pyvenv.cfg").touch()
    others = [folder / ".env", folder / "pyproject.toml", folder.parent / "other.env"]
    assert SourceFiles(folder, others).is_watched(None, str((folder / name).resolve())) is counts
