"""Reads the pages of the documentation: their code blocks, and the commands in them."""

import re
import shlex
import subprocess
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [DOCS / f"{name}.md" for name in ("quickstart", "migrating", "lifecycle", "testing", "runbook", "doctor")]
README = ROOT / "README.md"

_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
_FILE = re.compile(r"# (\w+\.py)\n")


@dataclass(frozen=True)
class Block:
    """A fenced code block: its line, its language and its text."""

    page: str
    line: int
    language: str
    text: str

    @property
    def file(self) -> str:
        """The file name in the block's first line; "" if there is none."""
        named = _FILE.match(self.text)
        return named[1] if named else ""

    def __str__(self) -> str:
        return f"{self.page}:{self.line} {self.file}".rstrip()


@dataclass(frozen=True)
class Command:
    """A line `$ …` of a console block, with the output that the page shows."""

    page: str
    line: int
    text: str
    shown: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page}:{self.line} {self.text}"

    @property
    def words(self) -> tuple[dict[str, str], list[str]]:
        """The variables that the command sets, and its words without them."""
        words = shlex.split(self.text, comments=True)
        names = [word for word in words if re.match(r"[A-Z_]+=", word)]
        return dict(name.split("=", 1) for name in names), words[len(names) :]


def tracked() -> list[str]:
    """The paths of the repository's files, from its root."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S607
    return [name for name in listed.stdout.split("\0") if (ROOT / name).is_file()]


def blocks(page: Path, language: str) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(page.name, text.count("\n", 0, found.start()) + 1, language, textwrap.dedent(found[3]))
        for found in _FENCE.finditer(text)
        if found[2] == language
    ]


def commands(page: Path) -> Iterator[Command]:
    for block in blocks(page, "console"):
        lines = block.text.splitlines()
        starts = [at for at, line in enumerate(lines) if line.startswith("$ ")]
        for at, end in zip(starts, [*starts[1:], None], strict=True):
            shown = tuple(line for line in lines[at + 1 : end] if line)
            yield Command(page.name, block.line + at + 1, lines[at][2:], shown)


def files(page: Path) -> dict[str, str]:
    """The files that the Python blocks of *page* stand for, by name."""
    return {block.file: block.text for block in blocks(page, "python")}


def session() -> list[Command]:
    """The commands of the quick start's three terminals: server, worker, event. They have a test of their own."""
    known = list(commands(DOCS / "quickstart.md"))
    first = next(at for at, command in enumerate(known) if command.text == "python -m connect gateway")
    return known[first : first + 3]


_MASKS = [
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}", "DATE"),
    (r"^\d\d:\d\d:\d\d", "TIME"),
    (r"\b[0-9A-HJKMNP-TV-Z]{26}\b", "ID"),
    (r"127\.0\.0\.1(:|', )\d+", "LOOPBACK"),
    (r"(worker|takes work:) \S+", r"\1 HOST"),
    (r"(inngest|connect|Python) \d+\.\d+\.\w+", r"\1 VERSION"),
    (r"\bpid \d+", "pid PID"),
    (r"\d+\.\d+ ?s\b", "SECONDS"),
    (r"in flight: \d+(; a second signal cancels them)?", "in flight: SOME"),  # a reply may be on its way
]


def masked(line: str) -> str:
    """*line* without the parts that differ each time."""
    for pattern, name in _MASKS:
        line = re.sub(pattern, name, line)
    return line.rstrip()
