"""Finds what the user may have meant by a name of apps that leads nowhere. It is called for messages only."""

import contextlib
import difflib
import glob
import importlib
import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Final

import inngest

from connect.execution import app_shape

_MOST: Final = 3
"""Names in one message."""
_NOT_SEARCHED: Final = {"node_modules", "site-packages", "__pycache__", "venv"}
_ENDS: Final = (".py", "/__init__.py")


def instead(module: ModuleType, wanted: str, wrong: object = None) -> str:
    """What the user may have meant by *wanted* in *module*, which is *wrong*, or what to write there; "": that is not known."""
    names = near(module, wanted)
    return did_you_mean(names) if names else _to_write(module, wrong)


def did_you_mean(names: Iterable[str]) -> str:
    """A question that suggests the first of *names*; "" without any."""
    words = alternatives(names)
    return f"did you mean {words}?" if words else ""


def alternatives(names: Iterable[str]) -> str:
    """The first of *names*, as a sentence has them; "" without any."""
    return " or ".join(list(names)[:_MOST])


def near(module: ModuleType, wanted: str = "") -> list[str]:
    """`MODULE:APPS` of what holds apps in *module*, the nearest to *wanted* first; if nothing has that name, also of
    functions with a like name that can be called for them."""
    is_there, wanted = hasattr(module, wanted), wanted.removesuffix("()").strip()
    held = [name for name, value in vars(module).items() if not name.startswith("_") and _are_apps(value)]
    functions = [name for name, value in vars(module).items() if _may_make_apps(module, value)]
    names = {*held, *(() if is_there else difflib.get_close_matches(wanted, functions))}
    return [f"{module.__name__}:{name}" for name in sorted(names, key=lambda name: (-_likeness(name, wanted), name))]


def meant(text: str) -> list[str]:
    """Names of apps that *text*, which has not the form MODULE:APPS, may stand for. Imports the module that it begins with."""
    words = [word for word in re.split(r"[:\s]+", text) if word]
    if not words:
        return []
    if (module := _imported(words[0])) is not None:
        return near(module, words[1] if words[1:] else "")
    folder, _, last = words[0].rpartition(".")
    return near(module, last) if folder and (module := _imported(folder)) is not None else []


def near_modules(missing: str, folders: Iterable[str]) -> list[str]:
    """Modules that *missing* may stand for, which is in none of *folders*, where the package is that it names."""
    parent, dot, last = missing.rpartition(".")
    known = {each.lower(): each for folder in folders for each in _modules(Path(folder))}
    return [f"{parent}{dot}{known[each]}" for each in difflib.get_close_matches(last.lower(), known)]


def elsewhere(name: str) -> Path | None:
    """A file or package *name*, one or two folders below the current one, or in the one above it."""
    with contextlib.suppress(OSError):
        patterns = [f"{start}/{glob.escape(name)}{end}" for start in ("*", "*/*") for end in _ENDS]
        below = [path for pattern in patterns for path in sorted(Path().glob(pattern))]
        for path in (*below, *(Path(f"../{name}{end}") for end in _ENDS)):
            if path.exists() and not any(map(_is_left_out, path.parts)):
                return path.parent if path.name == "__init__.py" else path
    return None


def _is_left_out(folder: str) -> bool:
    return folder in _NOT_SEARCHED or (folder.startswith(".") and folder != "..")


def _to_write(module: ModuleType, wrong: object) -> str:
    """The line that *module* lacks; "" if it has not just one client, and functions."""
    clients = [name for name, value in vars(module).items() if isinstance(value, inngest.Inngest)]
    functions = [name for name, value in vars(module).items() if isinstance(value, inngest.Function)]
    if len(clients) != 1 or not functions:
        return ""
    lists = [name for name, value in vars(module).items() if value is wrong and isinstance(value, list | tuple)]
    inside = lists[0] if lists and app_shape.is_app((vars(module)[clients[0]], wrong)) else f"[{', '.join(functions)}]"
    return f"write `apps = [({clients[0]}, {inside})]` there, and name {module.__name__}:apps"


def _are_apps(value: object) -> bool:
    if not isinstance(value, list | tuple) or app_shape.problem(value, ""):
        return False
    return app_shape.is_app(value) or all(functions for _, functions in value)


def _may_make_apps(module: ModuleType, value: object) -> bool:
    """Whether *value* is a function that is defined in *module*, takes no arguments, and need not be awaited or iterated."""
    if not inspect.isfunction(value) or value.__module__ != module.__name__:
        return False
    special = (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)
    return not needed(value) and not any(is_special(value) for is_special in special)


def needed(function: Callable[..., object]) -> list[str]:
    """The parameters that *function* cannot be called without."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # a function of C may have no signature
        return []
    optional = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [each.name for each in parameters if each.default is each.empty and each.kind not in optional]


def _likeness(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other).ratio()


def _imported(name: str) -> ModuleType | None:
    """The module; None: it cannot be imported. Why is no matter here."""
    try:
        return importlib.import_module(name)
    except Exception:
        return None


def _modules(folder: Path) -> Iterator[str]:
    with contextlib.suppress(OSError):
        for each in folder.iterdir():
            if each.suffix == ".py" and each.stem != "__init__":
                yield each.stem
            elif each.name.isidentifier() and (each / "__init__.py").exists():
                yield each.name
