"""`[tool.connect]` in pyproject.toml: the project's values for the parameters of `run`, and what is wrong with them."""

import difflib
import json
import tomllib
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from connect.cli import config
from connect.errors import ConfigurationError
from connect.options import declared
from connect.secrets import without_passwords

NAME: Final = "[tool.connect]"
_LONGEST: Final = 60
"""Characters of a wrong value that are shown."""


class Table:
    """The values of the table, under the parameters that *kinds* has with their types."""

    def __init__(self, given: Mapping[str, Any], kinds: Mapping[str, Any], path: Path) -> None:
        self._path = path
        self._kinds = kinds
        self._written: dict[str, str] = {}
        self.values: dict[str, Any] = {}
        for written, value in given.items():
            self._add(written, value)

    @classmethod
    def read(cls, kinds: Mapping[str, Any]) -> "Table":
        """The table of the project in the current directory; it is empty if there is none.

        Its names may be written with hyphens or with underscores. Raises: ConfigurationError: the file cannot be read, or the table
        has a name that is not among *kinds*, or has one twice.
        """
        path = config.FILE.absolute()
        try:
            whole: Any = tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        except UnicodeDecodeError as error:
            raise ConfigurationError(f"{path} cannot be read: byte {error.start} is not UTF-8") from None
        except tomllib.TOMLDecodeError as error:
            raise ConfigurationError(f"{path} cannot be read: it is not TOML: {error}") from None
        except OSError as error:
            raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
        for name in ("tool", "connect"):
            whole = whole.get(name, {})
            if not isinstance(whole, dict):
                raise ConfigurationError(f"{path}: {NAME} is not a table: write NAME = VALUE below it")
        return cls(whole, kinds, path)

    def place(self, parameter: str) -> str:
        """Where the value of the *parameter* stands."""
        return f"{self._path}: {NAME} {self._written[parameter]}"

    def check(self, parameter: str) -> None:
        """Raises: ConfigurationError: the value of the *parameter* has another type than TOML has for it."""
        value = self.values[parameter]
        is_right, wanted = _type_of(self._kinds[parameter])
        if not is_right(value):
            raise ConfigurationError(f"{self.place(parameter)} is {_shown(value)}: it must be {wanted}")

    def _add(self, written: str, value: Any) -> None:
        parameter = written.replace("-", "_")
        if parameter not in self._kinds:
            raise ConfigurationError(f"{self._path}: {NAME} has {written!r}, {self._unknown(parameter)}")
        if parameter in self._written:
            both = f"{self._written[parameter]!r} and {written!r}"
            raise ConfigurationError(f"{self._path}: {NAME} has {both}, which are one option: leave one of them out")
        self._written[parameter] = written
        self.values[parameter] = value

    def _unknown(self, parameter: str) -> str:
        """What is wrong with the name *parameter*, and what to write."""
        for each in declared():
            if each.name == parameter and each.option.flag:
                return f"which is an option of connect(): write {_hyphened(config.parameter(each.option.flag))!r}"
            if each.name == parameter:
                secret = f": set INNGEST_{parameter.upper()}" if parameter.startswith("signing_key") else ""
                return f"which is an option of connect() alone{secret}"
        known = {each.replace("_", ""): _hyphened(each) for each in self._kinds}
        near = difflib.get_close_matches(parameter.replace("_", "").lower(), known, n=1)
        if near:
            return f"which is not an option: did you mean {known[near[0]]!r}?"
        return f"which is not an option; the options are {', '.join(sorted(known.values()))}"


def _hyphened(parameter: str) -> str:
    return parameter.replace("_", "-")


def _type_of(kind: Any) -> tuple[Callable[[Any], bool], str]:
    """A test for the values that TOML has for a parameter of this *kind*, and words for them."""
    kinds = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    if bool in kinds:
        return (lambda value: isinstance(value, bool)), "true or false"
    if float in kinds:
        return (lambda value: isinstance(value, int | float) and not isinstance(value, bool)), "a number"
    if int in kinds:
        return (lambda value: isinstance(value, int) and not isinstance(value, bool)), "a whole number"
    return (lambda value: isinstance(value, str)), "a text in quotes"


def _shown(value: Any) -> str:
    """*value*, as TOML has it, on one line."""
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "a table"
    if isinstance(value, str):
        text = without_passwords(value)
        return json.dumps(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…", ensure_ascii=False)
    return str(value).lower() if isinstance(value, bool) else str(value)
