"""Options of the soak."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak-seconds", type=float, default=8.0, help="how long load and faults go on, at least")
    parser.addoption(
        "--soak-seed", type=int, default=None, help="what the faults are drawn from; default: drawn, and printed"
    )
