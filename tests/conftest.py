"""Fixtures for tests that start whole processes. Every wait has a limit."""

import gc
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from group_kit import end_group

PATIENCE = 30.0
"""Seconds that a process may take for anything: a loaded machine starts one in ten times its usual time."""


def pytest_collection_finish() -> None:
    """Leave the thousands of tests out of each collection of garbage: one could take as long as three heartbeats of 50 ms."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _usual_signals() -> None:
    """Processes that tests start react to SIGINT and SIGHUP, even where these tests ignore them: in the background, or under nohup.

    A new process inherits that a signal is ignored, but not that it is handled. The tests themselves go on ignoring it.
    """
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


class Command:
    """A process in *cwd*. Its output, both streams, is read line by line. What it starts ends with it."""

    def __init__(self, *arguments: str, cwd: Path, env: dict[str, str]) -> None:
        inherited = {name: text for name, text in os.environ.items() if not name.startswith("INNGEST_")}
        self._process = subprocess.Popen(  # noqa: S603
            [sys.executable, *arguments],
            cwd=cwd,
            env={**inherited, "COLUMNS": "100", "PYTHONUNBUFFERED": "1", "PYTHONFAULTHANDLER": "1", **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._fresh: queue.Queue[str] = queue.Queue()
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def text(self) -> str:
        """All output that was waited for so far."""
        return "".join(self.lines)

    def expect(self, text: str) -> str:
        """Wait for the next line that contains *text*, and return it."""
        while True:
            try:
                line = self._fresh.get(timeout=PATIENCE)
            except queue.Empty:
                raise AssertionError(f"no {text!r} within {PATIENCE:g} s in:\n{self.text}") from None
            if not line:
                raise AssertionError(f"the process ended without {text!r}:\n{self.text}")
            self.lines.append(line)
            if text in line:
                return line

    def signal_all(self, number: signal.Signals) -> None:
        """Send a signal to the process and all that it started, as a terminal does."""
        os.killpg(self._process.pid, number)

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        self._process.send_signal(number)

    def ends(self) -> int:
        """Wait until it has ended, read the rest of its output, and return its exit code. A process that does not end is made to
        print its stacks.
        """
        try:
            code: int | None = self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGABRT)
            code = None
        self._reader.join(PATIENCE)
        while line := self._fresh.get_nowait():
            self.lines.append(line)
        assert code is not None, f"the process did not end within {PATIENCE:g} s:\n{self.text}"
        return code

    def kill(self) -> None:
        """Kill the process and what it started, which could keep the pipe open for ever."""
        end_group(self._process.pid)
        self._process.wait()
        self._reader.join(PATIENCE)
        if self._process.stdout:
            self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self._fresh.put(line)
        self._fresh.put("")


Start = Callable[..., Command]


@pytest.fixture
def start_process(tmp_path: Path) -> Iterator[Start]:
    """Start Python with these arguments; in `tmp_path` unless *cwd* says where, with *env* beside the usual variables."""
    started: list[Command] = []

    def begin(*arguments: str, cwd: Path = tmp_path, **env: str) -> Command:
        started.append(Command(*arguments, cwd=cwd, env=env))
        return started[-1]

    yield begin
    for command in started:
        command.kill()
