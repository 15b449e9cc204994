"""Chooses which tests run with a mutant, and in which order: first those that take the changed transition."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import statecharts
from statecharts import model
from statecharts.tools.walking.mutants import Mutant
from statecharts.tools.walking.naming import names
from tests.mutate.install import IDENTITY
from tests.mutate.trial import ROOT

TESTS = "tests/worker"
MODEL = "tests/worker/model"
"""Tests that derive what they do from the chart: from a mutant's, others."""
OF_THE_CHART_ALONE = f"{MODEL}/test_worker_paths.py::test_every_transition_and_every_refusal_has_a_path"
"""A test that starts no worker. It would find many a mutant, and prove nothing about the others."""
FIRST = 10
"""That many tests come before all others: mostly they suffice."""


@dataclass(frozen=True)
class Round:
    """Tests for pytest. *likely*: they probably find the mutant, so one failure is enough."""

    tests: tuple[str, ...]
    likely: bool = False


class Plan:
    """*cover*: a file that `statecharts.tools.coverage` wrote."""

    def __init__(self, cover: Path) -> None:
        charts = json.loads(cover.read_text())["charts"]
        self._takers = {row["wording"]: _apart(row["tests"]) for each in charts.values() for row in each["transitions"]}
        self._broad = Counter(test for tests in self._takers.values() for test in tests)
        self._names = {model.read(chart).name: names(model.read(chart)) for chart in statecharts.CHARTS}

    def rounds(self, mutant: Mutant) -> Iterator[Round]:
        """Tests, round after round, until one fails."""
        takers = self.takers(mutant)
        yield Round(takers[:FIRST], likely=True)
        yield Round(takers[FIRST:])
        yield Round((TESTS, f"--ignore={MODEL}", *(f"--deselect={test}" for test in takers)))
        yield Round((MODEL, f"--deselect={OF_THE_CHART_ALONE}"))

    def takers(self, mutant: Mutant) -> tuple[str, ...]:
        """Tests that take a transition which the change affects; first those that take few others."""
        own = self._names[mutant.chart.name]
        names = [own[edge] for edge in mutant.touched]
        takers = {test for name in names for test in self._takers.get(name, ())}
        return tuple(sorted(takers, key=lambda test: (self._broad[test], test)))


def record(folder: Path) -> None:
    """Run every test with unchanged charts that are made as mutants are, and write into *folder* which transitions each takes.

    Raises: RuntimeError: a test fails, so mutants would prove nothing.
    """
    command = [
        *(sys.executable, "-m", "pytest", TESTS, "-q", "-p", "no:cacheprovider", "-p", "tests.mutate.plugin"),
        *("-p", "statecharts.tools.coverage", "--transition-cover", f"--transition-cover-from={TESTS}"),
        *(f"--transition-cover-report={folder}", "-n", "auto"),
    ]
    environment = {**os.environ, "MUTANT": IDENTITY}
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    if ran.returncode:
        raise RuntimeError(f"the tests fail without any mutant:\n{ran.stdout[-3000:]}{ran.stderr[-1000:]}")


def _apart(tests: Iterable[str]) -> list[str]:
    """The tests whose names do not come from a chart."""
    return [test for test in tests if not test.startswith(MODEL)]
