"""Finds the user's apps by name: `"MODULE:APPS"`."""

import contextvars
import importlib
import os
import sys
import sysconfig
import traceback
from pathlib import Path
from types import ModuleType
from typing import Final

from connect.errors import ConfigurationError
from connect.log_format import described

importing_apps: contextvars.ContextVar[bool] = contextvars.ContextVar("importing_apps", default=False)
"""True while the user's module is imported. A worker must not be started then: `start()` would run inside the import for ever."""

_NOT_THE_USERS: Final = (
    *(sysconfig.get_path(each) + os.sep for each in ("stdlib", "purelib", "platlib")),
    str(Path(__file__).parents[1]) + os.sep,
    "<frozen",
)
"""File names that begin with one of these are Python's, of an installed package or ours; all others are the user's."""


def locate(name: str) -> object:
    """The object that *name* (`"MODULE:APPS"`) names; where it can be called, what the call returns.

    The working directory is put on `sys.path` if it is not there. Raises: ConfigurationError: the module or the object does not
    exist, or importing the module or calling the object raised; that exception is chained.
    """
    module_name, _, attribute = name.partition(":")
    if not module_name or not attribute:
        raise ConfigurationError(f"{name!r} names no apps: write MODULE:APPS, for instance main:apps")
    _check_module(module_name, attribute)
    token = importing_apps.set(True)
    try:
        return _value(name, _imported(module_name), attribute)
    finally:
        importing_apps.reset(token)


def _check_module(name: str, attribute: str) -> None:
    """Refuse the name of a file, such as `src/main.py`, and say how to name the module."""
    path = Path(name.removesuffix(".py"))
    if not (os.sep in name or Path(name).is_file()):
        return
    if path.is_absolute() or ".." in path.parts:
        cure = f"change to {path.parent} and name {path.name}:{attribute}"
    else:
        cure = f"did you mean {'.'.join(path.parts)}:{attribute}?"
    raise ConfigurationError(f"{name!r} is a file, not a module: {cure}")


def _value(name: str, module: ModuleType, attribute: str) -> object:
    if not hasattr(module, attribute):
        raise ConfigurationError(f"module {module.__name__!r} has no {attribute!r}")
    value = getattr(module, attribute)
    if not callable(value):
        return value
    try:
        return value()
    except Exception as error:
        raise ConfigurationError(f"calling {name!r} raised {_with_place(error)}") from error


def _imported(name: str) -> ModuleType:
    if "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and f"{name}.".startswith(f"{error.name}."):
            raise ConfigurationError(f"no module {name!r} in {os.getcwd()} or on the path") from None
        raise ConfigurationError(f"cannot import {name!r}: {_with_place(error)}") from error
    except Exception as error:
        raise ConfigurationError(f"cannot import {name!r}: {_with_place(error)}") from error


def _with_place(error: Exception) -> str:
    """`TypeName: message (file, line N)`, where the line is the user's own that was executed last."""
    place = _users_line(error)
    return described(error) + (f" ({place})" if place else "")


def _users_line(error: Exception) -> str:
    if isinstance(error, SyntaxError):
        return ""  # its message has file and line already
    frames = traceback.extract_tb(error.__traceback__)
    users = [frame for frame in frames if not frame.filename.startswith(_NOT_THE_USERS)]
    return f"{users[-1].filename}, line {users[-1].lineno}" if users else ""
