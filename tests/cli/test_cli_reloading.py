"""`run --reload`: the worker starts again when a file changes, and ends with the process that watches the files."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from connect.cli import reloading
from connect.gateway import Kind, ThreadedGateway


def test_it_starts_again_when_a_file_changes(gateway: ThreadedGateway, run: Any, tmp_path: Path) -> None:
    """The old worker ends gracefully, and a new one runs the new code."""
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


def test_a_worker_ends_when_what_would_start_it_again_is_killed(gateway: ThreadedGateway, run: Any) -> None:
    """It ends as on SIGTERM: it finishes the work in flight."""
    watcher = run("main:apps", "--reload")
    gateway.wait_for_worker(timeout=30)
    started = gateway.call(lambda gw: gw.start_run("app-slow", {"seconds": 2}))
    gateway.run(lambda gw: gw.wait_for(Kind.WORKER_REQUEST_ACK))
    watcher.signal(signal.SIGKILL)
    watcher.expect("executions in flight: 1")
    watcher.expect("stopped gracefully")
    assert watcher.ends() == -signal.SIGKILL
    assert gateway.call(lambda gw: gw.ledger[started.requests[0]].reply.status) == 0, "the step is done, the run is not"


def test_what_a_reloaded_worker_starts_is_not_told_who_reloads_it(run: Any, tmp_path: Path) -> None:
    (tmp_path / "nosy.py").write_text("import os\nfrom main import apps\nprint('told:', 'RELOADED' in str(os.environ))")
    assert run("nosy:apps", "--reload").expect("told: ") == "told: False\n"


@pytest.mark.usefixtures("run")
def test_the_project_may_say_reload(gateway: ThreadedGateway, tmp_path: Path, start_process: Any) -> None:
    """The process that is started again does not read `reload` in the table, and starts no third one."""
    (tmp_path / "pyproject.toml").write_text("[tool.connect]\nreload = true\n")
    worker = start_process("-m", "connect", "run", "main:apps", INNGEST_DEV=gateway.url)
    worker.expect("CONNECTING → ACTIVE")
    worker.signal(signal.SIGINT)
    assert worker.ends() == 0
    assert "stopped gracefully" in worker.text


@pytest.mark.parametrize(
    "error", [OSError(38, "Function not implemented"), PermissionError(1, "Operation not permitted")]
)
def test_where_no_process_can_be_waited_for_the_worker_goes_on(
    error: OSError, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An old kernel or a sandbox may refuse it."""

    def wait(_: int) -> None:
        raise error

    monkeypatch.setattr(reloading, "_wait_for_end", wait)
    caplog.set_level("DEBUG", "connect")
    reloading._end_after(os.getppid())  # a SIGTERM would end these tests
    assert caplog.messages == [f"this worker keeps running if the process that watches the files is killed: {error}"]
