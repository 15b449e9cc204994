"""Each decision has a short page with its date, and names only facts and code that exist."""

import re
from datetime import date
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, ROOT, tracked

FOLDER = DOCS / "decisions"
INDEX = FOLDER / "README.md"
PAGES = sorted(set(FOLDER.glob("*.md")) - {INDEX})
LINES = 40
"""What fits on a screen."""
PARTS = ("**Context.**", "**Decision.**", "**Consequences.**")
HEAD = re.compile(r"# .+\n\n- Decided: (?P<when>.+)\n- Facts: (?P<facts>.+)\n- Code: (?P<code>.+)\n\n")
SECTIONS = re.compile(r"(PROTOCOL|STATECHARTS)\.md((?:,? §[\d.]*\d)+)")
REFERENCE = re.compile(r"\bdocs/decisions/[\w.-]*\w")

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


def head(page: Path) -> re.Match[str]:
    found = HEAD.match(page.read_text(encoding="utf-8"))
    assert found, f"{page.name} begins with a title, and with when it was decided, the facts behind it, and the code"
    return found


@each_page
def test_a_decision_is_one_screen_with_its_parts_in_order(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.count("\n") <= LINES
    assert [part for part in re.findall(r"^\*\*\w+\.\*\*", text, re.MULTILINE) if part in PARTS] == list(PARTS)
    assert text.count("\n# ") == 0, "one decision, one heading"


@each_page
def test_a_decision_has_a_day(page: Path) -> None:
    for day in head(page)["when"].split(", changed "):
        date.fromisoformat(day)


@each_page
def test_the_facts_of_a_decision_are_there(page: Path) -> None:
    cited = SECTIONS.findall(page.read_text(encoding="utf-8"))
    assert SECTIONS.search(head(page)["facts"])
    for name, sections in cited:
        titles = re.findall(r"^#+ ([\d.]*\d)", (DOCS / f"{name}.md").read_text(encoding="utf-8"), re.MULTILINE)
        missing = set(re.findall(r"[\d.]*\d", sections)) - set(titles)
        assert not missing, f"{name}.md has no section {', '.join(sorted(missing))}"


@each_page
def test_the_code_of_a_decision_is_there(page: Path) -> None:
    assert [path for path in re.findall(r"`([^`]+)`", head(page)["code"]) if not (ROOT / path).is_file()] == []


def test_the_index_names_every_decision_once() -> None:
    named = re.findall(r"\]\(([\w-]+\.md)\)", INDEX.read_text(encoding="utf-8"))
    assert sorted(named) == [page.name for page in PAGES]


def test_whatever_names_a_decision_names_one_that_is_there() -> None:
    texts = (ROOT / name for name in tracked() if name.endswith((".md", ".py", ".toml", ".json")))
    named = {name for path in texts for name in REFERENCE.findall(path.read_text(encoding="utf-8"))}
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []
