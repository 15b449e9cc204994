"""Values of the project's table: each wrong one is refused with the file, its name there, and what it must be."""

from pathlib import Path
from typing import Any

import pytest

from connect.cli import config
from connect.cli.project_table import Table
from connect.cli.run import run
from connect.errors import ConfigurationError

KINDS = config.kinds(run)


def table(folder: Path, text: str) -> Table:
    (folder / "pyproject.toml").write_text(f"[tool.connect]\n{text}\n", encoding="utf-8")
    return Table.read(KINDS)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('flush-timeout = "soon"', 'flush-timeout is "soon": it must be a number'),
        ("flush_timeout = true", "flush_timeout is true: it must be a number"),
        ("flush-timeout = [1]", "flush-timeout is a list: it must be a number"),
        ("flush-timeout.a = 1", "flush-timeout is a table: it must be a number"),
        ("stall-warning = 1979-05-27", "stall-warning is 1979-05-27: it must be a number"),
        ("processes = 2.5", "processes is 2.5: it must be a whole number"),
        ('max-concurrency = "4"', 'max-concurrency is "4": it must be a whole number'),
        ("recycle-after = false", "recycle-after is false: it must be a whole number"),
        ('status-page = "yes"', 'status-page is "yes": it must be true or false'),
        ("log-executions = 0", "log-executions is 0: it must be true or false"),
        ("reload = 1", "reload is 1: it must be true or false"),
        ("instance-id = 7", "instance-id is 7: it must be a text in quotes"),
        ("apps = ['main:apps']", "apps is a list: it must be a text in quotes"),
        ("proxy = false", "proxy is false: it must be a text in quotes"),
        ("isolation = 1", "isolation is 1: it must be a text in quotes"),
        ("app-dir = 1.5", "app-dir is 1.5: it must be a text in quotes"),
        ('reload-timeout = "http://me:secret@host"', 'reload-timeout is "http://***@host": it must be a number'),
        (f'flush-timeout = "{"x" * 99}"', f'flush-timeout is "{"x" * 60}…": it must be a number'),
    ],
)
def test_a_value_of_another_type_is_told_the_type(tmp_path: Path, text: str, said: str) -> None:
    read = table(tmp_path, text)
    with pytest.raises(ConfigurationError) as caught:
        read.check(*read.values)
    assert str(caught.value) == f"{tmp_path}/pyproject.toml: [tool.connect] {said}"


@pytest.mark.parametrize(
    "text",
    ["flush-timeout = 3", "flush_timeout = 3.5", "processes = 2", "reload = true", 'env = "x"', 'app-dir = "src"'],
)
def test_a_value_of_its_type_is_taken(tmp_path: Path, text: str) -> None:
    read = table(tmp_path, text)
    read.check(*read.values)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("insance-id = 1", "has 'insance-id', which is not an option: did you mean 'instance-id'?"),
        ("flushTimeout = 1", "has 'flushTimeout', which is not an option: did you mean 'flush-timeout'?"),
        ("max_worker_concurrency = 1", "has 'max_worker_concurrency', which is an option of connect(): write 'max-concurrency'"),
        ("retry = 1", "has 'retry', which is an option of connect() alone"),
        ("signing-key = 'secret'", "has 'signing-key', which is an option of connect() alone: set INNGEST_SIGNING_KEY"),
        ("ctx = 1", "has 'ctx', which is not an option; the options are allow-remote, "),
        ("flush-timeout = 1\nflush_timeout = 2", "has 'flush-timeout' and 'flush_timeout', which are one option: leave one"),
    ],
)  # fmt: skip
def test_a_name_that_is_none_is_told_the_one_that_would_do(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        table(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path}/pyproject.toml: [tool.connect] {said}")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[tool.connect]\nenv = 'caf\xe9'", "byte 25 is not UTF-8"),
        (b"[tool.connect", "it is not TOML: "),
        (None, "Is a directory"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: Any, said: str) -> None:
    if content is None:
        (tmp_path / "pyproject.toml").mkdir()
    else:
        (tmp_path / "pyproject.toml").write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        Table.read(KINDS)
    assert str(caught.value).startswith(f"{tmp_path}/pyproject.toml cannot be read: {said}")


def test_without_a_file_or_a_table_there_are_no_values(tmp_path: Path) -> None:
    assert Table.read(KINDS).values == {}
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    assert Table.read(KINDS).values == {}
