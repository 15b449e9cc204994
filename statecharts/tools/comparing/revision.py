"""Charts of another git revision, read without touching the working tree.

The revision is unpacked into a temporary folder, and a process of its own imports the charts from there: with this interpreter and
its packages, the import path's folders in the working tree replaced by the same folders of the revision.
"""

import json
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from statecharts import model
from statecharts.model import ChartModel
from statecharts.tools import load
from statecharts.tools.comparing import reader
from statecharts.tools.load import MissingError, UnusableError, one_line

_SECONDS = 60
"""How long the process that imports a revision's charts may take."""

_VERSION = re.compile(r"(?:(?P<revision>.+)@)?(?P<chart>[^\W\d][\w.]*:[^\W\d][\w.]*)")


@dataclass(frozen=True, slots=True)
class Version:
    """A git revision (None: the working tree), and a chart's name (None: the charts that are asked for)."""

    revision: str | None
    chart: str | None

    def __str__(self) -> str:
        return "@".join(filter(None, (self.revision, self.chart))) or "the working tree"


def version(text: str) -> Version:
    """What *text* names: `REVISION`, `MODULE:CHART` or `REVISION@MODULE:CHART`."""
    named = _VERSION.fullmatch(text)
    return Version(named["revision"], named["chart"]) if named else Version(text, None)


def charts(revision: str | None, names: Sequence[str]) -> list[ChartModel | None]:
    """The charts called *names*, `MODULE:CHART` each, as they are at *revision* (None: in the working tree); None for one that does
    not exist there. Raises: UnusableError: no git, no repository, no such revision, or a chart that cannot be read."""
    if revision is None:
        return [_present(name) for name in names]
    root = Path(_git(["rev-parse", "--show-toplevel"], "not in a git repository with a working tree"))
    commit = _git(
        ["rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"],
        f"{revision!r} is no git revision here; a chart is written MODULE:CHART",
    )
    with tempfile.TemporaryDirectory(prefix="statecharts-") as folder:
        tree = Path(folder).resolve() / "tree"
        _unpack(root, commit, tree)
        found = _read(root, tree, names, revision)
    return [model.from_json(text) if text else None for text in (found[name] for name in names)]


def _present(name: str) -> ChartModel | None:
    try:
        return model.read(load.chart(name))
    except MissingError:
        return None


def _git(arguments: list[str], otherwise: str) -> str:
    return _run_git(arguments, otherwise).decode().strip()


def _run_git(arguments: list[str], otherwise: str) -> bytes:
    try:
        result = subprocess.run(["git", *arguments], capture_output=True, check=False)  # noqa: S603, S607
    except FileNotFoundError:
        raise UnusableError("the program `git` is missing, so no revision can be read: install git") from None
    if result.returncode:
        said = one_line(result.stderr.decode(errors="replace"))
        raise UnusableError(f"{otherwise}{f' ({said})' if said else ''}")
    return result.stdout


def _unpack(root: Path, commit: str, tree: Path) -> None:
    archive = _run_git(["-C", str(root), "archive", "--format=tar", commit], f"git cannot unpack {commit}")
    with tarfile.open(fileobj=BytesIO(archive)) as tar:
        if hasattr(tarfile, "tar_filter"):
            tar.extractall(tree, filter="tar")
        else:  # Python before 3.11.4 has no filter; an archive of git's needs none
            tar.extractall(tree)  # noqa: S202


def _read(root: Path, tree: Path, names: Sequence[str], revision: str) -> dict[str, str | None]:
    """What `statecharts.tools.comparing.reader` finds in *tree*."""
    here = tree / Path.cwd().resolve().relative_to(root)
    here.mkdir(parents=True, exist_ok=True)
    answer = tree.parent / "answer.json"
    order = {"names": list(names), "path": _import_path(root, tree), "root": str(root), "tree": str(tree)}
    (tree.parent / "order.json").write_text(json.dumps({**order, "answer": str(answer)}), encoding="utf-8")
    code = _run_reader(here, tree.parent / "order.json", revision)
    if not answer.exists():
        what = f"the process that imports {', '.join(names)}"
        raise UnusableError(f"{revision}: {what} ended with exit code {code} and no answer; import them there by hand")
    found = json.loads(answer.read_text(encoding="utf-8"))
    if "error" in found:
        raise UnusableError(f"{revision}: {found['error']}")
    charts: dict[str, str | None] = found["charts"]
    return charts


def _run_reader(folder: Path, order: Path, revision: str) -> int:
    """Run it in *folder*; its exit code."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    command = [sys.executable, "-I", "-B", "-X", "utf8", reader.__file__, str(order)]
    nowhere = subprocess.DEVNULL
    try:
        ended = subprocess.run(  # noqa: S603
            command,
            cwd=folder,
            env=environment,
            timeout=_SECONDS,
            check=False,
            stdin=nowhere,
            stdout=nowhere,
            stderr=nowhere,
        )
    except subprocess.TimeoutExpired:
        raise UnusableError(f"{revision}: importing its charts took longer than {_SECONDS} s") from None
    return ended.returncode


def _import_path(root: Path, tree: Path) -> list[str]:
    """This process's import path, as it would be in *tree*; the interpreter's own folders stay, though they may lie in *root*."""
    kept = [Path(folder).resolve() for folder in sysconfig.get_paths().values()]
    places = [Path(entry).resolve() for entry in dict.fromkeys(["", *sys.path])]
    moved = (
        tree / place.relative_to(root)
        if place.is_relative_to(root) and not any(place.is_relative_to(folder) for folder in kept)
        else place
        for place in places
    )
    return [str(place) for place in moved]
