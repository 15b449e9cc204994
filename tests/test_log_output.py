"""The log is written to standard error without waiting for its reader."""

import contextlib
import gc
import logging
import os
import socket
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

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
    writing: int

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
    yield Pipe(logger, handler, reading, writing)
    logger.removeHandler(handler)
    with contextlib.suppress(OSError):
        os.close(reading)
    handler.flush()
    with contextlib.suppress(OSError):
        os.close(writing)


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


def test_a_line_takes_one_call_of_the_system(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """At 10,000 lines a second, opening the pipe for each cost half of a line."""
    try:
        os.pwritev(pipe.writing, (b"x",), -1, log_output._NO_WAIT)
    except (OSError, NotImplementedError):
        pytest.skip("this system has no write to a pipe that does not wait")
    with monkeypatch.context() as limited:
        for name in ("open", "write", "fstat"):
            limited.setattr(os, name, _refuse)
        pipe.handler.handle(logging.makeLogRecord({"msg": "a line"}))
    assert os.read(pipe.reading, 100) == b"xa line\n"


def _refuse(*_: object) -> int:
    raise PermissionError


@pytest.mark.parametrize("flag", [log_output._NO_WAIT, 0])
def test_a_pipe_that_another_process_fills_just_before_the_write_does_not_hold_up_a_line(
    flag: int, pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Children and prints share it. The line waited for good, and with it all others, the event loop's included."""
    write, pwritev = os.write, os.pwritev

    def write_late(descriptor: int, data: bytes) -> int:
        _fill(pipe.writing, write)
        return write(descriptor, data)

    def pwritev_late(descriptor: int, data: tuple[bytes], offset: int, how: int) -> int:
        _fill(pipe.writing, write)
        return pwritev(descriptor, data, offset, how)

    monkeypatch.setattr(log_output, "_NO_WAIT", flag)
    monkeypatch.setattr(os, "pwritev", pwritev_late)
    monkeypatch.setattr(os, "write", write_late)
    writer = threading.Thread(target=lambda: [pipe.logger.warning("y%d", each) for each in range(3)], daemon=True)
    writer.start()
    writer.join(5.0)
    assert not writer.is_alive()
    monkeypatch.setattr(os, "write", write)
    assert [line.lstrip("x") for line in pipe.read().splitlines()] == ["y0", "y1", "y2"]


def _fill(pipe: int, write: Callable[[int, bytes], int]) -> None:
    other = os.open(f"/proc/self/fd/{pipe}", os.O_WRONLY | os.O_NONBLOCK)
    for size in (4096, 1):
        with contextlib.suppress(BlockingIOError):
            while True:
                write(other, b"x" * size)
    os.close(other)


def test_a_socket_that_is_not_read_does_not_hold_up_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal of systemd is one."""
    reading, writing = socket.socketpair()
    with reading, writing:
        monkeypatch.setattr(log_output, "DESCRIPTOR", writing.fileno())
        handler = StandardError()
        for number in range(2000):
            handler.handle(logging.makeLogRecord({"msg": f"{number} {'x' * 100}"}))
        for number in range(2000):
            assert reading.recv(1, socket.MSG_PEEK)
            line = b""
            while not line.endswith(b"\n"):
                line += reading.recv(1)
            assert line.startswith(b"%d " % number)


def test_where_standard_error_cannot_be_opened_again_a_thread_writes(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There may be no /proc, and no right to the terminal of another user."""
    monkeypatch.setattr(log_output, "_NO_WAIT", 0)
    monkeypatch.setattr(os, "open", _refuse)
    pipe.logger.warning("a line")
    pipe.logger.warning("another")
    assert pipe.read() == "a line\nanother\n"


def test_a_regular_file_gets_each_line_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "log").open("w") as file:
        file.write("before\n")
        file.flush()
        monkeypatch.setattr(log_output, "DESCRIPTOR", file.fileno())
        handler = StandardError()
        for text in ("one", "two"):
            handler.handle(logging.makeLogRecord({"msg": text}))
    assert (tmp_path / "log").read_text() == "before\none\ntwo\n"


def test_a_thread_that_cannot_be_started_is_no_error(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """The processes of a container may be limited, and a line may come while the interpreter shuts down."""
    with monkeypatch.context() as limited:
        limited.setattr(threading.Thread, "start", _no_thread)
        for number in range(2000):
            pipe.logger.warning("%d %s", number, "x" * 1000)
        pipe.handler.flush()
        assert pipe.handler._writer is None
    pipe.logger.warning("last")
    text = pipe.read()
    assert text.startswith("0 x")
    assert "lines of the log were left out" in text.splitlines()[-1]


def _no_thread(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_a_flush_waits_for_the_line_that_says_what_was_left_out(pipe: Pipe) -> None:
    """`logging.shutdown` has the handler's lock while it flushes."""
    for _ in range(2000):
        pipe.logger.warning("x" * 1023)
    parts: list[bytes] = []
    reader = threading.Thread(target=lambda: parts.extend(iter(lambda: os.read(pipe.reading, 4096), b"")), daemon=True)
    reader.start()
    pipe.handler.acquire()
    pipe.handler.flush()
    pipe.handler.release()
    assert pipe.handler._writer is None
    os.close(pipe.writing)
    reader.join()
    assert b"lines of the log were left out" in parts[-1]


def test_a_line_that_the_collector_logs_meanwhile_is_written_too(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """`__del__` of user code may run, and log, at any point: also while a line is written."""
    write_now, lines = log_output._write_now, ["inner"]

    def interrupted(line: memoryview) -> memoryview:
        if lines:
            pipe.logger.warning(lines.pop())
        return write_now(line)

    monkeypatch.setattr(log_output, "_write_now", interrupted)
    pipe.logger.warning("outer")
    assert pipe.read() == "outer\ninner\n"


def test_a_handler_that_is_not_used_any_more_is_not_kept() -> None:
    kept = weakref.ref(StandardError())
    gc.collect()
    assert kept() is None


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
        pipe.logger.warning("of the fork" * 360)  # more than the rest of the last page of the pipe
        os._exit(len(pipe.handler._waiting))
    pipe.handler._lock.release()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    assert pipe.read().count("x" * 1000) == 200
