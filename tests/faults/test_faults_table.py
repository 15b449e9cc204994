"""docs/faults.md, the tests that it names, and the mutations that prove them fit together."""

import re
from pathlib import Path

import pytest

from tests.faults.table import Mutation, mutations

ROOT = Path(__file__).parents[2]
ROWS = re.findall(r"^\| (\S*#.*?) \| (.*?) \| (.*?) \| (.*?) ?\|$", (ROOT / "docs/faults.md").read_text(), re.MULTILINE)
FILES = [
    *(ROOT / "tests/worker").glob("test_worker_faults_*.py"),
    *(ROOT / "tests/bounds").glob("test_bounds_*.py"),
    *(ROOT / "tests/field").glob("test_field_*.py"),
]
OURS = ("bound#", "field#")
"""Rows of what was seen on this worker itself."""


def _short(file: str) -> str:
    """How the page names the tests of *file*: `leases` for test_worker_faults_leases.py, `bounds_time` for test_bounds_time.py."""
    return re.sub(r"(?:.*/)?test_(?:worker_faults_)?(\w+)\.py", r"\1", file)


TESTS = {
    f"{_short(path.name)}::{name}"
    for path in FILES
    for name in re.findall(r"^(?:async )?def (test_\w+)", path.read_text(), re.MULTILINE)
}
PROVED = {(row, _short(test)) for mutation in mutations() for row in mutation.rows for test in mutation.tests}


def test_all_56_rows_are_there_once() -> None:
    reported = [row for row, *_ in ROWS if not row.startswith(OURS)]
    assert len(reported) == len(set(reported)) == 56


def test_no_row_stands_twice() -> None:
    assert len(ROWS) == len({row for row, *_ in ROWS})


@pytest.mark.parametrize(("row", "symptom", "tests", "taken_out"), ROWS, ids=[row for row, *_ in ROWS])
def test_a_row_has_a_reason_or_tests_that_were_seen_to_fail(row: str, symptom: str, tests: str, taken_out: str) -> None:
    named = set(re.findall(r"`(\w+::test_\w+)`", tests))
    assert symptom
    assert named <= TESTS
    if tests.startswith("none: "):
        assert not named
    else:
        assert taken_out
        assert {test for of, test in PROVED if of == row}, "no mutation stands for this row"
        assert named <= {test for _, test in PROVED}


def test_every_test_of_these_files_is_in_the_table_and_proved() -> None:
    named = {test for _, _, tests, _ in ROWS for test in re.findall(r"`(\w+::test_\w+)`", tests)}
    assert named == TESTS
    assert {test for _, test in PROVED} == TESTS


@pytest.mark.parametrize("mutation", mutations(), ids=lambda mutation: f"{mutation.rows[0]} {mutation.takes_out[:40]}")
def test_the_protecting_line_is_where_the_mutation_says(mutation: Mutation) -> None:
    text = (ROOT / mutation.file).read_text()
    assert mutation.apply(text) != text
