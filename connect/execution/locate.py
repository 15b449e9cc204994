"""Finding apps by name: `"MODULE:APPS"`."""

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

locating: contextvars.ContextVar[bool] = contextvars.ContextVar("locating", default=False)
"""Whether the user's module is being imported: a worker that is started there would run inside the import, for ever."""

_FOREIGN: Final = (
    *(sysconfig.get_path(each) + os.sep for each in ("stdlib", "purelib", "platlib")),
    str(Path(__file__).parents[1]) + os.sep,
    "<frozen",
)
"""How the names of files begin that are not the user's."""


def locate(name: str) -> object:
    """What *name* (`"MODULE:APPS"`) stands for; if it can be called, what it returns. The working directory is importable.

    Raises: ConfigurationError: it is not there, or its module or the call raised, which is chained then.
    """
    module_name, _, attribute = name.partition(":")
    if not module_name or not attribute:
        raise ConfigurationError(f"{name!r} names no apps: write MODULE:APPS, for instance main:apps")
    _check_module(module_name, attribute)
    token = locating.set(True)
    try:
        return _found(name, _imported(module_name), attribute)
    finally:
        locating.reset(token)


def _check_module(name: str, attribute: str) -> None:
    """Refuse the name of a file."""
    path = Path(name.removesuffix(".py"))
    if not (os.sep in name or Path(name).is_file()):
        return
    if path.is_absolute() or ".." in path.parts:
        cure = f"change to {path.parent} and name {path.name}:{attribute}"
    else:
        cure = f"did you mean {'.'.join(path.parts)}:{attribute}?"
    raise ConfigurationError(f"{name!r} is a file, not a module: {cure}")


def _found(name: str, module: ModuleType, attribute: str) -> object:
    if not hasattr(module, attribute):
        raise ConfigurationError(f"module {module.__name__!r} has no {attribute!r}")
    found = getattr(module, attribute)
    if not callable(found):
        return found
    try:
        return found()
    except Exception as error:
        raise ConfigurationError(f"calling {name!r} raised {_told(error)}") from error


def _imported(name: str) -> ModuleType:
    if "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and f"{name}.".startswith(f"{error.name}."):
            raise ConfigurationError(f"no module {name!r} in {os.getcwd()} or on the path") from None
        raise ConfigurationError(f"cannot import {name!r}: {_told(error)}") from error
    except Exception as error:
        raise ConfigurationError(f"cannot import {name!r}: {_told(error)}") from error


def _told(error: Exception) -> str:
    """*error*, and the deepest line of the user's own that led to it."""
    place = _place(error)
    return f"{type(error).__name__}: {error}" + (f" ({place})" if place else "")


def _place(error: Exception) -> str:
    if isinstance(error, SyntaxError):
        return ""  # it says so itself
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(_FOREIGN)]
    return f"{frames[-1].filename}, line {frames[-1].lineno}" if frames else ""
