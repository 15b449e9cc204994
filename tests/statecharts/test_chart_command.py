"""`python -m statecharts`, run as people run it: what it shows, and the one line that it prints if it cannot."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from statecharts.tools.drawing import picture

ROOT = Path(__file__).parents[2]
COMMANDS = ("draw", "table", "diff", "grid", "paths")


def run(*arguments: str, cwd: Path = ROOT, **environment: str) -> "subprocess.CompletedProcess[str]":
    """`python -m statecharts` in a process of its own."""
    command = [sys.executable, "-m", "statecharts", *arguments]
    given = {**os.environ, **environment}
    return subprocess.run(command, cwd=cwd, env=given, capture_output=True, encoding="utf-8", check=False)  # noqa: S603


@pytest.mark.parametrize("arguments", [(), *((command,) for command in COMMANDS)], ids=lambda it: "".join(it) or "none")
def test_help_shows_an_example_that_works(arguments: tuple[str, ...], tmp_path: Path) -> None:
    """The last line of each help can be pasted into a shell."""
    shown = run(*arguments, "--help")
    assert (shown.returncode, shown.stderr) == (0, "")
    *_, heading, example = shown.stdout.splitlines()
    assert heading == "example:"
    words = example.split()
    assert words[:3] == ["python", "-m", "statecharts"]
    if "diff" not in words:  # its example compares with a branch, which not every checkout has
        assert run(*words[3:]).returncode == 0


@pytest.fixture
def charts(tmp_path: Path) -> Path:
    """A folder with good, empty, broken and contradictory modules."""
    (tmp_path / "empty.py").write_text("from statemachine import StateChart\nclass Empty(StateChart): pass\n")
    (tmp_path / "torn.py").write_text("def half(:\n")
    (tmp_path / "leaves.py").write_text("import sys\nsys.exit(0)\n")
    (tmp_path / "lacks.py").write_text("import no_such_module_anywhere\n")
    (tmp_path / "loud.py").write_text("raise ValueError('first line\\nsecond line')\n")
    (tmp_path / "good.py").write_text(
        "from statemachine import State, StateChart\n"
        "class Good(StateChart):\n"
        "    on = State(initial=True)\n"
        "    off = State(final=True)\n"
        "    switch = on.to(off)\n"
        "class Twice(StateChart):\n"
        "    class left(State.Compound):\n"
        "        same = State(initial=True)\n"
        "    class right(State.Compound):\n"
        "        same = State(initial=True)\n"
        "    left.to(right, event='go')\n"
        "    right.to(left, event='go')\n"
        "Twice.left = None\n"
        "class Other(Good): pass\n"
    )
    (tmp_path / "says.py").write_text(
        "from good import Good\n"
        "class Alone(Good): tasks = {'timer': ('arm',)}\n"
        "class Word(Good): tasks = {'timer': 'ab'}\n"
        "class Nothing(Good): ignored = {'on': None}\n"
    )
    (tmp_path / "also.py").write_text((tmp_path / "good.py").read_text())
    return tmp_path


BAD = {
    "": "the following arguments are required: COMMAND (see python -m statecharts --help)",
    "nonsense": "invalid choice: 'nonsense'",
    "draw --nonsense": "unrecognized arguments: --nonsense",
    "table": "the following arguments are required: MODULE:CHART (see python -m statecharts table --help)",
    "table good": "'good' names no chart: write MODULE:CHART",
    "table good:": "'good:' names no chart: write MODULE:CHART",
    "table nowhere:Chart": "cannot import nowhere: ModuleNotFoundError: No module named 'nowhere'",
    "table torn:Chart": "cannot import torn: SyntaxError: invalid syntax (torn.py, line 1)",
    "table leaves:Chart": "cannot import leaves: SystemExit: 0",
    "table lacks:Chart": "cannot import lacks: ModuleNotFoundError: No module named 'no_such_module_anywhere'",
    "table loud:Chart": "cannot import loud: ValueError: first line second line",
    "table good:Bad": "good has no 'Bad'; its charts: Good",
    "table good:State": "good:State is no chart class, but <class 'statemachine.state.State'>; its charts: Good",
    "table empty:Empty": "empty:Empty has no states",
    "table good:Twice": "good:Twice has states that share an id, by which states are told apart here: same",
    "table says:Alone": 'says:Alone.tasks does not say what it should: write {"timer": ("arm_timer", "disarm_timer")}',
    "grid says:Word": "says:Word.tasks does not say what it should",
    "diff good:Good says:Nothing": 'says:Nothing.ignored does not say what it should: write {"state": {"event"}}',
    "draw good:Good good:Other --format svg": "svg shows one chart, not Good, Other: choose with MODULE:CHART",
    "draw good:Good good:Other --format json": "json shows one chart, not Good, Other",
    "draw": "no chart named: give MODULE:CHART, or list them in",
    "draw good:Good --format png": "argument --format: invalid choice: 'png'",
    "draw good:Good --into good.py": "cannot write good.py: File exists; choose another folder with --into",
    "draw good:Good --into good.py/in": "cannot write good.py/in: Not a directory; choose another folder with --into",
    "draw good:Good also:Good": "also:Good: another chart is drawn as good.md",
    "diff": "the following arguments are required: OLD",
    "diff good:Good": "nothing to compare good:Good with: give OLD and NEW, or a git revision",
    "diff good:Good good:Bad": "there is no chart good:Bad",
    "diff good:Bad good:Bad": "there is no chart good:Bad",
    "diff main --chart good:Good": "not in a git repository",
    "paths torn:Chart": "cannot import torn",
    "grid nowhere:Chart": "cannot import nowhere",
}


@pytest.mark.parametrize("line", BAD)
def test_bad_input_is_one_line_and_exit_code_2(line: str, charts: Path) -> None:
    """The line on stderr names what is wrong; there is no other output."""
    result = run(*line.split(), cwd=charts, GIT_CEILING_DIRECTORIES=str(charts.parent))
    assert (result.returncode, result.stdout) == (2, "")
    (said,) = result.stderr.splitlines()
    assert said.startswith("statecharts: ")
    assert BAD[line] in said


@pytest.mark.parametrize(
    "settings", ["tool = 3", "[tool]\nstatecharts = 'good'", "[tool.statecharts]\ncharts = 'good:Good'"]
)
def test_a_project_that_lists_no_charts_says_how_to(settings: str, charts: Path) -> None:
    (charts / "pyproject.toml").write_text(settings)
    result = run("draw", cwd=charts)
    assert (result.returncode, result.stdout) == (2, "")
    (said,) = result.stderr.splitlines()
    assert 'pyproject.toml: [tool.statecharts] charts = ["MODULE:CHART"]' in said


def test_a_file_that_is_no_text_is_stale(charts: Path) -> None:
    (charts / "good.md").write_bytes(b"\xff\xfe")
    result = run("draw", "good:Good", "--check", "--into", ".", cwd=charts)
    assert result.returncode == 1
    assert result.stderr.startswith("stale: README.md, good.dot, good.grid.md, good.json, good.md,")


@pytest.mark.parametrize("line", ["draw good:Good --format svg", "diff good:Good also:Good --format svg"])
def test_without_graphviz_an_svg_says_what_to_install(line: str, charts: Path) -> None:
    """One line says so for three systems."""
    result = run(*line.split(), cwd=charts, PATH="")
    assert (result.returncode, result.stdout) == (2, "")
    (said,) = result.stderr.splitlines()
    assert all(f"{tool} install graphviz" in said for tool in ("apt-get", "brew", "choco"))


@pytest.mark.parametrize(
    "line",
    [
        "draw good:Good --format mermaid",
        "draw good:Good --format dot",
        "table good:Good",
        "grid good:Good",
        "paths good:Good",
        "diff good:Good also:Good",
        "diff good:Good also:Good --format mermaid",
        "diff good:Good also:Good --format dot",
        "diff good:Good also:Good --format json",
    ],
)
def test_all_but_an_svg_works_without_graphviz(line: str, charts: Path) -> None:
    """Modules also need no git, and any encoding of the terminal will do."""
    result = run(*line.split(), cwd=charts, PATH="", PYTHONIOENCODING="ascii", LC_ALL="C")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    """The reader of a pipe may end early, as in `| true`; the command prints no error."""
    command = f"'{sys.executable}' -m statecharts diff statecharts:Link statecharts:Request | true"
    result = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S602
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


DOCS = ROOT / "docs" / "chart-tools.md"


def _sessions() -> list[tuple[str, list[str]]]:
    """Each command of the page, with the output that the page shows."""
    shown = [
        line
        for block in re.findall(r"```console\n(.*?)```", DOCS.read_text(), re.DOTALL)
        for line in block.splitlines()
    ]
    starts = [at for at, line in enumerate(shown) if line.startswith("$ ")]
    return [(shown[at][2:], shown[at + 1 : end]) for at, end in zip(starts, [*starts[1:], None], strict=True)]


@pytest.mark.parametrize(("command", "shown"), [session for session in _sessions() if session[1]])
def test_the_page_shows_what_the_command_says(command: str, shown: list[str]) -> None:
    """Every line of the page is compared; the page may leave lines out."""
    said = run(*command.split()[3:]).stdout.splitlines()
    assert [line for line in shown if line not in (*said, "…")] == []


EXAMPLE = ("diff", "d8d3233~1", "d8d3233", "--chart", "statecharts:Request")


def test_the_change_that_the_page_shows_is_what_the_command_makes_of_it() -> None:
    """The table and the text of the picture are compared. The page names the command that writes both."""
    table, drawn = run(*EXAMPLE), run(*EXAMPLE, "--format", "dot")
    if table.returncode == 2:
        pytest.skip("the checkout does not reach back to that change")
    assert table.stdout.partition("```")[0].partition("\n\n")[2].strip() in DOCS.read_text()
    assert picture.stamp(drawn.stdout) in (ROOT / "docs" / "diff-example.svg").read_text()
