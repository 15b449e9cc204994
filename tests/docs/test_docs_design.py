"""docs/DESIGN.md §2 names every folder and file of the root, and every room of the code and the tests, and nothing else."""

import re

import pytest

from tests.docs.pages import DOCS, tracked

PAGE = (DOCS / "DESIGN.md").read_text(encoding="utf-8")
TABLES = {
    "2. The folders": "",
    "connect/": "connect/",
    "statecharts/": "statecharts/",
    "statecharts/tools/": "statecharts/tools/",
    "tests/": "tests/",
}
"""What each table lists, by the heading above it."""


def named(title: str) -> list[str]:
    """The names in the first column of the table under that heading."""
    _, _, section = PAGE.partition(f"# {title}\n")
    rows = re.findall(r"^\| (`[^|]*) \|", section.partition("\n#")[0], re.MULTILINE)
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row)]


def entries(folder: str) -> set[str]:
    """The files and folders directly in *folder*; a folder's name ends with a slash."""
    below = (name.removeprefix(folder).split("/") for name in tracked() if name.startswith(folder))
    return {f"{first}/" if inner else first for first, *inner in below}


@pytest.mark.parametrize("title", TABLES)
def test_every_folder_and_module_is_named(title: str) -> None:
    there = entries(TABLES[title])
    if title == "tests/":
        there = {name for name in there if name.endswith("/")}
    assert sorted(named(title)) == sorted(there)


@pytest.mark.parametrize("folder", ["benchmarks/", "deploy/", "docs/"])
def test_a_folder_in_another_is_named_with_it(folder: str) -> None:
    row = PAGE.partition(f"| `{folder}` |")[2].partition("\n")[0]
    assert [name for name in entries(folder) if name.endswith("/") and f"`{name}`" not in row] == []
