"""docs/leaning.md lists every piece that the code needs of a package beyond its documentation, and a test for each."""

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from connect.execution import sdk_internals
from statecharts import library

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/leaning.md").read_text(encoding="utf-8")
FILES = [path for folder in ("connect", "statecharts") for path in sorted((ROOT / folder).rglob("*.py"))]
OURS = ("connect", "statecharts")

DOCUMENTED = {
    *(
        "aiohappyeyeballs",
        "aiohttp",
        "aiohttp.web",
        "dotenv",
        "httpx",
        "inngest",
        "psutil",
        "pytest",
        "pytest_asyncio",
        "tenacity",
        "typer",
    ),
    *("tenacity.wait", "uvloop", "watchfiles"),
    *("google.protobuf.descriptor", "google.protobuf.descriptor_pool", "google.protobuf.message"),
    "google.protobuf.timestamp_pb2",
    *("opentelemetry.context", "opentelemetry.trace", "opentelemetry.trace.propagation.tracecontext"),
    *("opentelemetry.exporter.otlp.proto.http.trace_exporter", "opentelemetry.sdk.resources"),
    *("opentelemetry.sdk.trace", "opentelemetry.sdk.trace.export"),
    *("prometheus_client", "prometheus_client.core", "prometheus_client.registry"),
    *("rich.align", "rich.box", "rich.console", "rich.layout", "rich.live", "rich.panel", "rich.progress_bar"),
    *("rich.table", "rich.text"),
    *("statemachine", "statemachine.exceptions", "statemachine.io"),
}
"""Modules of other packages that their documentation tells programs to import."""

PACKAGES = {"aiohttp.web", "rich.box", "opentelemetry.trace"}
"""Of these, modules that are imported as a name of the module above."""

PYTHONS = {"_exit", "_replace"}
"""Names with an underscore that Python documents."""


TEXTS = {"_statecharts_model", "_statecharts_load"}
"""Our own names with an underscore that stand in a text."""


@dataclass(frozen=True)
class Row:
    """A row of the page's tables. *package* is the heading above it, or the text before the piece."""

    package: str
    piece: str
    where: str
    why: str
    outcome: str
    test: str

    @property
    def quoted(self) -> list[str]:
        """The names in the row's first cell."""
        return re.findall(r"`([^`]+)`", self.piece)


def rows() -> Iterator[Row]:
    for section in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]:
        heading = section.partition("\n")[0]
        for line in re.findall(r"^\| (.*) \|$", section, re.MULTILINE)[1:]:
            piece, where, why, outcome, test = line.split(" | ")
            package, named, rest = piece.partition(": ")
            ours = heading == "Others" and bool(named)
            yield Row(
                package if ours else heading, rest if ours else piece, where.strip("`"), why, outcome, test.strip("`")
            )


ROWS = list(rows())
each_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.package} {row.piece[:40]}")
NAMED = {name for row in ROWS for name in row.quoted}


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(path: Path) -> Iterator[tuple[str, str]]:
    """The modules of other packages that a file imports, with the names that it takes from them."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                inner = whole in PACKAGES or node.module == "google.protobuf"
                yield (whole, "") if inner else (node.module, alias.name)


def is_private(module: str) -> bool:
    return any(part == "internal" or (part[0] == "_" and part != "__future__") for part in module.split("."))


def words(path: Path) -> set[str]:
    """The words of a file's code: names, and texts that are no prose. Its comments and docstrings do not count."""
    found: set[str] = set()
    for node in ast.walk(tree(path)):
        match node:
            case ast.Attribute(attr=name) | ast.Name(id=name) | ast.arg(arg=name) | ast.keyword(arg=str(name)):
                found.add(name)
            case ast.alias(name=name) | ast.ImportFrom(module=str(name)):
                found |= {name, *name.split(".")}
            case ast.Constant(value=str(text)) if " " not in text.strip():
                found |= {text.strip(), *re.findall(r"\w+", text)}
    return found


def own_names() -> set[str]:
    """The names that this package itself defines."""
    found: set[str] = set()
    for node in (node for path in FILES for node in ast.walk(tree(path))):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
            case ast.Attribute(value=ast.Name("self" | "cls"), attr=name, ctx=ast.Store()) | ast.Name(
                name, ast.Store()
            ):
                found.add(name)
            case ast.arg(arg=name) | ast.alias(asname=str(name)):
                found.add(name)
    return found


def touched(path: Path) -> Iterator[str]:
    """The names with an underscore that a file reads from an object, or holds as text."""
    for node in ast.walk(tree(path)):
        match node:
            case ast.Attribute(attr=name) if not (
                isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            ):
                yield name
            case ast.Constant(value=str(text)):
                yield from re.findall(r"(?:^|\.)(_[a-zA-Z]\w*)(?:$|\[)", text) if " " not in text else ()


OWN = own_names()


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_file_leans_on_is_documented_or_on_the_page(path: Path) -> None:
    for module, name in imported(path):
        root = module.partition(".")[0]
        if root in OURS or (root in sys.stdlib_module_names and not is_private(module) and module not in NAMED):
            continue
        if is_private(module) or module not in DOCUMENTED:
            assert module in NAMED, (
                f"{module}: put it on docs/leaning.md, or among DOCUMENTED if its package documents it"
            )
            assert not name or name in NAMED or module.startswith("google."), (
                f"{module}.{name} is not on docs/leaning.md"
            )
    known = OWN | PYTHONS | TEXTS | {name.rpartition(".")[2] for name in NAMED}
    for name in touched(path) if not path.stem.endswith("_pb2") else ():
        is_ours = name in known or name.isupper() or not re.fullmatch(r"_[a-zA-Z](\w*[^_])?", name)
        assert is_ours, f"{name} is private to another package: put it on docs/leaning.md"


def test_every_piece_that_is_tried_is_on_the_page_by_its_name() -> None:
    assert {*sdk_internals.PIECES, *library.PIECES} <= NAMED
    assert {f"Inngest.{name}" for name in sdk_internals._OF_A_CLIENT} <= NAMED


@each_row
def test_a_row_is_whole(row: Row) -> None:
    assert row.quoted or row.outcome.startswith("ceiling"), "its piece has no name in backticks"
    assert row.why
    assert re.match(r"(clear error|fall-back: |ceiling: )", row.outcome)


@each_row
def test_what_a_row_names_is_in_the_file_that_it_names(row: Row) -> None:
    path = ROOT / row.where
    assert path in FILES
    found = words(path)
    for name in row.quoted:
        last = re.sub(r"\(.*", "", name).rpartition(".")[2]
        assert {last, name} & found, f"{row.where} does not lean on {name} any more"


@each_row
def test_a_rows_test_is_there_and_names_package_and_version(row: Row) -> None:
    file, _, name = row.test.partition("::")
    path = ROOT / "tests/leaning" / file
    assert path.exists()
    found = [node for node in ast.walk(tree(path)) if getattr(node, "name", None) == name]
    assert found, f"there is no {row.test}"
    source = ast.get_source_segment(path.read_text(encoding="utf-8"), found[0]) or ""
    assert re.search(r"\{(?:[A-Z]{4,}|installed\(.*?\)|platform\.python_version\(\))\}|told\(", source)


def test_a_ceiling_on_the_page_is_the_projects() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    ceilings = re.findall(r"`([\w-]+>=[\d.]+,<\d[\d.]*)`", PAGE)
    assert len(set(ceilings)) == 5
    for ceiling in ceilings:
        assert f'"{ceiling}"' in project
    assert sdk_internals.SUPPORTED in ceilings
    assert library.SUPPORTED in ceilings
