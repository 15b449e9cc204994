"""Defaults of the command from the working directory: `[tool.connect]` in pyproject.toml, and an environment file."""

import os
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import dotenv

from connect.errors import ConfigurationError

FILE: Final = Path("pyproject.toml")
TABLE: Final = "[tool.connect]"


def defaults(known: Iterable[str]) -> dict[str, Any]:
    """What the table says, by parameter; names may be written with hyphens. {} without file or table.

    Raises: ConfigurationError: the file cannot be read, or the table has a name that is not *known*.
    """
    if not FILE.exists():
        return {}
    try:
        table = tomllib.loads(FILE.read_text(encoding="utf-8")).get("tool", {}).get("connect", {})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigurationError(f"{FILE} cannot be read: {error}") from None
    names, given = set(known), {name.replace("-", "_"): value for name, value in table.items()}
    for name in given:
        if name not in names:
            told = ", ".join(sorted(each.replace("_", "-") for each in names))
            raise ConfigurationError(f"{FILE}: {TABLE} has {name.replace('_', '-')!r}; it may have {told}")
    return given


def load_environment(path: Path) -> None:
    """Set what *path* says and the environment does not. Raises: ConfigurationError: it cannot be read."""
    try:
        with path.open(encoding="utf-8") as lines:
            values = dotenv.dotenv_values(stream=lines)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"--env-file: cannot read {path}: {error}") from None
    for name, value in values.items():
        if value is not None:
            os.environ.setdefault(name, value)
