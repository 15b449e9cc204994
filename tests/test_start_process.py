"""The processes of other tests: `start_process` of conftest.py."""

from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
LEAVES_ONE_BEHIND = """
import subprocess, sys
subprocess.Popen([sys.executable, "-c", "print('still here', flush=True); import time; time.sleep(600)"])
"""
IGNORES = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def test_what_a_process_started_ends_with_it(start_process: Any) -> None:
    """It holds the pipe that the test reads."""
    parent = start_process("-c", LEAVES_ONE_BEHIND)
    parent.expect("still here")
    parent.kill()
    assert not parent._reader.is_alive()


def test_processes_get_an_interrupt_though_the_tests_ignore_it(start_process: Any) -> None:
    """As in the background of a script."""
    test = f"{Path(__file__).parent}/cli/test_cli_run.py::test_ctrl_c_while_the_apps_are_imported_is_no_traceback"
    tests = start_process(
        "-c", IGNORES, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", test, cwd=ROOT
    )
    assert tests.ends() == 0, tests.text
