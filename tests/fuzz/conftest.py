"""Options of the fuzzer."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fuzz-seconds", type=float, default=4.0, help="how long the fuzzer goes on, at least")
    parser.addoption(
        "--fuzz-seed",
        type=int,
        default=None,
        help="what it draws from; default: the same each time, but drawn if it runs long",
    )
