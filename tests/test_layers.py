"""Lower rooms never import higher ones. The order stands in pyproject.toml under [tool.layers]; diagrams/modules.svg shows it."""

from collections import Counter
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import pytest

from docs import layers

FLOORS = layers.floors()
LEVEL = {name: number for number, names in enumerate(FLOORS) for name in names}
"""How many floors are above each room."""
FOUND = [each for path in layers.modules() for each in layers.imports(path)]
IMPORTS = [each for each in FOUND if layers.is_code(each.target)]

CHARTS = [path for path in layers.modules() if path.startswith("statecharts/") and path.count("/") == 1]
"""The charts, and what reads and runs them; the tools may do I/O."""
HARMLESS = (
    *("collections", "dataclasses", "functools", "importlib.metadata", "inspect", "json", "keyword", "re"),
    *("sys", "typing"),
    *("statecharts", "statemachine"),
)
"""What those may import: nothing with which a chart could act."""

LINES = 400
"""A module has at most so many."""

TABLE = "[tool.layers] in pyproject.toml"


def fail_with(lines: Iterable[str]) -> None:
    """Fail with these lines and nothing else, if there are any."""
    if told := "\n".join(lines):
        pytest.fail(told, pytrace=False)


def goes_up(each: layers.Import) -> bool:
    source, target = layers.room(each.source), layers.room(each.target)
    return source != target and {source, target} <= LEVEL.keys() and LEVEL[source] >= LEVEL[target]


def lowest_floor(name: str) -> str:
    """The rooms beside which the room *name* could stand: just above all that it imports."""
    used = {layers.room(each.target) for each in IMPORTS if layers.room(each.source) == name} - {name}
    highest = min((LEVEL[room] for room in used & LEVEL.keys()), default=len(FLOORS))
    return ", ".join(FLOORS[max(highest - 1, 0)])


def test_every_module_stands_on_a_floor() -> None:
    new = sorted({layers.room(path) for path in layers.modules()} - LEVEL.keys())
    fail_with(f'add "{name}" to {TABLE}, beside {lowest_floor(name)} or on a higher floor' for name in new)


def test_every_room_on_a_floor_is_there_and_stands_there_once() -> None:
    gone = sorted(LEVEL.keys() - {layers.room(path) for path in layers.modules()})
    fail_with(f'take "{name}" out of {TABLE}: there is no such file' for name in gone)
    fail_with(
        f'"{name}" stands {times} times in {TABLE}' for name, times in Counter(chain(*FLOORS)).items() if times > 1
    )


def test_no_room_imports_from_its_own_floor_or_above() -> None:
    cure = f"which is not below it in {TABLE}: move what both need to a room below both"
    fail_with(f"{each}, {cure}" for each in IMPORTS if goes_up(each))


def test_no_import_is_relative() -> None:
    found = ((path, layers.names((layers.ROOT / path).read_text(encoding="utf-8"))) for path in layers.modules())
    fail_with(
        f"{path}:{line} imports {name}: write the full name"
        for path, names in found
        for line, name in names
        if name.startswith(".")
    )


@pytest.mark.parametrize("line", ["from .x import y", "from . import x", "from ..a.b import c"])
def test_a_relative_import_is_seen(line: str) -> None:
    assert [name[0] for _, name in layers.names(line)] == ["."]


def test_no_module_is_too_long() -> None:
    lengths = {path: (layers.ROOT / path).read_text(encoding="utf-8").count("\n") for path in layers.modules()}
    fail_with(
        f"{path} has {lines} lines, of at most {LINES}: move one part to a module of its own"
        for path, lines in lengths.items()
        if lines > LINES
    )


def test_the_worker_is_below_what_is_made_of_it() -> None:
    above = {name for name in LEVEL if LEVEL[name] < LEVEL["connect/worker.py"]}
    assert above >= {"connect/cli/", "connect/doctor/", "connect/gateway/", "connect/lab/", "connect/testing.py"}


def test_the_code_imports_nothing_of_the_repository_that_is_not_installed() -> None:
    fail_with(f"{each}, which is not installed with it" for each in FOUND if not layers.is_code(each.target))


def test_statecharts_know_nothing_of_the_worker() -> None:
    fail_with(
        str(each) for each in IMPORTS if each.source.startswith("statecharts/") and each.target.startswith("connect/")
    )


def test_the_worker_needs_no_tools_of_the_charts() -> None:
    fail_with(str(each) for each in IMPORTS if each.source.startswith("connect/") and "/tools/" in each.target)


@pytest.mark.parametrize("path", [path for path in CHARTS if path != "statecharts/__main__.py"])
def test_what_declares_and_runs_the_charts_can_do_no_io(path: str) -> None:
    allowed = tuple(f"{name}." for name in HARMLESS)
    found = layers.names((layers.ROOT / path).read_text(encoding="utf-8"))
    fail_with(f"{path}:{line} imports {name}" for line, name in found if not f"{name}.".startswith(allowed))


def test_an_import_counts_wherever_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("connect/__init__.py", "connect/low.py", "connect/high/__init__.py", "connect/high/part.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "connect/low.py").write_text(
        "import os\nimport connect.high.part\nif TYPE_CHECKING:\n    from connect import high, version\n"
        "def f():\n    from connect.high import part\n    from connect.high.part import g\n"
    )
    monkeypatch.setattr(layers, "ROOT", tmp_path)

    found = sorted((each.line, each.target) for each in layers.imports("connect/low.py"))

    assert found == [
        (2, "connect/high/part.py"),
        (4, "connect/__init__.py"),
        (4, "connect/high/__init__.py"),
        (6, "connect/high/part.py"),
        (7, "connect/high/part.py"),
    ]
