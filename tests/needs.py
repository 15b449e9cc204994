"""Programs that some tests need, and not every machine has: such a test is skipped with the name of what is missing."""

import shutil

import pytest

needs_dot = pytest.mark.skipif(shutil.which("dot") is None, reason="the program `dot` (Debian: graphviz) is missing")
needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool (Debian: prometheus) is missing")
