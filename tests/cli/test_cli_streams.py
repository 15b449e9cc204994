"""Standard streams that the caller has closed are opened on nothing, for the command and for its processes."""

import subprocess
import sys
from pathlib import Path

import pytest

CHILD = "import os; print(os.fstat(2).st_rdev == os.stat(os.devnull).st_rdev)"
COMMAND = f"""
import subprocess, sys
from connect.cli.streams import open_closed
open_closed()
print("a line", file=sys.stderr)
sys.exit(subprocess.run([sys.executable, "-c", {CHILD!r}]).returncode)
"""


@pytest.mark.parametrize("closed", ["2>&-", "<&- 2>&-"])
def test_a_closed_stream_is_open_in_a_child_too(closed: str) -> None:
    """Else the next file that the child opens gets its number, and what is printed goes there."""
    ended = subprocess.run(  # noqa: S603
        ["sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-c", COMMAND],  # noqa: S607
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert ended.stdout == "True\n"
