"""Finding apps by name: `"MODULE:APPS"`."""

import importlib
import os
import sys
from types import ModuleType

from connect.errors import ConfigurationError


def locate(name: str) -> object:
    """What *name* (`"MODULE:APPS"`) stands for; if it can be called, what it returns. The working directory is importable.

    Raises: ConfigurationError: it is not there, or its module or the call raised.
    """
    module_name, _, attribute = name.partition(":")
    if not module_name or not attribute:
        raise ConfigurationError(f"{name!r} names no apps: write MODULE:APPS, for instance main:apps")
    module = _imported(module_name)
    if not hasattr(module, attribute):
        raise ConfigurationError(f"module {module_name!r} has no {attribute!r}")
    found = getattr(module, attribute)
    if not callable(found):
        return found
    try:
        return found()
    except Exception as error:
        raise ConfigurationError(f"calling {name!r} raised {type(error).__name__}: {error}") from error


def _imported(name: str) -> ModuleType:
    if "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and f"{name}.".startswith(f"{error.name}."):
            raise ConfigurationError(f"no module {name!r} in {os.getcwd()} or on the path") from None
        raise ConfigurationError(f"cannot import {name!r}: {error}") from error
    except Exception as error:
        raise ConfigurationError(f"cannot import {name!r}: {type(error).__name__}: {error}") from error
