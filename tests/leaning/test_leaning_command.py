"""What the command needs of typer and python-dotenv, and what it does with a release that lacks it."""

import importlib.metadata
import os
import sys
import types
from pathlib import Path
from typing import Any

import dotenv.parser
import pytest
import typer

from connect.cli import commands as cli
from connect.cli import config
from connect.errors import ConfigurationError

DOTENV = f"python-dotenv {importlib.metadata.version('python-dotenv')}"
TYPER = f"typer {importlib.metadata.version('typer')}"


@pytest.fixture
def half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with one line that sets a variable, and one that does not."""
    file = tmp_path / "half.env"
    file.write_text("LEANING=1\n\nBROKEN='\n")
    monkeypatch.setenv("LEANING", "")
    monkeypatch.delenv("LEANING")
    return file


def test_the_installed_dotenv_tells_which_line_is_none(half: Path) -> None:
    with pytest.raises(ConfigurationError, match="line 3 of"):
        config.prepare(None, half)
    assert config._wrong_line("BROKEN='") == 1, f"{DOTENV} no longer tells which line is none; see docs/leaning.md"


@pytest.mark.parametrize("gone", ["dotenv.parser", "parse_stream", "original", "error"])
def test_a_dotenv_that_does_not_tell_leaves_the_line_out_and_says_so(
    gone: str, half: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    line = types.SimpleNamespace(error=True, original=types.SimpleNamespace(string="", line=1))
    if gone == "dotenv.parser":
        monkeypatch.setitem(sys.modules, gone, None)
    elif gone == "parse_stream":
        monkeypatch.delattr(dotenv.parser, gone)
    else:
        delattr(line, gone)
        monkeypatch.setattr(dotenv.parser, "parse_stream", lambda _: [line])
    config.prepare(None, half)
    assert os.environ.get("LEANING") == "1"
    [warning] = caplog.messages
    assert "could not parse" in warning, f"{DOTENV} says nothing of a line that it leaves out"


def test_the_installed_typer_has_one_base_for_all_misuse() -> None:
    assert cli._UsageError is typer.BadParameter.__base__, f"{TYPER} has no UsageError below BadParameter"
    assert cli._UsageError("said").format_message() == "said", f"{TYPER} words misuse in another way"


def misused(monkeypatch: pytest.MonkeyPatch, error: Exception) -> int:
    def misuse(**_: Any) -> None:
        raise error

    monkeypatch.setattr(cli, "assembled", lambda _: misuse)
    with pytest.raises(SystemExit) as caught:
        cli.main()
    return int(caught.value.code or 0)


def test_with_another_typer_a_bad_parameter_is_misuse_still(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Parameter(Exception):  # noqa: N818 - as typer's
        """An error of a bad parameter whose base is not the error of all misuse."""

    monkeypatch.setattr(typer, "BadParameter", Parameter)
    monkeypatch.setattr(cli, "_UsageError", cli._usage_error())
    assert cli._UsageError is Parameter
    assert misused(monkeypatch, Parameter("no such port")) == 2
    assert capsys.readouterr().err == "statechart-connect: no such port (see --help)\n"


def test_with_another_typer_other_errors_are_no_misuse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(typer, "BadParameter", type("Parameter", (Exception,), {}))
    monkeypatch.setattr(cli, "_UsageError", cli._usage_error())
    with pytest.raises(ValueError, match="a bug"):
        misused(monkeypatch, ValueError("a bug"))
