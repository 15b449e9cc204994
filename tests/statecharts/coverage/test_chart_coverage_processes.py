"""Transition coverage counts beyond one process: in xdist's workers, in processes that tests start, and in theirs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from coverage_kit import TICKET, found, guards, lift, refused, taken, takers, write

import statecharts
from statecharts.tools.coverage.startup import sitecustomize

pytest_plugins = ["pytester"]


@pytest.fixture(autouse=True)
def _the_same_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that a test starts import `statecharts` from where the test does; with another one they would record nothing."""
    where = str(Path(statecharts.__file__).parents[1])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [where, os.environ.get("PYTHONPATH")])))


LIFT = "--transition-cover=lift:Lift"
TICKETS = "--transition-cover=ticket:Ticket"


def test_xdist_workers_hand_in_what_they_and_their_children_recorded(pytester: pytest.Pytester) -> None:
    """Each names its own tests; together they took what one process takes."""
    pytester.makepyfile(
        lift=lift(),
        test_it="""
            import subprocess, sys
            import pytest
            from lift import ride
            @pytest.mark.parametrize("number", range(4))
            def test_up(number):
                ride("call", "turn")
                subprocess.run([sys.executable, "-c", "from lift import ride; ride('tick')"], check=True)
        """,
    )
    chart = found(pytester, LIFT, "-n", "2", passed=4, in_process=False)["Lift"]
    assert taken(chart) == {
        "idle --call [powered]--> moving": 4,
        "rising --turn--> falling": 4,
        "silent --turn--> ringing": 4,
        "idle --tick--> (stays)": 4,
    }
    assert {len(each["tests"]) for each in chart["transitions"] if each["taken"]} == {4}


CHILDREN = """
    import os, subprocess, sys
    import pytest

    def run(*command, **more):
        subprocess.run([sys.executable, *command], check=True, **more)

    def test_module(tmp_path): run("-m", "program", env={**os.environ, "PYTHONPATH": os.environ["PYTHONPATH"] + ":" + os.getcwd()})
    def test_path(): run("program.py")
    def test_grandchild(): run("-c", "import subprocess, sys; subprocess.run([sys.executable, 'program.py'], check=True)")
    def test_failing():
        with pytest.raises(subprocess.CalledProcessError): run("program.py", "fail")
    def test_killed():
        with pytest.raises(subprocess.CalledProcessError): run("program.py", "kill")
"""

PROGRAM = """
if __name__ == "__main__":
    import os, signal, sys
    buy("pay", "look", rich=True)
    if "fail" in sys.argv: sys.exit(1)
    if "kill" in sys.argv: os.kill(os.getpid(), signal.SIGKILL)
"""


def test_processes_that_tests_start_record_for_them(pytester: pytest.Pytester) -> None:
    """`python -m`, a path, processes of processes, one that fails; not one that is killed. What a program itself declares is known
    by the name under which it can be imported."""
    pytester.makepyfile(program=TICKET + PROGRAM, test_it=CHILDREN)
    chart = found(pytester, "--transition-cover=program:Ticket", passed=5)["Ticket"]
    assert taken(chart) == {"new --pay [rich]--> paid": 4, "paid --look--> (stays)": 4}
    assert guards(chart)["new --pay [rich]--> paid"] == (4, 0)
    assert takers(chart) == {f"test_it.py::test_{name}" for name in ("module", "path", "grandchild", "failing")}


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing_records_too(pytester: pytest.Pytester, method: str) -> None:
    """It does so however it starts its processes; a fork reports only its own share."""
    pytester.makepyfile(
        ticket=TICKET,
        test_it=f"""
            import multiprocessing
            from ticket import buy
            def work(): buy("pay", "look", rich=True)
            def test_it():
                buy("pay", rich=True)
                context = multiprocessing.get_context({method!r})
                processes = [context.Process(target=work) for _ in range(3)]
                for process in processes: process.start()
                for process in processes: process.join()
                assert [process.exitcode for process in processes] == [0, 0, 0]
        """,
    )
    chart = found(pytester, TICKETS, in_process=False)["Ticket"]
    assert taken(chart) == {"new --pay [rich]--> paid": 4, "paid --look--> (stays)": 3}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_fork_that_ends_as_processes_do_records_too(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        program=TICKET
        + """
if __name__ == "__main__":
    import os
    buy("pay", rich=True)
    if pid := os.fork(): os.waitpid(pid, 0)
    else: buy("tear")
""",
        test_it="""
            import subprocess, sys
            def test_it(): subprocess.run([sys.executable, "program.py"], check=True)
        """,
    )
    chart = found(pytester, "--transition-cover=program:Ticket")["Ticket"]
    assert taken(chart) == {"new --pay [rich]--> paid": 1, "new --tear--> void": 1}


def test_children_of_tests_that_do_not_count_do_not_count(pytester: pytest.Pytester) -> None:
    """A child's own pytest session does not count either: its tests are not this session's."""
    run = "import subprocess, sys\ndef test_it(): subprocess.run([sys.executable, *{!r}], check=True)"
    pytester.makepyfile(lift=lift(), inner="from lift import ride\ndef test_inner(): ride('call', 'stop')")
    ride = "from lift import ride; ride({!r})"
    write(pytester.path / "counting" / "test_yes.py", run.format(["-c", ride.format("tick")]))
    write(pytester.path / "others" / "test_no.py", run.format(["-c", ride.format("call")]))
    write(pytester.path / "counting" / "test_pytest.py", run.format(["-m", "pytest", "-p", "no:asyncio", "inner.py"]))
    chart = found(pytester, LIFT, "--transition-cover-from=counting", passed=3)["Lift"]
    assert set(taken(chart)) == {
        "idle --tick--> (stays)",
        "idle --call [powered]--> moving",
        "moving --stop--> idle",
    }
    assert takers(chart) == {"counting/test_yes.py::test_it", "counting/test_pytest.py::test_it"}
    assert refused(chart) == {}


@pytest.fixture
def begun(tmp_path: Path) -> dict[str, str]:
    """The environment of a test's child, with a `sitecustomize` of its own behind the hook."""
    write(tmp_path / "site" / "sitecustomize.py", "print('theirs')")
    (tmp_path / "charts").write_text('["ticket:Ticket"]')
    write(tmp_path / "code" / "ticket.py", TICKET)
    hook = os.path.dirname(sitecustomize.__file__)
    before = {name: text for name, text in os.environ.items() if name not in ("PYTHONPATH", sitecustomize.FOLDER)}
    folders = [
        hook,
        str(tmp_path / "site"),
        str(tmp_path / "code"),
        *os.environ.get("PYTHONPATH", "").split(os.pathsep),
    ]
    ours = {sitecustomize.FOLDER: str(tmp_path), "PYTEST_CURRENT_TEST": "a.py::b[c (d)] (call)"}
    return {**before, **ours, "PYTHONPATH": os.pathsep.join(filter(None, folders))}


def child(environment: dict[str, str], code: str) -> list[str]:
    """Run a child; what it prints."""
    command = [sys.executable, "-P", "-c", code]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)  # noqa: S603
    assert not result.stderr
    return result.stdout.split()


def test_the_hook_makes_room_for_the_one_that_it_hides(begun: dict[str, str]) -> None:
    """The hidden one runs and is the one that is imported; the hook's folder is removed from the path."""
    code = "import sys, sitecustomize; print(sitecustomize.__file__); print(*sys.path)"
    first, file, *path = child(begun, code)
    assert (first, Path(file).parent.name) == ("theirs", "site")
    assert os.path.dirname(sitecustomize.__file__) not in path


def test_a_process_without_charts_pays_nothing(begun: dict[str, str], tmp_path: Path) -> None:
    """It imports and writes nothing."""
    code = "import sys; print(*sys.modules)"
    modules = set(child(begun, code))
    before, _, path = begun["PYTHONPATH"].partition(os.pathsep)
    assert before == os.path.dirname(sitecustomize.__file__)
    assert modules == set(child({**begun, "PYTHONPATH": path}, code))
    assert not list(tmp_path.glob("*.json"))


def test_a_process_with_charts_writes_what_it_did(begun: dict[str, str], tmp_path: Path) -> None:
    child(begun, "import ticket; ticket.buy('tear')")
    (file,) = tmp_path.glob("*.json")
    assert file.read_text() == '[["ticket:Ticket", "taken", "Ticket: new --tear--> void", "a.py::b[c (d)]", 1]]'


@pytest.mark.parametrize("missing", [sitecustomize.FOLDER, "PYTEST_CURRENT_TEST"])
def test_outside_of_a_test_nothing_is_recorded(begun: dict[str, str], tmp_path: Path, missing: str) -> None:
    del begun[missing]
    child(begun, "import ticket; ticket.buy('tear')")
    assert not list(tmp_path.glob("*.json"))


def test_a_child_that_outlives_the_session_does_not_mind(begun: dict[str, str], tmp_path: Path) -> None:
    """The folder may be gone before the child begins or before it ends."""
    gone = f"import shutil; shutil.rmtree({str(tmp_path)!r})"
    assert child(begun, f"import ticket; ticket.buy('tear'); {gone}") == ["theirs"]
    tmp_path.mkdir()
    assert child(begun, f"{gone}; import statemachine") == []


def test_a_child_with_another_package_of_that_name_is_left_alone(begun: dict[str, str], tmp_path: Path) -> None:
    """It imports the package that it would import anyway."""
    write(tmp_path / "code" / "statecharts" / "__init__.py", "print('another')")
    assert child(begun, "import statemachine, statecharts") == ["theirs", "another"]
