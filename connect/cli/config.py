"""What the commands share: the flags for the options of `connect()`, `[tool.connect]` in pyproject.toml, an environment file."""

import inspect
import io
import os
import sys
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import typer

from connect.errors import ConfigurationError
from connect.options import Declared, declared

F = TypeVar("F", bound=Callable[..., None])

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
EnvFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Set the variables in FILE that the environment lacks.")
]


def takes(*names: str) -> Callable[[F], F]:
    """Give a command the options of `connect()` with these *names*, or all that have a flag, in place of its `**options`."""

    def given(command: F) -> F:
        own = inspect.signature(command)
        kept = [each for each in own.parameters.values() if each.kind is not each.VAR_KEYWORD]
        chosen = [each for each in declared() if each.option.flag and (not names or each.name in names)]
        parameters = [*kept, *map(_flag, chosen)]
        command.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
        return command

    return given


def as_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """What a command that `takes` options was given, under the names of `connect()`."""
    names = {_parameter(each.option.flag): each.name for each in declared() if each.option.flag}
    return {names[name]: value for name, value in given.items()}


def _flag(each: Declared) -> inspect.Parameter:
    """An option as typer reads it. The command's help has no use for the marks of the documentation."""
    words = f"{each.option.text} {each.option.flag_text}".strip().replace("`", "")
    option = typer.Option(each.option.flag, help=words, metavar=each.option.metavar)
    takes: Any = each.option.flag_kind or each.kind
    kind = Annotated[takes, option]
    name = _parameter(each.option.flag)
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=each.default, annotation=kind)


def _parameter(flag: str) -> str:
    return flag.partition("/")[0].removeprefix("--").replace("-", "_")


def defaults(known: Iterable[str]) -> dict[str, Any]:
    """The values of the table, by parameter; its names may be written with hyphens. {} if there is no file or no table.

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
            raise ConfigurationError(f"{FILE}: {TABLE} is not a table: write NAME = VALUE below it")
    given = {name.replace("-", "_"): value for name, value in whole.items()}
    _check(given, set(known))
    return given


def _check(given: dict[str, Any], known: set[str]) -> None:
    for name, value in given.items():
        written = name.replace("_", "-")
        if name not in known:
            allowed = ", ".join(sorted(each.replace("_", "-") for each in known))
            raise ConfigurationError(
                f"{FILE}: {TABLE} has {written!r}, which is not an option; the options are {allowed}"
            )
        if isinstance(value, list | dict):
            kind = "list" if isinstance(value, list) else "table"
            raise ConfigurationError(f"{FILE}: {TABLE} has a {kind} for {written!r}: write a single value")


def prepare(app_dir: Path | None, env_file: Path | None) -> None:
    """Set the environment and the import path; call it before the user's module is imported. Raises: ConfigurationError."""
    if env_file:
        _load(env_file)
    if app_dir:
        if (
            "" not in sys.path and os.getcwd() not in sys.path
        ):  # the installed command: it would be put before this folder later
            sys.path.insert(0, os.getcwd())
        sys.path.insert(0, str(app_dir.resolve()))


def _load(path: Path) -> None:
    """Set the variables of the file *path* that the environment lacks. Raises: ConfigurationError: a line cannot be read."""
    import dotenv  # here: a worker without such a file need not load it

    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"--env-file: cannot read {path}: {error}") from None
    number = _wrong_line(text)
    if number is not None:
        raise ConfigurationError(f"--env-file: line {number} of {path} cannot be read: write NAME=VALUE")
    for name, value in dotenv.dotenv_values(stream=io.StringIO(text)).items():
        if value is not None:
            os.environ.setdefault(name, value)


def _wrong_line(text: str) -> int | None:
    """The number of the first line that python-dotenv cannot read; None: it can read all, or does not tell.

    Its parser is not documented. If a release has another one, the line is left out, and python-dotenv logs a warning.
    """
    try:
        from dotenv.parser import parse_stream

        originals = [line.original for line in parse_stream(io.StringIO(text)) if line.error]
        return _number(originals[0].string, originals[0].line) if originals else None
    except (ImportError, AttributeError):
        return None


def _number(string: str, line: int) -> int:
    """The number of a line. The parser counts empty lines before it as a part of it, so *line* may be too small."""
    return line + string[: len(string) - len(string.lstrip())].count("\n")
