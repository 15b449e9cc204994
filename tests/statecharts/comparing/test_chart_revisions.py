"""Charts of git revisions are read from git alone, in a process of their own, whatever their code does."""

import json
import os
import subprocess
import sys
import tarfile
import warnings
from pathlib import Path

import pytest

from statecharts.tools.comparing import reader, revision
from statecharts.tools.comparing.revision import Version
from statecharts.tools.load import UnusableError

ROOT = Path(__file__).parents[3]

DOOR = """\
from statemachine import State, StateChart

class Door(StateChart):
    open_ = State(initial=True)
    shut = State()
    push = open_.to(shut)
    pull = shut.to(open_)
"""
LOCKED = f"{DOOR}    lock = shut.to.itself(on='turn_key')\n"


class Repository:
    """A git repository in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *arguments: str) -> str:
        who = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.org"]
        command = ["git", "-C", str(self.folder), *who, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603

    def write(self, **files: str) -> None:
        """Write modules at these paths."""
        for name, text in files.items():
            path = self.folder / f"{name}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def commit(self, tag: str, **files: str) -> None:
        self.write(**files)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", tag)
        self.git("tag", tag)

    def state(self) -> tuple[str, ...]:
        """All that must not change."""
        words = ("status --porcelain", "stash list", "worktree list", "rev-parse HEAD", "for-each-ref")
        return tuple(self.git(*line.split()) for line in words)

    def diff(self, *arguments: str, under: str = ".", **environment: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "statecharts", "diff", *arguments]
        given = {**os.environ, **environment}
        return subprocess.run(  # noqa: S603
            command, cwd=self.folder / under, env=given, capture_output=True, encoding="utf-8", check=False
        )


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """A repository with a chart at `first`, and with one transition more at `second`, which is checked out."""
    made = Repository(tmp_path)
    (tmp_path / "pyproject.toml").write_text('[tool.statecharts]\ncharts = ["doors:Door"]\n')
    made.commit("first", doors=DOOR)
    made.commit("second", doors=LOCKED)
    return made


ADDED_LOCK = "| + | Shut | `lock` | → Shut / turn_key |"


@pytest.mark.parametrize(
    "arguments",
    [
        ("first", "second"),
        ("first",),
        ("HEAD~1", "HEAD", "--chart", "doors:Door"),
        ("first@doors:Door",),
        ("first@doors:Door", "doors:Door"),
        ("main~1", "main@doors:Door"),
    ],
    ids=" ".join,
)
def test_a_change_between_two_versions_is_shown(repository: Repository, arguments: tuple[str, ...]) -> None:
    """A revision may be named in every way that git allows; the chart is named beside it, listed, or asked for."""
    result = repository.diff(*arguments)
    assert (result.returncode, result.stderr) == (1, "")
    assert "1 transition added." in result.stdout
    assert ADDED_LOCK in result.stdout
    assert "shut --> shut : + lock" in result.stdout


def test_versions_that_do_not_differ_are_exit_code_0(repository: Repository) -> None:
    """There is no picture then."""
    result = repository.diff("second")
    assert (result.returncode, result.stdout) == (0, "## Door\n\n`second` → the working tree: no difference.\n")


def test_the_working_tree_is_compared_as_it_is_and_left_as_it_is(repository: Repository) -> None:
    """Uncommitted changes count. The command makes no checkout, no stash, no worktree and no new file."""
    repository.write(doors=DOOR, notes="mine = 1\n")
    before = repository.state()
    result = repository.diff("second", PYTHONDONTWRITEBYTECODE="1")
    assert result.returncode == 1
    assert "| - | Shut | `lock` | → Shut / turn_key |" in result.stdout
    assert repository.state() == before


def test_a_subfolder_will_do(repository: Repository) -> None:
    """The project above it is found in both versions. The folder need not exist in the old one."""
    (repository.folder / "deep" / "down").mkdir(parents=True)
    result = repository.diff("first", under="deep/down")
    assert (result.returncode, result.stderr) == (1, "")
    assert ADDED_LOCK in result.stdout


def test_a_chart_in_another_file_is_found_by_its_name(repository: Repository) -> None:
    """A module that became a package keeps its name. A module that was renamed can be named for each side."""
    repository.git("rm", "--quiet", "doors.py")
    repository.commit("package", **{"doors/__init__": "from doors.front import Door\n", "doors/front": LOCKED})
    assert ADDED_LOCK in repository.diff("first", "package").stdout
    assert ADDED_LOCK in repository.diff("first@doors:Door", "doors.front:Door").stdout


def test_a_chart_that_one_version_lacks_is_all_added_or_all_removed(repository: Repository) -> None:
    """Its module may be missing, or its name. Two names that differ must both exist."""
    repository.commit("third", doors="", gates=LOCKED)
    there, back = repository.diff("first", "third"), repository.diff("third", "first")
    assert (there.returncode, back.returncode) == (1, 1)
    assert "2 states removed, 2 transitions removed." in there.stdout
    assert "2 states added, 2 transitions added." in back.stdout
    gates = repository.diff("first", "--chart", "gates:Door")
    assert "2 states added, 3 transitions added." in gates.stdout
    moved = repository.diff("first@gates:Door", "gates:Door")
    assert (moved.returncode, "2 states added" in moved.stdout) == (1, True)
    wrong = repository.diff("first@doors:Gate", "third@gates:Door")
    neither = repository.diff("first", "third", "--chart", "doors:Gate")
    assert neither.stderr == "statecharts: there is no chart first@doors:Gate nor third@doors:Gate\n"
    assert (wrong.returncode, wrong.stderr) == (2, "statecharts: there is no chart first@doors:Gate\n")


def test_a_module_that_only_the_working_tree_has_is_not_taken_from_there(repository: Repository) -> None:
    """The import path leads there; it is made to lead into the revision."""
    repository.write(**{"src/gates": LOCKED})
    path = str(repository.folder / "src")
    result = repository.diff("second", "--chart", "gates:Door", PYTHONPATH=path)
    assert "2 states added" in result.stdout
    repository.commit("third")
    repository.write(**{"src/gates": DOOR})
    result = repository.diff("third", "--chart", "gates:Door", PYTHONPATH=path)
    assert "1 transition removed." in result.stdout


def test_what_an_installed_package_finds_in_the_working_tree_is_not_of_the_revision(tmp_path: Path) -> None:
    """An editable install may lead there by another way; such a chart counts as missing."""
    tree, answer = tmp_path / "unpacked" / "tree", tmp_path / "unpacked" / "answer.json"
    tree.mkdir(parents=True)
    (tmp_path / "gates.py").write_text(LOCKED)
    (tree / "doors.py").write_text(DOOR)
    order = {"path": [str(tree), str(tmp_path), *sys.path], "root": str(tmp_path), "tree": str(tree)}
    order |= {"names": ["doors:Door", "gates:Door"], "answer": str(answer)}
    (tmp_path / "order.json").write_text(json.dumps(order))
    subprocess.run([sys.executable, "-I", reader.__file__, str(tmp_path / "order.json")], check=True, cwd=tree)  # noqa: S603
    found = json.loads(answer.read_text())["charts"]
    assert (found["doors:Door"] is None, found["gates:Door"] is None) == (False, True)


def test_a_package_of_our_name_in_the_revision_is_not_ours(repository: Repository) -> None:
    """The tool that runs reads the chart, whatever package the revision has in its place."""
    broken = "raise RuntimeError('an old one')\n"
    repository.commit("third", **{"statecharts/__init__": "", "statecharts/model": broken, "statecharts/doors": LOCKED})
    environment = {"PYTHONSAFEPATH": "1", "PYTHONPATH": str(ROOT)}
    result = repository.diff("third@statecharts.doors:Door", "second@doors:Door", **environment)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("raise ValueError('one\\ntwo')", "third: cannot import doors: ValueError: one two"),
        ("import nowhere_at_all", "third: cannot import doors: ModuleNotFoundError: No module named 'nowhere_at_all'"),
        ("Door = 1", "third: doors:Door is no chart class, but 1"),
        ("import sys; sys.exit('enough')", "third: cannot import doors: SystemExit: enough"),
        (
            "import os; os._exit(3)",
            "third: the process that imports doors:Door ended with exit code 3 and no answer; import them there by hand",
        ),
    ],
)
def test_what_a_revision_cannot_say_is_one_line(repository: Repository, code: str, why: str) -> None:
    """The exit code is 2, and the line begins with the revision."""
    repository.commit("third", doors=f"{code}\n")
    result = repository.diff("third", "second")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == f"statecharts: {why}\n"


def test_what_a_module_prints_or_the_environment_asks_for_does_not_disturb(repository: Repository) -> None:
    """The module's output is dropped, and Python's own variables do not reach it."""
    repository.commit("third", doors=f"import sys; print('hello'); print('hello', file=sys.stderr)\n{DOOR}")
    result = repository.diff("third", "second", PYTHONINSPECT="1", PYTHONWARNINGS="error", PYTHONOPTIMIZE="2")
    assert "1 transition added." in result.stdout
    assert "hello" not in result.stdout + result.stderr


def test_a_module_that_takes_for_ever_is_given_up(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its process is killed."""
    repository.commit("third", doors="import time\ntime.sleep(3600)\n")
    monkeypatch.chdir(repository.folder)
    monkeypatch.setattr(revision, "_SECONDS", 0.5)
    with pytest.raises(UnusableError, match=r"third: importing its charts took longer than 0\.5 s"):
        revision.charts("third", ["doors:Door"])


def test_an_unknown_revision_and_a_missing_git_are_one_line(repository: Repository) -> None:
    """The line says what to do."""
    unknown = repository.diff("nowhere")
    assert unknown.returncode == 2
    assert unknown.stderr == "statecharts: 'nowhere' is no git revision here; a chart is written MODULE:CHART\n"
    without = repository.diff("first", PATH="")
    assert without.returncode == 2
    assert without.stderr == "statecharts: the program `git` is missing, so no revision can be read: install git\n"


def test_a_picture_shows_one_chart(repository: Repository) -> None:
    """If there are several the command asks for a name. Data and text hold all of them."""
    names = ("--chart", "doors:Door", "--chart", "doors:Gate")
    repository.commit("third", doors=LOCKED + LOCKED.partition("\n")[2].replace("Door", "Gate"))
    result = repository.diff("first", *names, "--format", "mermaid")
    assert result.returncode == 2
    assert result.stderr == "statecharts: a picture shows one chart, not Door, Gate: choose with --chart MODULE:CHART\n"
    assert repository.diff("first", *names).stdout.count("\n## Gate\n") == 1
    assert repository.diff("first", *names, "--format", "json").stdout.count('"changes"') == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("main", Version("main", None)),
        ("HEAD~3", Version("HEAD~3", None)),
        ("feature/doors", Version("feature/doors", None)),
        ("HEAD@{1}", Version("HEAD@{1}", None)),
        ("doors:Door", Version(None, "doors:Door")),
        ("a.b:Outer.Door", Version(None, "a.b:Outer.Door")),
        ("v1.0@doors:Door", Version("v1.0", "doors:Door")),
        ("HEAD@{1}@doors:Door", Version("HEAD@{1}", "doors:Door")),
    ],
)
def test_a_version_is_a_revision_a_chart_or_both(text: str, expected: Version) -> None:
    """The last @ divides the two."""
    assert revision.version(text) == expected


def _own_history() -> list[str]:
    files = [f"statecharts/{name}.py" for name in ("connection", "link", "request")]
    command = ["git", "-C", str(ROOT), "log", "--format=%h", "--", *files]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return []


@pytest.mark.parametrize("commit", _own_history())
def test_every_version_of_our_own_charts_can_be_read(commit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The present tool reads every version in the checkout's history."""
    monkeypatch.chdir(ROOT)
    names = ["statecharts:Connection", "statecharts:Link", "statecharts:Request"]
    found = revision.charts(commit, names)
    assert [chart and chart.name for chart in found] == ["Connection", "Link", "Request"]


def test_a_python_whose_archives_have_no_filters_unpacks_revisions_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Debian 12 has Python 3.11.2."""
    monkeypatch.delattr(tarfile, "tar_filter", raising=False)
    extracted = tarfile.TarFile.extractall

    def extractall(archive: tarfile.TarFile, path: Path) -> None:
        with warnings.catch_warnings():  # of a newer Python
            warnings.simplefilter("ignore")
            extracted(archive, path)

    monkeypatch.setattr(tarfile.TarFile, "extractall", extractall)
    revision._unpack(ROOT, "HEAD", tmp_path)
    assert (tmp_path / "pyproject.toml").exists()
