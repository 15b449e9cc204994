"""Take each protecting line out, and see that its tests fail: the evidence behind docs/faults.md.

`python -m tests.faults [WORD ...]` works in copies of this tree, on every mutation of mutations/, or on those one of whose rows
or tests contains a WORD. Exit code 0: every test failed as it had to, and passes where nothing is taken out.
"""

import concurrent.futures
import contextlib
import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.faults.table import Mutation, mutations
from tests.group_kit import end_group

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("connect", "statecharts", "diagrams", "tests", "pyproject.toml")
AT_ONCE = os.cpu_count() or 1
HUNG = ("--timeout=40", "--timeout-method=thread")
"""What hangs is killed, as a failure: the way in which many a mutilated worker fails is never to end."""
MARK = "FAULTS_TEST"
"""The variable by which the processes of a test are known."""
FAILED = 1
"""pytest's exit code for tests that ran and failed; an import that breaks is another one, and proves nothing."""


@dataclass(frozen=True)
class Verdict:
    """The result of one test under one mutation."""

    mutation: Mutation | None
    test: str
    code: int
    why: str

    @property
    def good(self) -> bool:
        """Whether the test failed with the mutation, or passed without one."""
        return self.code == (FAILED if self.mutation else 0)

    def __str__(self) -> str:
        name = f"{' '.join(self.mutation.rows)}: {self.mutation.takes_out}" if self.mutation else "nothing taken out"
        return f"{'ok ' if self.good else 'BAD'} {name}\n      {self.test}\n      {self.why}"


class Copy:
    """A copy of the tree, in which mutations are applied and undone."""

    def __init__(self, path: Path) -> None:
        self.path = path
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, path / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, path / name)

    def verdicts(self, mutation: Mutation) -> list[Verdict]:
        """Apply *mutation*, run its tests, and undo it."""
        file = self.path / mutation.file
        whole = file.read_text()
        file.write_text(mutation.apply(whole))
        try:
            return [self.judge(mutation, test) for test in mutation.tests]
        finally:
            file.write_text(whole)

    def judge(self, mutation: Mutation | None, test: str) -> Verdict:
        """Run *test* here."""
        # No byte code: a mended file may be as old, and as long, as the mutilated one was.
        known = {"PYTHONPATH": str(self.path), "PYTHONDONTWRITEBYTECODE": "1", MARK: uuid.uuid4().hex}
        environment = {**os.environ, **known}
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *HUNG, test]
        # Into a file: a pipe could be held open by what a pytest that is killed leaves behind.
        with tempfile.TemporaryFile("w+") as output:
            ran = subprocess.Popen(  # noqa: S603 - our own command
                command, cwd=self.path, env=environment, stdout=output, stderr=output, start_new_session=True
            )
            try:
                code = ran.wait()
            finally:
                end_group(ran.pid)
                _end_strays(environment[MARK])
            output.seek(0)
            return Verdict(mutation, test, code, _reason(output.read()))


def _end_strays(mark: str) -> None:
    """Kill the processes that tests started in groups of their own: a pytest that is killed leaves them behind."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(MARK) == mark:
                process.kill()


def _reason(output: str) -> str:
    """Why pytest failed, in one line; else the last line of its output."""
    if "+ Timeout +" in output:
        return "it hung"
    found = re.search(r"^(?:FAILED|ERROR) .*? - (.*)$", output, re.MULTILINE)
    return (found.group(1) if found else output.strip().rpartition("\n")[2])[:150]


def run(chosen: Iterable[Mutation]) -> list[Verdict]:
    """Run *chosen*, and print each verdict as it comes."""
    chosen = list(chosen)
    with tempfile.TemporaryDirectory() as scratch, concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        copies: queue.SimpleQueue[Copy] = queue.SimpleQueue()
        for number in range(AT_ONCE):
            copies.put(Copy(Path(scratch, str(number))))

        def work(item: Mutation | str) -> list[Verdict]:
            copy = copies.get()
            try:
                return [copy.judge(None, item)] if isinstance(item, str) else copy.verdicts(item)
            finally:
                copies.put(copy)

        unharmed = sorted({test for mutation in chosen for test in mutation.tests})
        verdicts = []
        for batch in pool.map(work, [*unharmed, *chosen]):
            verdicts += batch
            print(*batch, sep="\n", flush=True)  # noqa: T201
        return verdicts


def main(words: list[str]) -> int:
    """Run the mutations, and print those whose verdict is bad."""
    verdicts = run(m for m in mutations() if not words or any(w in f"{m.rows} {m.tests}" for w in words))
    bad = [verdict for verdict in verdicts if not verdict.good]
    taken = sum(verdict.mutation is not None for verdict in verdicts)
    print(f"\n{taken} tests run with a line taken out, {len(verdicts) - taken} without; {len(bad)} bad", *bad, sep="\n")  # noqa: T201
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
