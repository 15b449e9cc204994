"""A pytest session that records transitions while tests run, reports them at the end, and fails below a minimum."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from statecharts.tools import load
from statecharts.tools.coverage import cover, hits, report, text, ways
from statecharts.tools.coverage.children import Children, follow_forks
from statecharts.tools.coverage.watch import Watch
from statecharts.tools.walking.naming import identity


class TransitionCover:
    """The plugin that `coverage` registers. Raises: pytest.UsageError: a chart, a folder or a path that cannot be used."""

    def __init__(self, config: pytest.Config, names: list[str]) -> None:
        self._charts = _charts(names)
        self._prefix = _prefix(config)
        place = config.getoption("--transition-cover-from")
        self._whose = f", by tests under {place}" if place else ""
        self._folder = _folder(config)
        self._minimum: float = config.getoption("--transition-cover-min")
        self._hits: hits.Hits = Counter()
        self._counting: set[str] = set()
        self._covers: list[cover.ChartCover] = []
        self._gaps: list[list[ways.Gap]] = []
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
        self._hits.update(hits.from_json(getattr(node, "workeroutput", {}).get("transition_cover", "[]")))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Hand the hits to the session that reports; there, fail below the minimum."""
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
        say = terminalreporter.write_line
        terminalreporter.section(f"transitions of the charts{self._whose}")
        for line in text.table(self._covers):
            say(line)
        for gaps in self._gaps:
            for line in text.missing(gaps):
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
        """Work out the report from the hits."""
        self._covers = cover.cover(self._charts, self._hits)
        self._gaps = [ways.gaps(chart, each) for chart, each in zip(self._charts, self._covers, strict=True)]
        self._failed = cover.achieved(self._covers) < self._minimum
        if self._folder:
            self._no_picture = report.write(self._covers, self._gaps, self._folder)


def _charts(names: list[str]) -> list[type[Any]]:
    try:
        return list(dict.fromkeys(load.chart(name) for name in names or load.listed()))
    except load.UnusableError as error:
        paths = [name for name in names if ":" not in name]
        hint = "; what follows a bare --transition-cover is taken for its value: put paths before it" if paths else ""
        raise pytest.UsageError(f"--transition-cover: {error}{hint}") from None


def _prefix(config: pytest.Config) -> Path:
    prefix = (config.rootpath / (config.getoption("--transition-cover-from") or "")).resolve()
    if not prefix.exists():
        raise pytest.UsageError(f"--transition-cover-from: there is no {prefix}, so no test would count")
    return prefix


def _folder(config: pytest.Config) -> Path | None:
    """The folder for the report. Made before the tests run, so that an error about it comes at once."""
    name = config.getoption("--transition-cover-report") or config.getini("transition_cover_report")
    folder = config.rootpath / name if name else None
    try:
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise pytest.UsageError(f"--transition-cover-report: cannot make {folder}: {error.strerror}") from None
    return folder
