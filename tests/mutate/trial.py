"""Runs some tests with one mutant, in one process: do they all pass?"""

import contextlib
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HUNG = 15
"""Seconds after which a test is killed, as a failure: the way in which many a mutant fails is never to end."""
FROZEN = 600
"""Seconds after which a whole trial is."""

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["aiohttp", "inngest"])  # half of the time that a trial would take


@dataclass(frozen=True)
class Failure:
    """The first test that failed, and why, in a line."""

    test: str
    why: str


def fails(mutant: str, tests: Sequence[str]) -> Failure | None:
    """Run *tests* with the mutant *name* until one fails. Blocks. Raises: RuntimeError: pytest could not run them."""
    with tempfile.TemporaryDirectory() as scratch:
        notes, output = Path(scratch, "notes"), Path(scratch, "output")
        process = _FORKS.Process(target=_run, args=(mutant, tuple(tests), notes, output))
        process.start()
        process.join(FROZEN)
        if process.exitcode is None:
            process.kill()
            process.join()
        if process.exitcode in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            return None
        if not notes.exists():
            raise RuntimeError(f"{mutant}: {output.read_text()[-2000:]}")
        test, _, why = notes.read_text().partition("\n")
        return Failure(test, why or "it hung")


class Notes:
    """A plugin that writes down which test runs and how one failed, so that it is known even if the process is killed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._failed = False

    def pytest_configure(self) -> None:
        """Do not look for the shortest example of a failure: any will do."""
        from hypothesis import Phase, settings

        settings.register_profile("mutant", phases=[Phase.explicit, Phase.generate])
        settings.load_profile("mutant")

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._path.write_text(nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._note(report)

    def _note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.failed and not self._failed:
            self._failed = True
            crash = getattr(report.longrepr, "reprcrash", None)
            said = str(crash.message if crash else report.longreprtext).strip()
            self._path.write_text(f"{report.nodeid}\n{said.splitlines()[0] if said else 'it failed'}")


def _run(mutant: str, tests: tuple[str, ...], notes: Path, output: Path) -> None:
    """Run the tests in the trial's process, and end it at once, whatever threads a mutant has left."""
    os.chdir(ROOT)
    with output.open("w") as sink:
        os.dup2(sink.fileno(), 1)
        os.dup2(sink.fileno(), 2)
    os.environ["MUTANT"] = mutant
    code = 70
    with contextlib.suppress(BaseException):
        code = pytest.main([*_OPTIONS, *tests], plugins=[Notes(notes)])
        sys.stdout.flush()
    os._exit(code)


_OPTIONS = (
    *("-x", "-q", "-p", "tests.mutate.plugin", "-p", "no:cacheprovider", "-p", "no:xdist"),
    *(f"--timeout={HUNG}", "--timeout-method=thread"),
)
