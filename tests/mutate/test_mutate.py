"""The runner of mutants: what a trial finds, and that docs/mutation.md is about mutants that there are."""

import os
import subprocess
import sys

import pytest

from tests.mutate import page
from tests.mutate.install import IDENTITY, every_mutant
from tests.mutate.trial import ROOT, fails

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


def test_every_survivor_on_the_page_is_a_mutant() -> None:
    assert page.survivors().keys() <= {mutant.name for mutant in every_mutant()}
