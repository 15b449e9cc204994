"""A pytest plugin: which transitions of the charts did the tests take, and which guards did they see hold and refuse?

    pytest -p statecharts.tools.coverage --transition-cover --transition-cover-from=tests/worker --transition-cover-min=100

Every instance of the charts is watched (`statecharts.tools.coverage.watch`) in the process of the tests, in those of pytest-xdist
and in those that tests start (`statecharts.tools.coverage.children`). What happens is counted for the test that is running, if
the test's file lies under the prefix: a test that does not drive the real worker proves nothing about it.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest  # processes that tests start import this too, and may not have pytest


def pytest_addoption(parser: "pytest.Parser") -> None:
    """Declare the options."""
    group = parser.getgroup("transition cover")
    group.addoption(
        "--transition-cover",
        action="append",
        nargs="?",
        const="",
        metavar="MODULE:CHART",
        help="record which transitions of this chart are taken; may be repeated; without a value: those of pyproject.toml, "
        "[tool.statecharts] charts",
    )
    group.addoption("--transition-cover-from", metavar="PATH", help="count only tests under PATH")
    group.addoption(
        "--transition-cover-min",
        type=float,
        default=0,
        metavar="PERCENT",
        help="fail below PERCENT, of transitions or of guards' outcomes",
    )
    group.addoption("--transition-cover-report", metavar="FOLDER", help="write JSON, a page and pictures into FOLDER")
    parser.addini("transition_cover_charts", "the same as --transition-cover", type="args", default=[])
    parser.addini("transition_cover_report", "the same as --transition-cover-report")


def pytest_configure(config: "pytest.Config") -> None:
    """Start recording, if asked to; nothing is imported otherwise. Raises: pytest.UsageError."""
    asked = config.getoption("--transition-cover") or config.getini("transition_cover_charts")
    if asked and not config.getoption("collectonly"):
        import pytest

        from statecharts import library

        names = [name for text in asked for name in text.split()]
        try:
            from statecharts.tools.coverage.session import TransitionCover

            library.check()
            config.pluginmanager.register(TransitionCover(config, names), "transition-cover")
        except library.LackingError as error:
            raise pytest.UsageError(f"--transition-cover: {error}") from None
    elif not asked and any(config.getoption(option) for option in _FURTHER):
        import pytest

        raise pytest.UsageError(f"{', '.join(_FURTHER)} need --transition-cover")


_FURTHER = ("--transition-cover-from", "--transition-cover-min", "--transition-cover-report")
