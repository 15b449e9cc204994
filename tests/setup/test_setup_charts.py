"""`.ci/charts` shows what a pull request changes in the charts."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.needs import needs_dot

ROOT = Path(__file__).parents[2]


def charts(clone: Path, base: str) -> set[str]:
    """Run it in a clone with a changed chart; the files that it writes."""
    command = [clone / ".ci" / "charts", base, "difference"]
    subprocess.run(command, cwd=clone, env={**os.environ, "PYTHON": sys.executable}, check=True)
    return {file.name for file in (clone / "difference").iterdir()}


def cloned(folder: Path) -> Path:
    clone = folder / "clone"
    subprocess.run(["git", "clone", "--quiet", "--no-local", "--depth=1", f"file://{ROOT}", clone], check=True)
    shutil.copy(ROOT / ".ci" / "charts", clone / ".ci")  # as it is now
    return clone


def test_where_no_chart_differs_the_summary_says_so(tmp_path: Path) -> None:
    clone = cloned(tmp_path)

    assert charts(clone, "HEAD") == {"summary.md"}
    assert (clone / "difference" / "summary.md").read_text().count("no difference") == 3


@needs_dot
def test_the_chart_that_differs_is_drawn(tmp_path: Path) -> None:
    clone = cloned(tmp_path)
    chart = clone / "statecharts" / "request.py"
    chart.write_text(chart.read_text().replace('"CONFIRMED"', '"DELIVERED"'))

    assert charts(clone, "HEAD") == {"summary.md", "Request.svg"}
    summary = (clone / "difference" / "summary.md").read_text()
    assert summary.count("no difference") == 2
    assert "renamed: CONFIRMED → DELIVERED" in summary
    assert "<svg" in (clone / "difference" / "Request.svg").read_text()
