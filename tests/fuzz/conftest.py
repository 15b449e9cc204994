"""Options of the fuzzer."""

import pytest

WITHIN_A_MINUTE = 30.0
"""Seconds of fuzzing that leave the usual time limit of a test enough for the last life."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fuzz-seconds", type=float, default=4.0, help="how long the fuzzer goes on, at least")
    parser.addoption(
        "--fuzz-seed",
        type=int,
        default=None,
        help="what it draws from; default: the same each time, but drawn if it runs long",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A worker that hangs fails `make test`; `make fuzz` has no time limit."""
    for item in items:
        if item.path.name == "test_fuzz.py" and config.getoption("--fuzz-seconds") > WITHIN_A_MINUTE:
            item.add_marker(pytest.mark.timeout(0))
