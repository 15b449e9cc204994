"""A pytest plugin: which transitions of the charts did the tests take, and which guards did they see hold and refuse?

    pytest -p statecharts.tools.coverage --transition-cover --transition-cover-from=tests/worker --transition-cover-min=100

Every instance of the charts is watched (`statecharts.tools.watch`) in the process of the tests, in those of pytest-xdist and in
those that tests start (`statecharts.tools.children`). What happens is put down to the test that is running, and counts where its
file lies under the prefix, so that only tests which drive the real worker prove anything.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from statecharts.tools.cover import ChartCover
    from statecharts.tools.hits import Hits
    from statecharts.tools.ways import Gap


def pytest_addoption(parser: pytest.Parser) -> None:
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


def pytest_configure(config: pytest.Config) -> None:
    """Start recording, if asked to; nothing is imported otherwise. Raises: pytest.UsageError."""
    asked = config.getoption("--transition-cover") or config.getini("transition_cover_charts")
    if asked and not config.getoption("collectonly"):
        names = [name for text in asked for name in text.split()]
        config.pluginmanager.register(TransitionCover(config, names), "transition-cover")
    elif not asked and any(config.getoption(option) for option in _FURTHER):
        raise pytest.UsageError(f"{', '.join(_FURTHER)} need --transition-cover")


_FURTHER = ("--transition-cover-from", "--transition-cover-min", "--transition-cover-report")


class TransitionCover:
    """The plugin: records while tests run, reports and judges at the end."""

    def __init__(self, config: pytest.Config, names: list[str]) -> None:
        from statecharts.tools.children import Children, follow_forks
        from statecharts.tools.naming import identity
        from statecharts.tools.watch import Watch

        self._charts = _charts(names)
        self._prefix = _prefix(config)
        place = config.getoption("--transition-cover-from")
        self._whose = f", by tests under {place}" if place else ""
        self._folder = _folder(config)
        self._minimum: float = config.getoption("--transition-cover-min")
        self._hits: Hits = Counter()
        self._counting: set[str] = set()
        self._covers: list[ChartCover] = []
        self._gaps: list[list[Gap]] = []
        self._no_picture = ""
        self._failed = False
        identities = [identity(chart) for chart in self._charts]
        self._children = Children(identities)
        self._watch = Watch(identities)
        self._watch.begin()
        follow_forks(self._watch, self._children.path)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Count from a test's setup to its teardown, where its file lies under the prefix."""
        if item.path.is_relative_to(self._prefix):
            self._watch.test = item.nodeid
            self._counting.add(item.nodeid)
        try:
            return (yield)
        finally:
            self._watch.test = ""

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take over what an xdist worker found."""
        from statecharts.tools import hits

        self._hits.update(hits.from_json(getattr(node, "workeroutput", {}).get("transition_cover", "[]")))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Hand the hits to the session that reports; there, fail below the minimum."""
        from statecharts.tools import hits

        self._hits.update(self._watch.collect())
        found = self._children.hits()
        self._hits.update({hit: count for hit, count in found.items() if hit.test in self._counting})
        self.pytest_unconfigure()  # the process of an xdist worker may be ended before its turn comes
        if hasattr(session.config, "workeroutput"):
            session.config.workeroutput["transition_cover"] = hits.to_json(self._hits)
            return
        self._judge()
        if self._failed and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """The table; then what is missing, and how it could be covered."""
        from statecharts.tools import cover_text

        say = terminalreporter.write_line
        terminalreporter.section(f"transitions of the charts{self._whose}")
        for line in cover_text.table(self._covers):
            say(line)
        for gaps in self._gaps:
            for line in cover_text.missing(gaps):
                say(line)
        if self._folder:
            say(f"written to {self._folder}{self._no_picture and f'; {self._no_picture}'}")
        if self._failed:
            say(f"FAIL: --transition-cover-min={self._minimum:g} was not reached", red=True)

    def pytest_unconfigure(self) -> None:
        """Leave everything as it was."""
        self._watch.end()
        self._children.close()

    def _judge(self) -> None:
        """Make of the hits what is reported."""
        from statecharts.tools import cover, cover_report, ways

        self._covers = cover.cover(self._charts, self._hits)
        self._gaps = [ways.gaps(chart, each) for chart, each in zip(self._charts, self._covers, strict=True)]
        self._failed = cover.achieved(self._covers) < self._minimum
        if self._folder:
            self._no_picture = cover_report.write(self._covers, self._gaps, self._folder)


def _charts(names: list[str]) -> list[type[Any]]:
    from statecharts.tools import load

    try:
        return list(dict.fromkeys(load.chart(name) for name in names or load.listed()))
    except load.UnusableError as error:
        raise pytest.UsageError(f"--transition-cover: {error}") from None


def _prefix(config: pytest.Config) -> Path:
    prefix = (config.rootpath / (config.getoption("--transition-cover-from") or "")).resolve()
    if not prefix.exists():
        raise pytest.UsageError(f"--transition-cover-from: there is no {prefix}, so no test would count")
    return prefix


def _folder(config: pytest.Config) -> Path | None:
    """Where the report goes; made at once, so that nobody waits for the end of the tests to hear that it cannot be."""
    name = config.getoption("--transition-cover-report") or config.getini("transition_cover_report")
    folder = config.rootpath / name if name else None
    try:
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise pytest.UsageError(f"--transition-cover-report: cannot make {folder}: {error.strerror}") from None
    return folder
