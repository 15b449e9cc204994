"""docs/api.md is up to date with the docstrings."""

import subprocess
import sys

from tests.docs.pages import ROOT


def test_the_api_page_is_fresh() -> None:
    check = [sys.executable, "-m", "docs.api", "--check"]
    said = subprocess.run(check, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603
    assert (said.returncode, said.stdout, said.stderr) == (0, "", "")
