"""What the user typed: the command's name in all that it says, and flags that would do nothing."""

import os
from pathlib import Path
from typing import Any

import pytest

from connect import ConfigurationError
from connect.cli import commands
from connect.cli.demo_report import Report

SCRIPT = "statechart-connect"


@pytest.fixture
def script(tmp_path: Path, start_process: Any) -> Any:
    """The command, started as the installed script."""
    path = tmp_path / SCRIPT
    path.write_text("from connect.__main__ import main\nmain()\n")
    return lambda *words, **env: start_process(str(path), *words, PYTHONPATH=os.getcwd(), TERM="dumb", **env)


def test_hints_and_help_have_the_name_that_was_typed(script: Any) -> None:
    gateway = script("gateway", "--port", "0")
    doctor = script("doctor", INNGEST_DEV="http://127.0.0.1:9")
    shown = script("lab", "--help")
    useless = script("run", "main:apps", "--allow-remote")
    assert f" {SCRIPT} run MODULE:APPS" in gateway.expect("a worker")
    doctor.expect(f"to try: {SCRIPT} gateway")
    shown.expect(f"Usage: {SCRIPT} lab")
    shown.expect(f"Example: {SCRIPT} lab main:apps")
    assert [each.ends() for each in (doctor, shown, useless)] == [1, 0, 2]
    assert "python -m connect" not in doctor.text + shown.text
    assert useless.lines == [f"{SCRIPT}: {USELESS['run main:apps --allow-remote']}\n"]


def test_the_demo_names_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Report, "is_good", True)
    report = Report.__new__(Report)
    report._interrupted = False
    assert f"{SCRIPT} run MODULE:APPS" in str(report._verdict())


USELESS = {
    "run main:apps --allow-remote": "--allow-remote does nothing without --http: name --http too, or leave --allow-remote out",
    "run main:apps --allow-remote --status-page": "--allow-remote does nothing without --http: name --http too, or leave "
    "--allow-remote out",
    "run main:apps --reload-timeout 30": "--reload-timeout does nothing without --reload: name --reload too, or leave "
    "--reload-timeout out",
    "doctor --app-dir .": "--app-dir does nothing without MODULE:APPS: name MODULE:APPS too, or leave --app-dir out",
    "doctor --register": "--register does nothing without MODULE:APPS: name MODULE:APPS too, or leave --register out",
}


def refusal(line: str) -> str:
    """Why the command refuses *line*."""
    with pytest.raises(ConfigurationError) as refused:
        commands.assembled(line.split())(line.split(), standalone_mode=False)
    return str(refused.value)


@pytest.mark.parametrize("line", USELESS)
def test_a_flag_that_does_nothing_is_refused(line: str) -> None:
    assert refusal(line) == USELESS[line]


@pytest.mark.parametrize(
    ("line", "table"),
    [
        ("run nowhere:apps", "allow-remote = true\nreload-timeout = 5"),
        ("run nowhere:apps --allow-remote", "http = '127.0.0.1:0'"),
        ("run nowhere:apps --allow-remote --http 127.0.0.1:0", ""),
        ("run nowhere:apps --reload-timeout 3 --no-reload", "reload = true"),
        ("run nowhere:apps --reload-timeout 3", "reload = false"),
        ("doctor nowhere:apps --app-dir .", ""),
        ("doctor --app-dir .", "apps = 'nowhere:apps'"),
    ],
)
def test_it_is_of_use_where_the_other_one_is_given_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, table: str
) -> None:
    """`[tool.connect]` may set a flag for the times when the other one is on the command line."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text(f"[tool.connect]\n{table}\n")
    assert "no module 'nowhere'" in refusal(line)
