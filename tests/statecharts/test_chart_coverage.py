"""The coverage plugin: what counts, from where, and when a session fails."""

import re

import pytest

from statecharts import CHARTS, model

pytest_plugins = ["pytester"]

TOTAL = sum(len(model.read(chart).edges) for chart in CHARTS)

DRIVES = """
    import threading
    from statecharts import Connection, Request, Stepper, compile_chart
    from statecharts.tools.paths import note_taker

    TABLE = compile_chart(Request)

    def test_library():
        chart = Connection(note_taker(Connection), state_field="_state")
        chart.send("link_ready")

    def test_table():
        stepper = Stepper(TABLE, note_taker(Request))
        for event in ("accept", "begin", "finished"):
            stepper.fire(event)

    def test_table_with_guard():
        actor = note_taker(Request)
        actor.truths = {"link_up"}
        stepper = Stepper(compile_chart(Request), actor)
        for event in ("accept", "begin", "finished"):
            stepper.fire(event)

    def test_thread():
        def work():
            chart = Connection(note_taker(Connection), state_field="_state")
            chart.send("shutdown")
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    def test_error():
        actor = note_taker(Connection)
        actor.breaks = "announce_ready"
        Connection(actor, state_field="_state").send("link_ready")
"""

TAKEN = {
    "Connection: connecting --link_ready--> active",
    "Connection: connecting --shutdown--> closed",
    "Connection: active --error_execution--> stopping",
    "Request: received --accept--> acked",
    "Request: acked --begin--> executing",
    "Request: executing --finished [link_up]--> replied",
    "Request: executing --finished [else]--> buffered",
}

NAMES = ("statecharts:Connection", "statecharts:Link", "statecharts:Request")
OPTIONS = ("-p", "statecharts.tools.coverage", "-p", "no:asyncio", *(f"--transition-cover={name}" for name in NAMES))


def _missing(result: pytest.RunResult) -> set[str]:
    return {line.removeprefix("not taken").strip() for line in result.outlines if line.startswith("not taken")}


def test_every_engine_every_thread_and_every_guard_is_recorded(pytester: pytest.Pytester) -> None:
    """What the tests took is taken, the rest is listed with the event that would take it."""
    pytester.makepyfile(test_drives=DRIVES)
    result = pytester.runpytest_inprocess(*OPTIONS)
    result.assert_outcomes(passed=5)
    missing = _missing(result)
    assert not missing & TAKEN
    assert len(missing) == TOTAL - len(TAKEN)
    assert "Link: handshake --close--> closed" in missing
    assert result.ret == pytest.ExitCode.OK


def test_only_tests_under_the_prefix_count(pytester: pytest.Pytester) -> None:
    """Charts driven by other tests prove nothing about the worker."""
    for folder, event in (("worker", "link_ready"), ("others", "shutdown")):
        (pytester.mkdir(folder) / f"test_{folder}.py").write_text(
            "from statecharts import Connection\n"
            "from statecharts.tools.paths import note_taker\n"
            f"def test_it(): Connection(note_taker(Connection), state_field='_state').send({event!r})\n"
        )
    missing = _missing(pytester.runpytest_inprocess(*OPTIONS, "--transition-cover-from=worker"))
    assert "Connection: connecting --link_ready--> active" not in missing
    assert "Connection: connecting --shutdown--> closed" in missing


def test_below_the_minimum_the_session_fails(pytester: pytest.Pytester) -> None:
    """Also where every test passed."""
    pytester.makepyfile(test_drives=DRIVES)
    result = pytester.runpytest_inprocess(*OPTIONS, "--transition-cover-min=100")
    result.assert_outcomes(passed=5)
    result.stdout.fnmatch_lines([f"all * {len(TAKEN)} of {TOTAL} (*", "FAIL: --transition-cover-min=100 was not reached"])
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_at_the_minimum_the_session_passes(pytester: pytest.Pytester) -> None:
    """The figure is a percentage of all declared transitions."""
    pytester.makepyfile(test_drives=DRIVES)
    minimum = 100 * len(TAKEN) // TOTAL
    assert pytester.runpytest_inprocess(*OPTIONS, f"--transition-cover-min={minimum}").ret == pytest.ExitCode.OK


def test_xdist_workers_hand_in_what_they_recorded(pytester: pytest.Pytester) -> None:
    """Each worker process attributes its own tests; together they took what one process takes."""
    pytester.makepyfile(test_drives=DRIVES)
    result = pytester.runpytest_subprocess(*OPTIONS, "-n", "2")
    result.assert_outcomes(passed=5)
    assert len(_missing(result)) == TOTAL - len(TAKEN)
    assert not _missing(result) & TAKEN


def test_without_the_option_the_plugin_does_nothing(pytester: pytest.Pytester) -> None:
    """Loading it is not yet using it."""
    pytester.makepyfile(test_drives=DRIVES)
    result = pytester.runpytest_inprocess(*OPTIONS[:4])
    assert not re.search("transitions of the charts", result.stdout.str())


def test_the_classes_are_left_as_they_were(pytester: pytest.Pytester) -> None:
    """A session in the same process finds them untouched."""
    from statemachine import StateChart

    from statecharts import Stepper

    before = (StateChart.__init__, Stepper._take)
    pytester.makepyfile(test_drives=DRIVES)
    pytester.runpytest_inprocess(*OPTIONS)
    assert (StateChart.__init__, Stepper._take) == before
