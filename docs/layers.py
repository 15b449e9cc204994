"""The rooms of the code, on which floor each stands, and what imports what.

A room is a module, or a folder, that lies directly in one of `HOUSES`. The floors are written in pyproject.toml, under
[tool.layers], and only there; tests/test_layers.py holds the code to them, `docs.modules` draws them.
"""

import ast
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
HOUSES: Final = ("connect/", "statecharts/", "statecharts/tools/")
"""Folders whose modules and folders are rooms; the innermost one counts."""


@dataclass(frozen=True)
class Import:
    """One import: the file and the line where it is written, and the file that it names. Paths from the repository's root."""

    source: str
    line: int
    target: str

    def __str__(self) -> str:
        return f"{self.source}:{self.line} imports {self.target}"


def floors() -> list[list[str]]:
    """The rooms of each floor, the highest floor first."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    found: list[list[str]] = settings["tool"]["layers"]["floors"]
    return found


def modules() -> list[str]:
    """Every Python file of the code."""
    found = (path for house in HOUSES for path in (ROOT / house).rglob("*.py"))
    return sorted({path.relative_to(ROOT).as_posix() for path in found})


def is_code(path: str) -> bool:
    """Whether *path* is in one of the houses: of what is installed."""
    return path.startswith(HOUSES)


def room(path: str) -> str:
    """The room that the module *path* is in, or is: `connect/wire/` for `connect/wire/codec.py`."""
    house = next(house for house in reversed(HOUSES) if path.startswith(house))
    name, *inner = path.removeprefix(house).split("/")
    return f"{house}{name}/" if inner else f"{house}{name}"


def imports(path: str) -> Iterator[Import]:
    """What the module *path* imports of this repository, wherever it says so: in a function and under TYPE_CHECKING, too."""
    for line, name in names((ROOT / path).read_text(encoding="utf-8")):
        if target := _file(name):
            yield Import(path, line, target)


def names(text: str) -> Iterator[tuple[int, str]]:
    """What the module with this *text* imports, and on which line: full names of modules, or of something in them.

    A relative import's begins with a dot; tests/test_layers.py refuses it.
    """
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Import():
                yield from ((node.lineno, alias.name) for alias in node.names)
            case ast.ImportFrom():
                module = "." * node.level + (node.module or "")
                yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)


def _file(name: str) -> str:
    """The file of the module *name*, or of the module that has *name* in it; "": it is not of this repository."""
    path = ROOT.joinpath(*name.split("."))
    for place in (path, path.parent):
        for file in (place / "__init__.py", place.with_suffix(".py")):
            if place != ROOT and file.is_file():
                return file.relative_to(ROOT).as_posix()
    return ""
