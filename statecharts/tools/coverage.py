"""A pytest plugin: which transitions of the charts did the tests take?

    pytest -p statecharts.tools.coverage --transition-cover --transition-cover-from=tests/worker --transition-cover-min=100

Every instance of a chart in `statecharts.CHARTS` is recorded, from any thread, whether the library runs it or the compiled table. A
hit counts while a test runs whose file lies under the prefix, so that only tests which drive the real worker prove anything. Under
pytest-xdist each worker process attributes its own tests, and the session that reports collects what they found.
"""

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from statemachine import StateChart

from statecharts import CHARTS, Stepper
from statecharts.compiler import Step
from statecharts.tools.record import Listener, Record


class TransitionCover:
    """The plugin: records while tests run, reports and judges at the end."""

    def __init__(self, prefix: Path, minimum: float) -> None:
        self._record = Record(CHARTS, counting=False)
        self._prefix = prefix
        self._minimum = minimum
        self._undo = _watch(self._record)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Count from a test's setup to its teardown, where its file lies under the prefix."""
        self._record.counting = item.path.is_relative_to(self._prefix)
        try:
            return (yield)
        finally:
            self._record.counting = False

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Collect what an xdist worker found."""
        self._record.taken.update(getattr(node, "workeroutput", {}).get("transitions_taken", ()))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Hand the hits to the session that reports; there, fail below the minimum."""
        if hasattr(session.config, "workeroutput"):
            session.config.workeroutput["transitions_taken"] = sorted(self._record.taken)
        elif self._percent < self._minimum and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Name each transition that no test took, with the event that would take it."""
        say, total = terminalreporter.write_line, len(self._record.declared)
        terminalreporter.section("transitions of the charts")
        for wording in self._record.declared:
            if wording not in self._record.taken:
                say(f"not taken   {wording}")
        say(f"{len(self._record.taken)} of {total} taken ({self._percent:.1f} %) by tests under {self._prefix}")
        if self._percent < self._minimum:
            say(f"FAIL: --transition-cover-min={self._minimum:g} was not reached", red=True)

    def pytest_unconfigure(self) -> None:
        """Leave the classes as they were."""
        self._undo()

    @property
    def _percent(self) -> float:
        return 100 * len(self._record.taken) / len(self._record.declared)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options."""
    group = parser.getgroup("transition cover")
    group.addoption("--transition-cover", action="store_true", help="record which transitions of the charts are taken")
    group.addoption("--transition-cover-from", default=".", metavar="PATH", help="count only tests under PATH")
    group.addoption("--transition-cover-min", type=float, default=0, metavar="PERCENT", help="fail below PERCENT")


def pytest_configure(config: pytest.Config) -> None:
    """Start recording, if asked to."""
    if config.getoption("--transition-cover"):
        prefix = config.rootpath / config.getoption("--transition-cover-from")
        cover = TransitionCover(prefix.resolve(), config.getoption("--transition-cover-min"))
        config.pluginmanager.register(cover, "transition-cover")


def _watch(record: Record) -> Callable[[], None]:
    """Record every chart and every table made or stepped from now on. Returns the way back."""
    begin, take = StateChart.__init__, Stepper._take

    @functools.wraps(begin)
    def watched_begin(
        self: Any,
        model: Any = None,
        state_field: str = "state",
        start_value: Any = None,
        listeners: Any = None,
        **data: Any,
    ) -> None:
        begin(self, model, state_field, start_value, [*(listeners or ()), Listener(record)], **data)

    @functools.wraps(take)
    def watched_take(self: Stepper, step: Step) -> None:
        record.step(self.compiled, step)
        take(self, step)

    def undo() -> None:
        StateChart.__init__, Stepper._take = begin, take  # type: ignore[method-assign]

    StateChart.__init__, Stepper._take = watched_begin, watched_take  # type: ignore[method-assign]
    return undo
