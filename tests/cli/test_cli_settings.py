"""Where the command's settings come from: pyproject.toml, an environment file, another folder; and starting again on a change."""

import asyncio
import logging
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from connect.cli.waits import Waits, waiting_for
from connect.events import Draining
from connect.gateway import ThreadedGateway
from connect.state import ConnectionState
from connect.status import InFlight, Status


def table(folder: Path, text: str) -> None:
    """Write it as the folder's `[tool.connect]`."""
    (folder / "pyproject.toml").write_text(f"[tool.connect]\n{text}\n", encoding="utf-8")


@pytest.mark.usefixtures("run")
def test_the_project_says_what_is_run_and_how(gateway: ThreadedGateway, tmp_path: Path, start_process: Any) -> None:
    """The command line may then be empty."""
    table(tmp_path, 'apps = "main:apps"\ninstance-id = "from-the-project"\nlog_format = "json"')
    worker = start_process("-m", "connect", "run", INNGEST_DEV=gateway.url)
    assert '"message": "worker from-the-project starts' in worker.expect("starts")
    worker.signal()
    assert worker.ends() == 0


def test_the_command_line_goes_first(run: Any, tmp_path: Path) -> None:
    table(tmp_path, 'instance-id = "from-the-project"')
    worker = run("main:apps", "--instance-id", "from-the-line")
    worker.expect("worker from-the-line starts")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('insance-id = "x"', "[tool.connect] has 'insance-id'; it may have"),
        ("flush-timeout = [", "pyproject.toml cannot be read"),
        ('flush-timeout = "soon"', "Invalid value for '--flush-timeout'"),
    ],
)
def test_a_wrong_table_is_refused(run: Any, tmp_path: Path, text: str, told: str) -> None:
    """With what is wrong in it, and no traceback."""
    table(tmp_path, text)
    worker = run("main:apps")
    assert worker.ends() == 2
    assert told in " ".join(worker.text.split())
    assert "Traceback" not in worker.text


@pytest.mark.usefixtures("run")
def test_an_environment_file_fills_in_what_is_not_set(
    gateway: ThreadedGateway, tmp_path: Path, start_process: Any
) -> None:
    """What is set stays."""
    (tmp_path / "dev.env").write_text(
        f"# development\nINNGEST_DEV={gateway.url}\nINNGEST_CONNECT_MAX_WORKER_CONCURRENCY=x\n"
    )
    words = ("-m", "connect", "run", "main:apps", "--env-file", "dev.env")
    worker = start_process(*words, INNGEST_CONNECT_MAX_WORKER_CONCURRENCY="3")
    assert gateway.url in worker.expect("starts: inngest")
    other = start_process(*words)
    assert other.ends() == 2
    assert "INNGEST_CONNECT_MAX_WORKER_CONCURRENCY is 'x'" in other.text


def test_an_environment_file_that_is_not_there_is_refused(run: Any) -> None:
    worker = run("main:apps", "--env-file", "none.env")
    assert worker.ends() == 2
    assert "--env-file: cannot read none.env" in worker.text


def test_apps_are_found_in_another_folder(gateway: ThreadedGateway, run: Any, tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    (tmp_path / "main.py").rename(tmp_path / "inside" / "main.py")
    worker = run("main:apps", "--app-dir", "inside")
    worker.expect("CONNECTING → ACTIVE")


def test_it_starts_again_when_a_file_changes(gateway: ThreadedGateway, run: Any, tmp_path: Path) -> None:
    """With the new code; the old worker ends gracefully."""
    worker = run("main:apps", "--reload")
    worker.expect("CONNECTING → ACTIVE")
    gateway.wait_for_worker(timeout=30)
    code = (tmp_path / "main.py").read_text()
    deadline = time.monotonic() + 30
    (tmp_path / "main.py").write_text(code.replace('return ctx.event.data["value"]', 'return "new"'))
    worker.expect("stopped gracefully")
    worker.expect("CONNECTING → ACTIVE")
    gateway.wait_for_worker(timeout=max(1.0, deadline - time.monotonic()))
    assert gateway.invoke("app-echo", {"value": 1}).output == "new"
    worker.signal(signal.SIGINT)
    assert worker.ends() == 0


def test_the_shell_can_complete_the_command(start_process: Any) -> None:
    shown = start_process("-m", "connect", "--show-completion", "bash", SHELL="/bin/bash")
    shown.ends()
    assert "complete" in shown.text


def test_what_is_waited_for_is_said_in_words() -> None:
    """How many, and how long the oldest has been under way."""
    work = [InFlight(str(age), "run", "app", "app-fn", "EXECUTING", float(age)) for age in (3, 12, 5)]
    assert waiting_for(Status(ConnectionState.DRAINING)) == ""
    assert waiting_for(Status(ConnectionState.DRAINING, in_flight=tuple(work))) == (
        "3 requests left, the oldest 12 s (app-fn, EXECUTING)"
    )


async def test_a_shutdown_tells_what_it_waits_for_until_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    """Again and again, and of the worker's own shutdown only."""
    listeners: list[Any] = []
    told = asyncio.Event()

    class Worker:
        def on(self, kind: Any, callback: Any) -> Any:
            listeners.append(callback)
            return lambda: None

        def status(self) -> Status:
            told.set()
            return Status(ConnectionState.DRAINING, in_flight=(InFlight("r", "u", "a", "f", "EXECUTING", 1.0),))

    caplog.set_level(logging.INFO, "connect")
    waits = Waits(Worker(), every=0.02)  # type: ignore[arg-type]
    listeners[0](Draining(by="gateway", connection_id=None))
    await asyncio.sleep(0.05)
    assert not told.is_set()
    listeners[0](Draining(by="worker", connection_id=None))
    async with asyncio.timeout(5):
        await told.wait()
    waits.end()
    assert "still draining: 1 request left, the oldest 1 s (f, EXECUTING)" in caplog.messages
