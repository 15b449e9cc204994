"""The coverage plugin: what it counts, what it prints, when it fails a session, and what it leaves behind."""

import os
import re
import sys
from pathlib import Path

import pytest
from coverage_kit import PLUGIN, TICKET, found, lift, taken, takers, write
from statemachine import StateChart
from statemachine.engines.async_ import AsyncEngine
from statemachine.engines.base import BaseEngine
from statemachine.engines.sync import SyncEngine

from statecharts import Stepper
from statecharts.tools.coverage.startup import sitecustomize

pytest_plugins = ["pytester"]

LIFT = "--transition-cover=lift:Lift"
TICKETS = "--transition-cover=ticket:Ticket"
TICK = "from lift import ride\ndef test_it(): ride('tick')\n"
ALL_OF_TICKET = """
    from ticket import buy
    def test_paid(): buy("pay", "look", "tear", rich=True)
    def test_void(): buy("pay", poor=True)
    def test_tear(): buy("tear")
"""


# -- opting in


def test_without_the_option_nothing_is_imported_or_said(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plugin is loaded and not used."""
    monkeypatch.delenv(sitecustomize.FOLDER, raising=False)  # of this session, where it is covered itself
    pytester.makepyfile("""
        import os, sys
        def test_it():
            assert not [name for name in sys.modules if name.startswith("statecharts.tools.") and "coverage" not in name]
            assert "TRANSITION_COVER_FOLDER" not in os.environ
    """)
    result = pytester.runpytest_subprocess(*PLUGIN)
    result.assert_outcomes(passed=1)
    assert "transitions of the charts" not in result.stdout.str()


def test_charts_are_named_by_option_by_ini_or_in_pyproject(pytester: pytest.Pytester) -> None:
    """The option counts before the ini file. Without a value it means the charts that the project lists."""
    pytester.makepyfile(lift=lift(), ticket=TICKET, test_it=TICK)
    write(pytester.path / "pyproject.toml", '[tool.statecharts]\ncharts = ["ticket:Ticket", "lift:Lift"]\n')
    assert list(found(pytester, "--transition-cover")) == ["Ticket", "Lift"]
    assert list(found(pytester, "--transition-cover=lift:Lift ticket:Ticket", LIFT)) == ["Lift", "Ticket"]
    pytester.makeini("[pytest]\ntransition_cover_charts = lift:Lift\ntransition_cover_report = here")
    assert list(found(pytester)) == ["Lift"]
    assert list(found(pytester, TICKETS)) == ["Ticket"]
    assert not (pytester.path / "here").exists()
    pytester.runpytest_inprocess(*PLUGIN)
    assert (pytester.path / "here" / "coverage.json").exists()


def test_where_no_test_runs_nothing_is_judged(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(lift=lift(), test_it=TICK)
    result = pytester.runpytest_inprocess(*PLUGIN, LIFT, "--transition-cover-min=100", "--collect-only")
    assert result.ret == pytest.ExitCode.OK
    assert "transitions of the charts" not in result.stdout.str()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--transition-cover=nowhere:Chart"], "cannot import nowhere: ModuleNotFoundError: No module named 'nowhere'"),
        (["--transition-cover=lift:Escalator"], "lift has no 'Escalator'; its charts: Lift"),
        (["--transition-cover=lift:ride"], "lift:ride is no chart class"),
        (["--transition-cover", "test_it.py"], "'test_it.py' names no chart: write MODULE:CHART"),
        (["--transition-cover", "test_it.py"], "put paths before it"),
        (["--transition-cover"], "no chart named: give MODULE:CHART, or list them in"),
        ([LIFT, "--transition-cover-from=nowhere"], "nowhere, so no test would count"),
        ([LIFT, "--transition-cover-report=lift.py/here"], "--transition-cover-report: cannot make"),
        (["--transition-cover-min=100"], "need --transition-cover"),
    ],
)
def test_bad_input_is_a_line_and_a_usage_error(pytester: pytest.Pytester, arguments: list[str], message: str) -> None:
    """It is reported before any test runs."""
    pytester.makepyfile(lift=lift(), test_it=TICK)
    result = pytester.runpytest_inprocess(*PLUGIN, *arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = [line for line in result.errlines if line]
    assert line.startswith("ERROR: ")
    assert message in line


# -- what counts


def test_only_tests_under_the_prefix_count(pytester: pytest.Pytester) -> None:
    """Other tests prove nothing about the worker. A file beside the folder with the folder's name is not under it."""
    pytester.makepyfile(lift=lift())
    write(pytester.path / "worker" / "test_worker.py", TICK)
    write(pytester.path / "worker_too" / "test_worker_too.py", TICK.replace("tick", "call"))
    write(pytester.path / "others" / "test_others.py", TICK.replace("tick", "call"))
    chart = found(pytester, LIFT, "--transition-cover-from=worker", passed=3)["Lift"]
    assert taken(chart) == {"idle --tick--> (stays)": 1}
    assert takers(chart) == {"worker/test_worker.py::test_it"}


# -- what it says


def test_what_is_missing_is_told_with_an_event_and_a_way(pytester: pytest.Pytester) -> None:
    """The way is a shortest one, with the guards that must hold, and the outcome that a guard has not had."""
    pytester.makepyfile(lift=lift(), test_it="from lift import ride\ndef test_it(): ride('call', 'turn', 'turn')")
    result = pytester.runpytest_inprocess(*PLUGIN, LIFT)
    told = "\n".join(result.outlines)
    _, told, _ = re.split(r"=+ (?:transitions of the charts|1 passed).*\n?", told)
    assert told.strip() == re.sub(r"^    ", "", _TOLD, flags=re.MULTILINE).strip()


_TOLD = """\
    chart  transitions      guard outcomes   guards both ways  events refused  ignored
    Lift   3 of 8 (37.5 %)  2 of 4 (50.0 %)  0 of 2            1               0
    never refused  Lift: idle --call [powered]--> moving
                   by call at once
    not taken      Lift: idle --call [else]--> (stays)
                   by call at once
    not taken      Lift: idle --tick--> (stays)
                   by tick at once
    not taken      Lift: idle --(always) [broken]--> stuck
                   by call [broken] at once
    not taken      Lift: moving --stop--> idle
                   by stop after call [powered]
    not taken      Lift: cabin --level (internal)--> rising
                   by level after call [powered]
"""


def test_what_cannot_be_reached_has_no_way(pytester: pytest.Pytester) -> None:
    """It is listed all the same."""
    chart = "class Shut(StateChart):\n    a = State(initial=True)\n    b = State(final=True)\n"
    pytester.makepyfile(
        shut="from statemachine import State, StateChart\n" + chart + "    go = a.to(None) | a.to(b)\n",
        test_it="def test_it(): pass",
    )
    result = pytester.runpytest_inprocess(*PLUGIN, "--transition-cover=shut:Shut")
    result.stdout.fnmatch_lines(["not taken      Shut: a --go--> b", "*by go; no way there was found"])


# -- the gate


def test_at_the_minimum_the_session_passes(pytester: pytest.Pytester) -> None:
    """Every transition was taken, and every guard seen both ways."""
    pytester.makepyfile(ticket=TICKET, test_it=ALL_OF_TICKET + "    def test_broke(): buy('pay')\n")
    result = pytester.runpytest_inprocess(*PLUGIN, TICKETS, "--transition-cover-min=100")
    result.assert_outcomes(passed=4)
    assert result.ret == pytest.ExitCode.OK
    assert "FAIL" not in result.stdout.str()


@pytest.mark.parametrize(
    ("left_out", "minimum", "fails"),
    [
        ("test_tear", 100, True),  # 4 of 5 transitions
        ("test_tear", 80, False),
        ("test_tear", 80.1, True),
        ("test_broke", 100, True),  # all transitions, 3 of 4 outcomes
        ("test_broke", 75, False),
    ],
)
def test_below_the_minimum_the_session_fails(
    pytester: pytest.Pytester, left_out: str, minimum: float, fails: bool
) -> None:
    """Transitions or guards' outcomes are missing; every test passed."""
    tests = ALL_OF_TICKET + "    def test_broke(): buy('pay')\n"
    pytester.makepyfile(ticket=TICKET, test_it=tests.replace(f"def {left_out}", "def _"))
    result = pytester.runpytest_inprocess(*PLUGIN, TICKETS, f"--transition-cover-min={minimum}")
    result.assert_outcomes(passed=3)
    assert result.ret == (pytest.ExitCode.TESTS_FAILED if fails else pytest.ExitCode.OK)
    assert (f"FAIL: --transition-cover-min={minimum} was not reached" in result.outlines) is fails


def test_a_chart_without_guards_has_all_of_their_outcomes(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=_BARE)
    result = pytester.runpytest_inprocess(*PLUGIN, "--transition-cover=test_it:Bare", "--transition-cover-min=100")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["Bare   1 of 1 (100.0 %)  none*"])


_BARE = """
    from statemachine import State, StateChart
    class Bare(StateChart):
        a = State(initial=True)
        b = State(final=True)
        go = a.to(b)
    def test_it(): Bare().send("go")
"""


# -- what it leaves behind


@pytest.mark.parametrize("arguments", [[], ["--transition-cover=nowhere:Chart"]], ids=["done", "usage error"])
def test_classes_and_environment_are_left_as_they_were(pytester: pytest.Pytester, arguments: list[str]) -> None:
    """A later session in the same process finds them untouched, and no folder is left."""
    classes = (StateChart, BaseEngine, SyncEngine, AsyncEngine, Stepper)
    names = (sitecustomize.FOLDER, "PYTHONPATH")
    before = [dict(vars(each)) for each in classes], [os.environ.get(name) for name in names]
    pytester.makepyfile(
        lift=lift(),
        test_it=f"""
            import os
            from pathlib import Path
            from lift import ride
            def test_it():
                ride("tick")
                Path("seen").write_text(os.environ[{sitecustomize.FOLDER!r}])
        """,
    )
    pytester.runpytest_inprocess(*PLUGIN, LIFT, *arguments)
    assert ([dict(vars(each)) for each in classes], [os.environ.get(name) for name in names]) == before
    if not arguments:
        assert not Path((pytester.path / "seen").read_text()).exists()


def test_a_session_within_a_session_counts_for_both(pytester: pytest.Pytester) -> None:
    """pytester runs an inner session in a test of the outer one, whose charts count for both."""
    pytester.makepyfile(
        lift=lift(),
        inner=TICK,
        test_it=f"""
            import json
            from pathlib import Path
            import pytest
            from lift import ride
            def test_it():
                options = {(*PLUGIN, LIFT)!r}
                assert pytest.main([*options, "--transition-cover-report=inner", "inner.py"]) == 0
                (chart,) = json.loads(Path("inner/coverage.json").read_text())["charts"].values()
                assert [each["tests"] for each in chart["transitions"] if each["taken"]] == [["inner.py::test_it"]]
                ride("tick")
        """,
    )
    chart = found(pytester, LIFT, in_process=sys.platform == "win32")["Lift"]
    assert taken(chart) == {"idle --tick--> (stays)": 2}
    assert takers(chart) == {"test_it.py::test_it"}
