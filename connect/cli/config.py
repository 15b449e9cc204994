"""What decides where a worker comes from and goes to: `[tool.connect]` in pyproject.toml, an environment file, shared options."""

import io
import os
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from connect.errors import ConfigurationError

FILE: Final = Path("pyproject.toml")
TABLE: Final = "[tool.connect]"

AppDir = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        exists=True,
        file_okay=False,
        help="Where MODULE is imported from; default: the current directory.",
    ),
]
EnvFile = Annotated[Path | None, typer.Option(metavar="FILE", help="Sets what it says and the environment does not.")]
ApiBaseUrl = Annotated[str | None, typer.Option(help="Overrides the client's API address.")]
GatewayUrl = Annotated[str | None, typer.Option(help="Dial this ws or wss address, whatever the server grants.")]
Env = Annotated[str | None, typer.Option(help="The Inngest environment; overrides the client's.")]


def defaults(known: Iterable[str]) -> dict[str, Any]:
    """What the table says, by parameter; names may be written with hyphens. {} without file or table.

    Raises: ConfigurationError: the file cannot be read, or the table has a name that is not *known*.
    """
    if not FILE.exists():
        return {}
    try:
        whole: Any = tomllib.loads(FILE.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigurationError(f"{FILE} cannot be read: {error}") from None
    for name in ("tool", "connect"):
        whole = whole.get(name, {})
        if not isinstance(whole, dict):
            raise ConfigurationError(f"{FILE}: {TABLE} is no table: write NAME = VALUE below it")
    given = {name.replace("-", "_"): value for name, value in whole.items()}
    _check(given, set(known))
    return given


def _check(given: dict[str, Any], known: set[str]) -> None:
    for name, value in given.items():
        written = name.replace("_", "-")
        if name not in known:
            told = ", ".join(sorted(each.replace("_", "-") for each in known))
            raise ConfigurationError(f"{FILE}: {TABLE} has {written!r}; it may have {told}")
        if isinstance(value, list | dict):
            kind = "list" if isinstance(value, list) else "table"
            raise ConfigurationError(f"{FILE}: {TABLE} has a {kind} as {written!r}: write one value")


def prepare(app_dir: Path | None, env_file: Path | None) -> None:
    """Before the user's module is imported: where from, and with which environment. Raises: ConfigurationError."""
    if env_file:
        _load(env_file)
    if app_dir:
        sys.path.insert(0, str(app_dir.resolve()))


def _load(path: Path) -> None:
    """Set what *path* says and the environment does not. Raises: ConfigurationError: it cannot be read, or not all of it."""
    import dotenv  # most workers have no such file

    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"--env-file: cannot read {path}: {error}") from None
    number = _wrong_line(text)
    if number is not None:
        raise ConfigurationError(f"--env-file: line {number} of {path} is none: write NAME=VALUE")
    for name, value in dotenv.dotenv_values(stream=io.StringIO(text)).items():
        if value is not None:
            os.environ.setdefault(name, value)


def _wrong_line(text: str) -> int | None:
    """The number of the first line that python-dotenv cannot read; None: there is none, or it does not tell.

    How to ask is not documented. Without an answer the line is left out, and python-dotenv logs a warning of its own.
    """
    try:
        from dotenv.parser import parse_stream

        originals = [line.original for line in parse_stream(io.StringIO(text)) if line.error]
        return _number(originals[0].string, originals[0].line) if originals else None
    except (ImportError, AttributeError):
        return None


def _number(string: str, line: int) -> int:
    """Of the line itself; empty ones before it are counted as its beginning."""
    return line + string[: len(string) - len(string.lstrip())].count("\n")
