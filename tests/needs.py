"""Marks for tests that need a program: without it the test is skipped, and the reason names the program."""

import shutil

import pytest

needs_dot = pytest.mark.skipif(shutil.which("dot") is None, reason="the program `dot` (Debian: graphviz) is missing")
needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool (Debian: prometheus) is missing")
