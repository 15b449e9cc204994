"""Finds the user's apps by name: `"MODULE:APPS"`."""

import importlib
import inspect
import os
import sys
import sysconfig
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from connect.errors import ConfigurationError
from connect.execution import app_names, app_shape, sdk_http
from connect.execution.importing import importing_apps
from connect.log_format import described

_NOT_THE_USERS: Final = (
    *(sysconfig.get_path(each) + os.sep for each in ("stdlib", "purelib", "platlib")),
    str(Path(__file__).parents[1]) + os.sep,
    "<frozen",
)
"""File names that begin with one of these are Python's, of an installed package or ours; all others are the user's."""


def find(name: str) -> object:
    """The apps that *name* (`"MODULE:APPS"`) names, of the right shape.

    Raises: ConfigurationError: as `locate`, or the object is no apps: the message says what it is, and which apps the module has.
    """
    shown, module, found = _located(name)
    wrong = app_shape.problem(found, shown)
    if wrong is None:
        return found
    others = app_names.instead(module, name.partition(":")[2], found)
    cure = ", or ".join(filter(None, (wrong.cure, others))) if wrong.is_inside else others or wrong.cure
    raise _no_apps(wrong.text, cure)


def locate(name: str) -> object:
    """The object that *name* (`"MODULE:APPS"`) names; where that is a function, what it returns. APPS may have dots.

    The working directory is put on `sys.path` if it is not there. Raises: ConfigurationError: the module or the object does not
    exist, or importing the module or calling the object raised; that exception is chained.
    """
    return _located(name)[2]


def _located(name: str) -> tuple[str, ModuleType, object]:
    """What *name* leads to, behind the name to show for it and its module."""
    token = importing_apps.set(True)
    try:
        module_name, attribute = _parts(name)
        module = _imported(module_name, attribute)
        value = _attribute(module, attribute)
        return (f"{name}()", module, _returned(name, module, value)) if _is_called(value) else (name, module, value)
    finally:
        importing_apps.reset(token)


def _no_apps(problem: str, cure: str = "") -> ConfigurationError:
    """The error for a name that does not lead to apps: the value of the option `apps` is wrong."""
    return ConfigurationError(": ".join(filter(None, (problem, cure))), option="apps")


def _parts(name: str) -> tuple[str, str]:
    """The module and the attribute. Raises: ConfigurationError: *name* has another form."""
    module, _, attribute = name.partition(":")
    if _is_file(module):
        raise _no_apps(f"{module!r} is a file, not a module", _as_module(module, attribute))
    if module.startswith(".") or not module or not attribute or ":" in attribute:
        search_here()
        instance = app_names.alternatives(app_names.meant(name.lstrip("."))) or "main:apps"
        raise _no_apps(f"{name!r} names no apps", f"write MODULE:APPS, for instance {instance}")
    return module, attribute


def _is_file(name: str) -> bool:
    return name.endswith(".py") or "/" in name or "\\" in name or Path(name).is_file()


def _as_module(file: str, attribute: str) -> str:
    """What to write in place of the file, such as `src/main.py`."""
    path = Path(file.replace("\\", "/").removesuffix(".py").removesuffix("/__init__"))
    if path.is_absolute() and path.is_relative_to(os.getcwd()):
        path = path.relative_to(os.getcwd())
    module = path.name if path.is_absolute() or ".." in path.parts else ".".join(path.parts)
    if not attribute:
        search_here()
        attribute = next(iter(app_names.meant(module)), "").partition(":")[2] or "APPS"
    if module == path.name and path.parent != Path():
        return f"change to {path.parent} and name {module}:{attribute}, or pass --app-dir {path.parent}"
    return f"did you mean {module}:{attribute}?"


def _attribute(module: ModuleType, attribute: str) -> object:
    value: object = module
    for part in attribute.split("."):
        try:
            value = getattr(value, part)
        except AttributeError:
            problem = f"module {module.__name__!r}{_whence(module)} has no {attribute!r}"
            raise _no_apps(problem, app_names.instead(module, attribute)) from None
        except Exception as error:  # the module has a `__getattr__` of its own
            raise ConfigurationError(f"{module.__name__}:{attribute} raised {_with_place(error)}") from error
    return value


def _whence(module: ModuleType) -> str:
    """Where *module* is, if that is not in the user's own code: it may have the name of another one."""
    file = getattr(module, "__file__", None) or ""
    return f" ({file})" if file.startswith(_NOT_THE_USERS) else ""


def _is_called(value: object) -> bool:
    """Whether *value* is called for the apps: not a class, and not an object that needs arguments, as a web framework's does."""
    if not callable(value) or isinstance(value, type):
        return isinstance(value, type) and issubclass(value, list | tuple)
    return inspect.isroutine(value) or not app_names.needed(value)


def _returned(name: str, module: ModuleType, function: Any) -> object:
    if missing := app_names.needed(function):
        problem = f"{name} is {app_shape.kind(function)} that needs arguments ({', '.join(missing)})"
        raise _no_apps(problem, app_names.instead(module, name.partition(":")[2], function))
    try:
        returned = function()
    except Exception as error:
        _check_environment(error)
        raise ConfigurationError(f"calling {name!r} raised {_with_place(error)}") from error
    _check_returned(name, function, returned)
    return returned


def _check_returned(name: str, function: Any, returned: object) -> None:
    """Raises: ConfigurationError: *function* returned nothing, or what would have to be awaited or iterated."""
    if inspect.iscoroutine(returned):
        returned.close()  # else Python warns that it was never awaited
        what = "is an async function" if inspect.iscoroutinefunction(function) else "returned a coroutine"
        raise _no_apps(f"{name} {what}", "make it a `def` that returns [(client, [functions])]")
    if inspect.isgenerator(returned) or inspect.isasyncgen(returned):
        raise _no_apps(f"{name} is a generator function", "let it return [(client, [functions])], without `yield`")
    if returned is None:
        raise _no_apps(f"{name} returned None", "let it return [(client, [functions])]")


def search_here() -> None:
    """Put the working directory on `sys.path` if it is not there."""
    if "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())


def _folders() -> list[str]:
    """Where the user's own modules are looked for."""
    return list(dict.fromkeys(each for each in (sys.path[0] or os.getcwd(), os.getcwd()) if os.path.isdir(each)))


def _imported(name: str, attribute: str) -> ModuleType:
    search_here()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and f"{name}.".startswith(f"{error.name}."):
            raise _not_found(name, attribute, error.name) from None
        raise ConfigurationError(f"cannot import {name!r}: {_with_place(error)}") from error
    except Exception as error:
        _check_environment(error)
        raise ConfigurationError(f"cannot import {name!r}: {_with_place(error)}") from error


def _check_environment(error: Exception) -> None:
    """Raises: ConfigurationError: the SDK's HTTP client raised *error*, because of a variable."""
    if cause := sdk_http.explain(error):
        raise ConfigurationError(cause) from None  # *error* may show a part of a password


def _not_found(name: str, attribute: str, missing: str) -> ConfigurationError:
    package, _, last = missing.rpartition(".")
    inside = sys.modules.get(package) if package else None
    if inside and not hasattr(inside, "__path__"):
        return _no_apps(f"no module {name!r}", f"{package!r} is a module, not a package")
    folders = [*inside.__path__] if inside else _folders()
    problem = f"no module {name!r} in {' or '.join(folders)}" + ("" if inside else " or on the path")
    if alike := app_names.near_modules(missing, folders):
        return _no_apps(problem, app_names.did_you_mean(f"{each}:{attribute}" for each in alike))
    if found := None if package else app_names.elsewhere(last):
        folder = os.path.relpath(found.parent)
        return _no_apps(f"{problem}, but {found} is there", f"change to {folder}, or pass --app-dir {folder}")
    return _no_apps(problem)


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
