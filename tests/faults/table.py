"""Reads mutations/: which line protects from which fault, and which tests must fail without it."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Mutation:
    """In *file*, the text *line* is replaced by *without*; then each of *tests* must fail.

    *rows* are the rows of docs/faults.md that this stands for, *takes_out* says in words what is gone. *tests* are paths under
    tests/, or under tests/worker/ where they name no folder.
    """

    rows: tuple[str, ...]
    takes_out: str
    file: str
    line: str
    without: str
    tests: tuple[str, ...]

    def apply(self, text: str) -> str:
        """*text* without the protecting line. Raises: ValueError: the line is not there exactly once."""
        if text.count(self.line) != 1:
            found = f"{self.file} has {text.count(self.line)} times, not once: {self.line!r}"
            raise ValueError(f"{found}; mend this entry of tests/faults/mutations/")
        return text.replace(self.line, self.without)


def mutations() -> list[Mutation]:
    """All mutations, in the order of their files' names and in each file's order."""
    files = sorted((HERE / "mutations").glob("*.toml"))
    entries = [entry for file in files for entry in tomllib.loads(file.read_text())["mutation"]]
    return [
        Mutation(
            rows=tuple(entry["rows"]),
            takes_out=entry["takes_out"],
            file=entry["file"],
            line=entry["line"].strip("\n"),
            without=entry["without"].strip("\n"),
            tests=tuple(f"tests/{test}" if "/" in test else f"tests/worker/{test}" for test in entry["tests"]),
        )
        for entry in entries
    ]
