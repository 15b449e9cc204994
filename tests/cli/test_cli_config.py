"""The command's settings: from the project's table, an environment file, the command line; and where it finds the apps."""

import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from connect.gateway import ThreadedGateway


def table(folder: Path, text: str) -> None:
    """Write *text* as the `[tool.connect]` table of the project in *folder*."""
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
        ('insance-id = "x"', "[tool.connect] has 'insance-id', which is not an option: did you mean 'instance-id'?"),
        (
            "nonsense = 1",
            "[tool.connect] has 'nonsense', which is not an option; the options are allow-remote, api-base-url, app",
        ),
        ("flush-timeout = [", "pyproject.toml cannot be read: it is not TOML: "),
        ('flush-timeout = "soon"', '[tool.connect] flush-timeout is "soon": it must be a number'),
    ],
)
def test_a_wrong_table_is_refused(run: Any, tmp_path: Path, text: str, told: str) -> None:
    """One line says what is wrong in it, and in which file."""
    table(tmp_path, text)
    worker = run("main:apps")
    assert worker.ends() == 2
    assert told in worker.text
    assert worker.text.startswith(f"python -m connect: {tmp_path}/pyproject.toml")
    assert len(worker.lines) == 1


@pytest.mark.parametrize("text", ["tool = 3", "[tool]\nconnect = 3"])
def test_what_is_no_table_is_refused(run: Any, tmp_path: Path, text: str) -> None:
    (tmp_path / "pyproject.toml").write_text(text, encoding="utf-8")
    worker = run("main:apps")
    assert worker.ends() == 2
    assert worker.lines == [
        f"python -m connect: {tmp_path}/pyproject.toml: [tool.connect] is not a table: write NAME = VALUE below it\n"
    ]


@pytest.mark.parametrize("words", [("run", "--help"), ("gateway", "--help"), ("demo", "--help")])
def test_a_wrong_table_does_not_hide_the_help(start_process: Any, tmp_path: Path, words: tuple[str, ...]) -> None:
    table(tmp_path, "nonsense = 1")
    command = start_process("-m", "connect", *words)
    assert command.ends() == 0
    assert "Usage" in command.text


@pytest.mark.parametrize("fact", ["--allow-remote too", "the address is 127.0.0.1:9090", "OTEL_EXPORTER_OTLP_ENDPOINT"])
def test_the_help_says_what_the_command_adds_to_an_option(start_process: Any, fact: str) -> None:
    command = start_process("-m", "connect", "run", "--help", COLUMNS="100", NO_COLOR="1")
    assert command.ends() == 0
    assert fact in " ".join(command.text.replace("│", " ").split())


@pytest.mark.usefixtures("run")
def test_an_environment_file_fills_in_what_is_not_set(
    gateway: ThreadedGateway, tmp_path: Path, start_process: Any
) -> None:
    """A variable that is set already keeps its value."""
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
    """python-dotenv would skip the line, and the key in it would be missing."""
    (tmp_path / "bad.env").write_text("INNGEST_ENV=x\n\nINNGEST_SIGNING_KEY='signkey-prod-0\n")
    worker = run("main:apps", "--env-file", "bad.env")
    assert worker.ends() == 2
    assert worker.lines == ["python -m connect: --env-file: line 3 of bad.env cannot be read: write NAME=VALUE\n"]


def test_a_folder_that_is_none_is_refused(run: Any) -> None:
    """It is refused even if the module can be found elsewhere."""
    worker = run("main:apps", "--app-dir", "none")
    assert worker.ends() == 2
    assert "Invalid value for '--app-dir': dir 'none' does not exist" in worker.text


def test_apps_are_found_in_another_folder(gateway: ThreadedGateway, run: Any, tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    (tmp_path / "main.py").rename(tmp_path / "inside" / "main.py")
    worker = run("main:apps", "--app-dir", "inside")
    worker.expect("CONNECTING → ACTIVE")


_SHOW = f"{shlex.quote(sys.executable)} -m connect --show-completion; exit $?"


@pytest.mark.parametrize(
    ("words", "offered"), [("ru", ["run"]), ("run --log-f", ["--log-format"]), ("run --isolation t", ["thread"])]
)
def test_the_shell_completes_commands_options_and_values(start_process: Any, words: str, offered: list[str]) -> None:
    """The printed script asks the command for completions, and the command answers, however it was called."""
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
