"""The runner of mutants finds what it should, and docs/mutation.md names only mutants that exist."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutate import page
from tests.mutate.install import IDENTITY, every_mutant
from tests.mutate.trial import ROOT, fails
from tests.mutate.verdicts import Outcome, Verdict, Verdicts

TESTS = ("tests/worker/test_worker_first_light.py",)


def test_charts_that_are_made_anew_pass() -> None:
    assert fails(IDENTITY, TESTS) is None


def test_a_bug_that_is_not_reported_fails() -> None:
    bug = "tests/worker/test_worker_bugs.py::test_a_bug_while_connecting_closes_at_once"
    failure = fails("Connection: connecting --error_execution--> closed without note_error", [bug])
    assert failure
    assert failure.test == bug


def test_the_plugin_says_that_there_is_no_such_mutant() -> None:
    command = [sys.executable, "-m", "pytest", "-p", "tests.mutate.plugin", *TESTS]
    ran = subprocess.run(  # noqa: S603 - our own command
        command, cwd=ROOT, env={**os.environ, "MUTANT": "nobody"}, capture_output=True, text=True, check=False
    )
    assert "no mutant 'nobody'" in ran.stderr
    assert ran.returncode != pytest.ExitCode.OK


def test_the_page_lists_mutants_that_there_are() -> None:
    assert not list(page.faults([], page.survivors(), {mutant.name for mutant in every_mutant()}))


ONE, OTHER, *_ = every_mutant()


@pytest.mark.parametrize(
    ("verdicts", "listed", "fault"),
    [
        ({0: "killed", 1: "refused"}, [], None),
        ({0: "killed", 1: "survived"}, [OTHER.name], None),
        ({0: "killed", 1: "survived"}, [], f"survives: {OTHER.name}"),
        ({0: "killed"}, [ONE.name], f"killed   {ONE.name}"),
        ({0: "refused"}, [ONE.name], f"refused  {ONE.name}"),
        ({}, ["Link: a tale"], "there is no mutant 'Link: a tale'"),
    ],
)
def test_a_survivor_is_listed_and_what_is_listed_survives(
    verdicts: dict[int, Outcome], listed: list[str], fault: str | None
) -> None:
    pairs = [((ONE, OTHER)[number], outcome) for number, outcome in verdicts.items()]
    found = [(mutant, Verdict(mutant.name, outcome)) for mutant, outcome in pairs]
    said = list(page.faults(found, listed, {ONE.name, OTHER.name}))
    assert [text.startswith(fault or "") for text in said] == [True] * bool(fault)


def test_figures_are_put_between_the_words(tmp_path: Path) -> None:
    file = tmp_path / "page.md"
    file.write_text("before\n<!-- figures -->\nold\n<!-- end -->\nafter\n")
    page.write([(ONE, Verdict(ONE.name, "killed", 90.0)), (OTHER, Verdict(OTHER.name, "survived", 30.0))], file)
    assert file.read_text().startswith("before\n<!-- figures -->\n| chart |")
    assert "| all |  | 2 | 0 | 1 | 1 |\n" in file.read_text()
    assert file.read_text().endswith("<!-- end -->\nafter\n")


def test_a_verdict_holds_until_something_changes_that_it_rests_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tests = tmp_path / "tests/worker"
    tests.mkdir(parents=True)
    monkeypatch.setattr("tests.mutate.verdicts.ROOT", tmp_path)
    for name in ("conftest.py", "test_one.py", "test_other.py"):
        (tests / name).write_text("")
    kept = Verdicts(tmp_path / "kept")
    kept.add(Verdict("killed", "killed", test="tests/worker/test_one.py::test"))
    kept.add(Verdict("alive", "survived"))

    assert (known(tmp_path, "killed"), known(tmp_path, "alive")) == (True, True)
    (tests / "test_other.py").write_text("# changed")
    assert (known(tmp_path, "killed"), known(tmp_path, "alive")) == (True, False)
    (tests / "conftest.py").write_text("# changed")
    assert (known(tmp_path, "killed"), known(tmp_path, "alive")) == (False, False)


def known(folder: Path, mutant: str) -> bool:
    return Verdicts(folder / "kept").get(mutant) is not None
