"""The log is written to standard error without waiting for its reader."""

import contextlib
import logging
import os
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from connect import log_output
from connect.log_output import StandardError

MIB = 2**20


@dataclass
class Pipe:
    """Standard error, and its reader."""

    logger: logging.Logger
    handler: StandardError
    reading: int

    def read(self) -> str:
        """What has come, once the handler has written all."""
        text = b""
        os.set_blocking(self.reading, False)
        while True:
            writers = [each for each in threading.enumerate() if each.name == "connect-log"]
            with contextlib.suppress(BlockingIOError):
                while more := os.read(self.reading, MIB):
                    text += more
            if not writers:
                return text.decode()
            writers[0].join(0.01)


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipe]:
    reading, writing = os.pipe()
    monkeypatch.setattr(log_output, "DESCRIPTOR", writing)
    logger, handler = logging.getLogger("tests.log_output"), StandardError()
    logger.propagate = False
    logger.addHandler(handler)
    logging.getLogger("connect").addHandler(handler)
    yield Pipe(logger, handler, reading)
    logger.removeHandler(handler)
    logging.getLogger("connect").removeHandler(handler)
    for descriptor in (reading, writing):
        with contextlib.suppress(OSError):
            os.close(descriptor)


def test_a_line_is_written_at_once(pipe: Pipe) -> None:
    pipe.handler.handle(logging.makeLogRecord({"msg": "a line with \ud800"}))
    assert os.read(pipe.reading, 100) == b"a line with \\ud800\n"
    assert pipe.handler._writer is None


def test_what_a_slow_reader_has_not_read_waits_and_comes_in_order(pipe: Pipe) -> None:
    lines = [f"{number} {'x' * 1000}" for number in range(500)]
    for line in lines:
        pipe.logger.warning(line)
    assert pipe.read().splitlines() == lines
    pipe.handler.flush()


def test_what_waits_is_bounded_and_what_is_left_out_is_counted(pipe: Pipe) -> None:
    for _ in range(2000):
        pipe.logger.warning("x" * 1023)
    assert pipe.handler._size <= log_output.WAITING_BYTES
    text = pipe.read()
    left_out = 2000 - text.count("x" * 1023)
    assert f"{left_out} lines of the log were left out" in text[-200:]


def test_a_reader_that_is_gone_is_no_error(pipe: Pipe, capsys: pytest.CaptureFixture[str]) -> None:
    os.close(pipe.reading)
    pipe.logger.warning("to nobody")
    pipe.handler.flush()
    assert pipe.handler._writer is None
    assert capsys.readouterr().err == ""


def test_a_line_that_cannot_be_formatted_says_so(pipe: Pipe) -> None:
    record = logging.LogRecord("tests.log_output", logging.WARNING, __file__, 1, "%d lines", ("many",), None)
    pipe.handler.handle(record)
    assert "a line of the logger tests.log_output cannot be formatted" in pipe.read()


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_a_fork_writes_lines_of_its_own_and_none_of_its_parents(pipe: Pipe) -> None:
    for _ in range(200):
        pipe.logger.warning("x" * 1000)
    pipe.handler._lock.acquire()
    child = os.fork()
    if child == 0:
        pipe.logger.warning("of the fork")
        os._exit(len(pipe.handler._waiting))
    pipe.handler._lock.release()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    assert pipe.read().count("x" * 1000) == 200
