"""The option of the attacks. They are no part of `make test`: without it they are left out."""

from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--attack-seconds", type=float, default=0.0, help="how long each attack goes on; 0: make none")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--attack-seconds"):
        ours = [each for each in items if each.path.parent == HERE]
        items[:] = [each for each in items if each not in ours]
        config.hook.pytest_deselected(items=ours)
