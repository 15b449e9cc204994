"""Where the command's settings come from: pyproject.toml, an environment file, another folder; and starting again on a change."""

import asyncio
import contextlib
import logging
import os
import shlex
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from connect.cli import reloading
from connect.cli.progress import Progress, draining
from connect.events import Connected, Draining, Event
from connect.gateway import Kind, ThreadedGateway
from connect.status import ConnectionState, InFlight, LinkStatus, Status


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
        ('insance-id = "x"', "[tool.connect] has 'insance-id', which is not an option; the options are"),
        ("flush-timeout = [", "pyproject.toml cannot be read"),
        ('flush-timeout = "soon"', "Invalid value for '--flush-timeout'"),
        ("apps = ['main:apps']", "[tool.connect] has a list for 'apps'"),
    ],
)
def test_a_wrong_table_is_refused(run: Any, tmp_path: Path, text: str, told: str) -> None:
    """With what is wrong in it, on one line."""
    table(tmp_path, text)
    worker = run("main:apps")
    assert worker.ends() == 2
    assert told in worker.text
    assert len(worker.lines) == 1


@pytest.mark.parametrize("text", ["tool = 3", "[tool]\nconnect = 3"])
def test_what_is_no_table_is_refused(run: Any, tmp_path: Path, text: str) -> None:
    (tmp_path / "pyproject.toml").write_text(text, encoding="utf-8")
    worker = run("main:apps")
    assert worker.ends() == 2
    assert worker.lines == [
        "statechart-connect: pyproject.toml: [tool.connect] is not a table: write NAME = VALUE below it\n"
    ]


@pytest.mark.parametrize("words", [("run", "--help"), ("gateway", "--help"), ("demo", "--help")])
def test_a_wrong_table_keeps_nobody_from_the_help(start_process: Any, tmp_path: Path, words: tuple[str, ...]) -> None:
    table(tmp_path, "nonsense = 1")
    command = start_process("-m", "connect", *words)
    assert command.ends() == 0
    assert "Usage" in command.text


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


def test_an_environment_file_with_a_line_that_is_none_is_refused(run: Any, tmp_path: Path) -> None:
    """It would otherwise be left out, and with it a key."""
    (tmp_path / "bad.env").write_text("INNGEST_ENV=x\n\nINNGEST_SIGNING_KEY='signkey-prod-0\n")
    worker = run("main:apps", "--env-file", "bad.env")
    assert worker.ends() == 2
    assert worker.lines == ["statechart-connect: --env-file: line 3 of bad.env cannot be read: write NAME=VALUE\n"]


def test_a_folder_that_is_none_is_refused(run: Any) -> None:
    """Though the module may be found elsewhere."""
    worker = run("main:apps", "--app-dir", "none")
    assert worker.ends() == 2
    assert "Invalid value for '--app-dir': dir 'none' does not exist" in worker.text


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


def test_a_worker_ends_when_what_would_start_it_again_is_killed(gateway: ThreadedGateway, run: Any) -> None:
    """As on SIGTERM: it finishes what is in flight."""
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
    """The process that is started again does not read it there once more, and start another."""
    table(tmp_path, "reload = true")
    worker = start_process("-m", "connect", "run", "main:apps", INNGEST_DEV=gateway.url)
    worker.expect("CONNECTING → ACTIVE")
    worker.signal(signal.SIGINT)
    assert worker.ends() == 0
    assert "stopped gracefully" in worker.text


_SHOW = f"{shlex.quote(sys.executable)} -m connect --show-completion; exit $?"


@pytest.mark.parametrize(
    ("words", "offered"), [("ru", ["run"]), ("run --log-f", ["--log-format"]), ("run --isolation t", ["thread"])]
)
def test_the_shell_completes_commands_options_and_values(start_process: Any, words: str, offered: list[str]) -> None:
    """What the printed script asks, for the installed command's name, is answered; however the command was called."""
    # The command looks for a shell among the processes that it comes from; these tests may have been started by none.
    shell = f"import subprocess; raise SystemExit(subprocess.call(['bash', '-c', {_SHOW!r}]))"
    script = start_process("-c", shell)
    assert script.ends() == 0
    assert "_STATECHART_CONNECT_COMPLETE=complete_bash" in script.text
    assert script.text.strip().endswith("complete -o default -F _statechart_connect_completion statechart-connect")
    asked = f"statechart-connect {words}"
    known = {"COMP_WORDS": asked, "COMP_CWORD": str(len(asked.split()) - 1)}
    answer = start_process("-m", "connect", **known, _STATECHART_CONNECT_COMPLETE="complete_bash")
    answer.ends()
    assert answer.text.split() == offered


def test_what_is_waited_for_is_said_in_words() -> None:
    """How many, and how long the oldest has been under way."""
    work = [InFlight(str(age), "run", "app", "app-fn", "EXECUTING", float(age)) for age in (3, 12, 5)]
    assert draining(Status(ConnectionState.DRAINING, in_flight=tuple(work))) == (
        "3 requests left, the oldest 12 s (app-fn, EXECUTING)"
    )


class Watched:
    """A worker as far as somebody waits for it: *status* is what it answers, and `asked` is set once it is."""

    def __init__(self, status: Status) -> None:
        self._listeners: dict[Any, Any] = {}
        self._status = status
        self.asked = asyncio.Event()

    def on(self, kind: Any, callback: Any) -> Any:
        self._listeners[kind] = callback
        return lambda: self._listeners.pop(kind, None)

    def tell(self, event: Event) -> None:
        self._listeners[type(event)](event)

    def status(self) -> Status:
        self.asked.set()
        return self._status

    async def is_asked(self) -> bool:
        """Whether it is, within some ticks."""
        self.asked.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.asked.wait(), 0.2)
        return self.asked.is_set()


async def test_a_shutdown_tells_what_it_waits_for_until_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    """Again and again, and of the worker's own shutdown only."""
    caplog.set_level(logging.INFO, "connect")
    work = (InFlight("r", "u", "a", "f", "EXECUTING", 1.0),)
    worker = Watched(Status(ConnectionState.DRAINING, in_flight=work))
    waits = Progress(worker, every=0.02)  # type: ignore[arg-type]
    worker.tell(Connected(connection_id="c", gateway_group="g"))
    worker.tell(Draining(by="gateway", connection_id=None))
    assert not await worker.is_asked()
    worker.tell(Draining(by="worker", connection_id=None))
    assert await worker.is_asked()
    assert await worker.is_asked()
    waits.end()
    assert not await worker.is_asked()
    assert "still draining: 1 request left, the oldest 1 s (f, EXECUTING)" in caplog.messages


HANDSHAKE = LinkStatus("", "", ("HANDSHAKE", "STARTING"), is_current=False)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (Status(ConnectionState.CONNECTING, attempts=1, links=(HANDSHAKE,)), "attempt 1, STARTING"),
        (Status(ConnectionState.CONNECTING, attempts=3, next_retry_in=12.4), "attempt 4 comes in 12 s"),
    ],
)
async def test_a_start_tells_what_it_waits_for_until_the_first_link(
    caplog: pytest.LogCaptureFixture, status: Status, words: str
) -> None:
    """Where nothing fails, and nothing goes on, nothing else would be said."""
    caplog.set_level(logging.INFO, "connect")
    worker = Watched(status)
    waits = Progress(worker, every=0.02)  # type: ignore[arg-type]
    assert await worker.is_asked()
    assert await worker.is_asked()
    assert f"still connecting: {words}" in caplog.messages
    worker.tell(Connected(connection_id="c", gateway_group="g"))
    assert not await worker.is_asked()
    waits.end()


@pytest.mark.parametrize(
    "error", [OSError(38, "Function not implemented"), PermissionError(1, "Operation not permitted")]
)
def test_where_no_process_can_be_waited_for_the_worker_goes_on(
    error: OSError, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As in an old kernel, or where a sandbox forbids it."""

    def wait(_: int) -> None:
        raise error

    monkeypatch.setattr(reloading, "_wait_for_end", wait)
    caplog.set_level("DEBUG", "connect")
    reloading._end_after(os.getppid())  # a SIGTERM would end these tests
    assert caplog.messages == [f"this worker keeps running if the process that watches the files is killed: {error}"]
