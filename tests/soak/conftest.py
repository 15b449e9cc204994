"""Options of the soak."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak-seconds", type=float, default=8.0, help="how long load and faults go on, at least")
    parser.addoption(
        "--soak-requests",
        type=int,
        default=0,
        help="how many requests each isolation gets, however long that takes; default: by --soak-seconds",
    )
    parser.addoption("--soak-save", action="store_true", help="keep the figures for docs/performance.md")
    parser.addoption(
        "--soak-seed", type=int, default=None, help="what the faults are drawn from; default: drawn, and printed"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A soak of so many requests takes as long as it takes."""
    if config.getoption("--soak-requests"):
        for item in items:
            item.add_marker(pytest.mark.timeout(0), append=False)
