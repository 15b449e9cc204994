"""Transition coverage writes JSON, a page and pictures into a folder."""

import re
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest
from coverage_kit import PLUGIN, TICKET, lift

from statecharts.tools.drawing.marks import HALF, NEVER, TAKEN
from tests.needs import needs_dot

pytest_plugins = ["pytester"]

OPTIONS = (
    *PLUGIN,
    "--transition-cover=lift:Lift",
    "--transition-cover=ticket:Ticket",
    "--transition-cover-report=report",
)
TESTS = """
    from lift import ride
    from ticket import buy
    def test_half(): buy("pay", "look", "pay", rich=True)
    def test_ride(): ride("tick", "call", "turn", powered=False)
    def test_names(): ride("tick")
"""
FILES = {"coverage.json", "index.html", *(f"{name}.{kind}" for name in ("lift", "ticket") for kind in ("dot", "mmd"))}


@pytest.fixture
def report(pytester: pytest.Pytester) -> Path:
    """The folder after a session."""
    pytester.makepyfile(lift=lift(), ticket=TICKET, test_it=TESTS)
    pytester.runpytest_inprocess(*OPTIONS).assert_outcomes(passed=3)
    return pytester.path / "report"


@needs_dot
def test_the_same_hits_make_the_same_bytes(pytester: pytest.Pytester, report: Path) -> None:
    """This holds for every file, in whatever order the tests ran."""
    before = {file.name: file.read_bytes() for file in report.iterdir()}
    assert set(before) == FILES | {"lift.svg", "ticket.svg"}
    shutil.rmtree(report)
    names = [f"test_it.py::test_{name}" for name in ("ride", "names", "half")]
    pytester.runpytest_inprocess(*OPTIONS, *names).assert_outcomes(passed=3)
    assert {file.name: file.read_bytes() for file in report.iterdir()} == before


@pytest.mark.parametrize("kind", ["dot", "mmd", pytest.param("svg", marks=needs_dot)])
def test_pictures_tell_what_was_taken(report: Path, kind: str) -> None:
    """A sign before each transition says so; its colour is not needed."""
    text = (report / f"ticket.{kind}").read_text()
    signs = re.findall(f"([{TAKEN.sign}{HALF.sign}{NEVER.sign}]) ?(pay|look|tear)", text)
    wanted = [(HALF.sign, "pay"), (NEVER.sign, "pay"), (TAKEN.sign, "look"), *[(NEVER.sign, "tear")] * 2]
    assert sorted(signs) == sorted(wanted)


@needs_dot
def test_pictures_have_a_key_and_colours(report: Path) -> None:
    """The text of the key is in the picture."""
    svg = (report / "ticket.svg").read_text()
    for mark in (TAKEN, HALF, NEVER):
        assert f"{mark.sign} {mark.meaning}" in svg
        assert mark.ink in svg


@needs_dot
def test_the_page_needs_nothing_but_itself(report: Path) -> None:
    """It loads no address and has no id twice. Each chart has its picture, its counts and its tests."""
    page = (report / "index.html").read_text()
    assert not re.findall(r"(?:src|href)=(?!\"#)|@import|url\(|<script|<link", page.replace("xmlns:xlink", ""))
    assert len(re.findall("<svg", page)) == 2
    ids = re.findall(r' id="([^"]*)"', page)
    assert sorted(ids) == ["Lift", "Ticket"]
    assert "test_it.py<ul><li>test_half" in page
    assert "prefers-color-scheme" in page or "light-dark(" in page
    assert "How does a lift go?" in page
    assert "never refused" in page
    assert "by pay at once" in page


@needs_dot
def test_the_svg_files_are_well_formed(report: Path) -> None:
    for name in ("lift", "ticket"):
        assert ElementTree.fromstring((report / f"{name}.svg").read_text()).tag.endswith("svg")  # noqa: S314


def test_without_graphviz_everything_but_the_svg_is_there(
    pytester: pytest.Pytester, report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page has the Mermaid text instead, the terminal says what to install, and an older picture is removed."""
    monkeypatch.setenv("PATH", "")
    result = pytester.runpytest_inprocess(*OPTIONS)
    assert result.ret == pytest.ExitCode.OK
    assert {file.name for file in report.iterdir()} == FILES
    assert "<pre>stateDiagram-v2" in (report / "index.html").read_text()
    result.stdout.fnmatch_lines(["*written to *; the program `dot` is missing*apt-get install graphviz*"])


def test_what_charts_and_tests_are_called_cannot_break_the_page(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        lift=lift(),
        test_it="""
            import pytest
            from lift import ride
            @pytest.mark.parametrize("name", ["<script>&"])
            def test_it(name): ride("tick")
        """,
    )
    pytester.runpytest_inprocess(*OPTIONS[:-2], OPTIONS[-1]).assert_outcomes(passed=1)
    page = (pytester.path / "report" / "index.html").read_text()
    assert "<script>" not in page
    assert "test_it[&lt;script&gt;&amp;]" in page
