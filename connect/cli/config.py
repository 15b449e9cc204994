"""What the commands share: the flags for the options of `connect()`, the folder of the apps, an environment file."""

import inspect
import io
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar, get_args

import typer

from connect.errors import ConfigurationError
from connect.execution.app_lookup import search_here
from connect.options import Declared, declared

F = TypeVar("F", bound=Callable[..., None])

FILE: Final = Path("pyproject.toml")

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
    names = {parameter(each.option.flag): each.name for each in declared() if each.option.flag}
    return {names[name]: value for name, value in given.items()}


def _flag(each: Declared) -> inspect.Parameter:
    """An option as typer reads it. The command's help has no use for the marks of the documentation."""
    words = f"{each.option.text} {each.option.flag_text}".strip().replace("`", "")
    option = typer.Option(each.option.flag, help=words, metavar=each.option.metavar)
    takes: Any = each.option.flag_kind or each.kind
    kind = Annotated[takes, option]
    name = parameter(each.option.flag)
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=each.default, annotation=kind)


def parameter(flag: str) -> str:
    """The parameter of a command that the *flag* sets."""
    return flag.partition("/")[0].removeprefix("--").replace("-", "_")


def kinds(command: Callable[..., Any]) -> dict[str, Any]:
    """The types of a command's parameters, by name."""
    parameters = inspect.signature(command).parameters.values()
    return {each.name: get_args(each.annotation)[0] for each in parameters if get_args(each.annotation)}


def prepare(app_dir: Path | None, env_file: Path | None) -> None:
    """Set the environment and the import path; call it before the user's module is imported. Raises: ConfigurationError."""
    if env_file:
        _load(env_file)
    if app_dir:
        search_here()  # at once: later it would come before the folder, where the command is the installed one
        sys.path.insert(0, str(app_dir.resolve()))


def _load(path: Path) -> None:
    """Set the variables of the file *path* that the environment lacks. Raises: ConfigurationError: a line cannot be read."""
    import dotenv  # here: a worker without such a file need not load it

    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"env_file: cannot read {path}: {error}", "env_file") from None
    number = _wrong_line(text)
    if number is not None:
        raise ConfigurationError(f"env_file: line {number} of {path} cannot be read: write NAME=VALUE", "env_file")
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
