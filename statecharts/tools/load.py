"""Charts by name: `MODULE:CHART`, and those that a project lists in its pyproject.toml under `[tool.statecharts]`."""

import importlib
import inspect
import os
import sys
import tomllib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from statemachine import StateChart

SETTING = "[tool.statecharts] charts"


class UnusableError(Exception):
    """What was named cannot be used; the message is one line that says why, and what to do."""


class MissingError(UnusableError):
    """There is no such module, or nothing of that name in it."""


def chart(name: str) -> type[StateChart[Any]]:
    """The chart class that *name* (`MODULE:CHART`) names, modules of the working directory and of the project included.

    Raises: UnusableError; MissingError where there is no such thing."""
    module_name, _, attribute = name.partition(":")
    if not module_name or not attribute:
        raise UnusableError(f"{name!r} names no chart: write MODULE:CHART, such as statecharts:Connection")
    for folder in (str(_project()), os.getcwd()):
        if folder not in sys.path:
            sys.path.insert(0, folder)
    found: Any = _module(module_name)
    for part in attribute.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise MissingError(f"{module_name} has no {attribute!r}{_instead(_module(module_name))}") from None
    if not _is_chart(found):
        raise UnusableError(f"{name} is no chart class, but {found!r:.60}{_instead(_module(module_name))}")
    if not found.states:
        raise UnusableError(f"{name} has no states")
    ids = Counter(_ids(found.states))
    if twice := [state for state, times in ids.items() if times > 1]:
        raise UnusableError(
            f"{name} has states that share an id, by which states are told apart here: {', '.join(twice)}"
        )
    _check_further(name, found)
    return found  # type: ignore[no-any-return]


def _ids(states: Iterable[Any]) -> Iterator[str]:
    """As `model.every_state`, which is not imported: this file also runs beside another revision of this package."""
    for state in states:
        yield state.id
        yield from _ids([*state.states, *state.history])


def _check_further(name: str, found: type[Any]) -> None:
    """Check `tasks` and `ignored`, which the library does not look at. What is no mapping is not meant for this package."""
    for attribute, (shape, example) in _FURTHER.items():
        said = getattr(found, attribute, None)
        if isinstance(said, Mapping) and not all(isinstance(key, str) and shape(it) for key, it in said.items()):
            raise UnusableError(f"{name}.{attribute} does not say what it should: write {example}")


def _are_words(it: Any) -> bool:
    return isinstance(it, Collection) and not isinstance(it, str) and all(isinstance(word, str) for word in it)


_FURTHER: dict[str, tuple[Callable[[Any], bool], str]] = {
    "tasks": (lambda it: _are_words(it) and len(it) == 2, '{"timer": ("arm_timer", "disarm_timer")}'),
    "ignored": (_are_words, '{"state": {"event"}}'),
}


def listed() -> list[str]:
    """The names in the project's pyproject.toml. Raises: UnusableError: it lists none."""
    path = _project() / "pyproject.toml"
    try:
        found: Any = tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UnusableError(f"{path} cannot be read: {error}") from None
    for key in ("tool", "statecharts", "charts"):
        found = found.get(key) if isinstance(found, dict) else None
    if not found or not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise UnusableError(f'no chart named: give MODULE:CHART, or list them in {path}: {SETTING} = ["MODULE:CHART"]')
    return found


def _project() -> Path:
    """The working directory, or the folder above it that has a pyproject.toml."""
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if (folder / "pyproject.toml").exists()), here)


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        missing = isinstance(error, ModuleNotFoundError) and f"{name}.".startswith(f"{error.name}.")
        kind = MissingError if missing else UnusableError
        raise kind(f"cannot import {name}: {type(error).__name__}: {one_line(str(error))}") from None


def one_line(text: str) -> str:
    """*text* without line breaks: each run of white space becomes one space."""
    return " ".join(text.split())


def _is_chart(thing: Any) -> bool:
    return inspect.isclass(thing) and issubclass(thing, StateChart)


def _instead(module: Any) -> str:
    charts = [name for name, thing in vars(module).items() if _is_chart(thing) and getattr(thing, "states", None)]
    return f"; its charts: {', '.join(charts)}" if charts else ""
