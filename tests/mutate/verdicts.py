"""Keeps the verdicts on mutants in a folder, so that a run that was interrupted can go on.

A verdict holds as long as nothing has changed of what it rests on: the charts, the worker, and the tests: for a mutant that a test
has killed that test's file alone, and what all tests share.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Literal

from tests.mutate.trial import ROOT

FOLDER = ROOT / ".mutation"

Outcome = Literal["refused", "killed", "survived"]


@dataclass(frozen=True)
class Verdict:
    """*refused*: the library refuses such a chart. *killed*: *test* fails, and *why*."""

    mutant: str
    outcome: Outcome
    seconds: float = 0.0
    test: str = ""
    why: str = ""

    def __str__(self) -> str:
        by = f" by {self.test}: {self.why:.120}" if self.test else f": {self.why:.120}" if self.why else ""
        return f"{self.outcome:8} {self.mutant}{by}  ({self.seconds:.0f} s)"


class Verdicts:
    """The verdicts that still hold. May be used from any thread."""

    def __init__(self, folder: Path = FOLDER) -> None:
        folder.mkdir(exist_ok=True)
        self._path = folder / "verdicts.json"
        self._lock = Lock()
        kept: dict[str, Any] = json.loads(self._path.read_text()) if self._path.exists() else {}
        self._kept = {name: (digest, Verdict(**verdict)) for name, (digest, verdict) in kept.items()}

    def get(self, mutant: str) -> Verdict | None:
        """The verdict on a mutant, if there is one."""
        digest, verdict = self._kept.get(mutant, ("", None))
        return verdict if verdict and digest == evidence(verdict.test) else None

    def add(self, verdict: Verdict) -> None:
        """Keep a verdict."""
        with self._lock:
            self._kept[verdict.mutant] = evidence(verdict.test), verdict
            kept = {name: (digest, asdict(verdict)) for name, (digest, verdict) in self._kept.items()}
            fresh = self._path.with_suffix(".new")
            fresh.write_text(json.dumps(kept, indent=1))
            fresh.replace(self._path)


def evidence(test: str = "") -> str:
    """A digest of the files that a verdict rests on. *test*: the node id of the test that killed the mutant."""
    file = test.partition("::")[0]
    paths = [path for path in _files() if not file or not _is_test(path) or path == ROOT / file]
    digest = hashlib.sha256()
    for path in paths:
        digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def _files() -> Iterator[Path]:
    yield from sorted((ROOT / "statecharts").glob("*.py"))
    yield from sorted((ROOT / "tests").glob("*.py"))
    for folder in ("connect", "tests/worker"):
        yield from sorted((ROOT / folder).rglob("*.py"))


def _is_test(path: Path) -> bool:
    return path.name.startswith("test_")
