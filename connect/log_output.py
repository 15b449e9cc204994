"""Standard error, as the log is written to it: a reader that does not read, or has gone, never holds up the code that logs.

A write to a full pipe waits for its reader. On an event loop that would stop the heartbeats, and at the end the process.
"""

import logging
import os
import select
import socket
import stat
import threading
import traceback
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

DESCRIPTOR: Final = 2
WAITING_BYTES: Final = 1024 * 1024
"""Most bytes that wait for a slow reader; while so many wait, further lines are left out and counted."""
FLUSH_SECONDS: Final = 1.0
"""How long `flush` waits for a slow reader."""
_NO_WAIT: Final[int] = getattr(os, "RWF_NOWAIT", 0)
"""The flag that has one write not wait, whatever else uses the file; 0: this system has none."""
_HERE: Final = -1
"""The offset that stands for where the file is."""

log = logging.getLogger("connect")


class StandardError(logging.Handler):
    """Writes each record to standard error: at once if that takes it, else on a thread. Never blocks, and never raises.

    What cannot be written at all, because the disk is full or the reader has gone, is dropped.
    """

    def __init__(self) -> None:
        super().__init__()
        self._begin()
        _HANDLERS.add(self)

    def _begin(self) -> None:
        """Nothing waits yet. In a fork, what waits is its parent's, and so is the thread that writes it."""
        self._lock = threading.RLock()  # not Lock: while a line is written, the collector may run user code that logs
        self._is_writing = False
        self._waiting: deque[memoryview] = deque()
        self._size = 0
        self._left_out = 0
        self._writer: threading.Thread | None = None

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
        except Exception:  # a user's line whose arguments do not fit its message, for instance
            text = f"a line of the logger {record.name} cannot be formatted: {traceback.format_exc()}"
        with self._lock:
            self._add(_encoded(text))

    def flush(self) -> None:
        """Wait until every line is written, at most `FLUSH_SECONDS`."""
        writer = self._writer
        if writer:
            writer.join(FLUSH_SECONDS)
        with self._lock:
            if self._writer is None and not self._is_writing:  # it could not be started
                self._write_some()

    # -- with the lock, so nothing here may wait

    def _add(self, line: memoryview) -> None:
        if self._waiting and self._size + len(line) > WAITING_BYTES:
            self._left_out += 1
            return
        self._waiting.append(line)
        self._size += len(line)
        if self._writer is None and not self._is_writing:
            self._write_or_start()

    def _write_or_start(self) -> None:
        self._is_writing = True
        try:
            self._write_some()
            if self._waiting:
                self._start_writer()
        finally:
            self._is_writing = False

    def _write_some(self) -> None:
        while self._waiting:
            rest = _write_now(self._waiting[0])
            self._keep(rest)
            if rest:
                return

    def _keep(self, rest: memoryview) -> None:
        """Only *rest* of the first line still waits."""
        self._size -= len(self._waiting[0]) - len(rest)
        if rest:
            self._waiting[0] = rest
        else:
            self._waiting.popleft()

    def _start_writer(self) -> None:
        self._writer = threading.Thread(target=self._write_waiting, name="connect-log", daemon=True)
        try:
            self._writer.start()
        except RuntimeError:  # no more threads, or the interpreter shuts down; the next line tries again
            self._writer = None

    # -- on the thread

    def _write_waiting(self) -> None:
        while True:
            rest = _write_when_read(self._waiting[0])  # nothing else takes from the queue while this thread runs
            with self._lock:
                self._keep(rest)
                if self._waiting:
                    continue
                left_out, self._left_out = self._left_out, 0
                if not left_out:
                    self._writer = None
                    return
            self._report(left_out)

    def _report(self, left_out: int) -> None:
        # Not by `log.warning`: that needs the handler's lock, which `logging.shutdown` holds while it waits for this thread.
        self.emit(
            log.makeRecord(
                log.name,
                logging.WARNING,
                "",
                0,
                "standard error was not read for a while: %d lines of the log were left out",
                (left_out,),
                None,
            )
        )


_HANDLERS: Final = weakref.WeakSet[StandardError]()


def _begin_all() -> None:
    for handler in _HANDLERS:
        handler._begin()


os.register_at_fork(after_in_child=_begin_all)


def _encoded(line: str) -> memoryview:
    return memoryview(f"{line}\n".encode(errors="backslashreplace"))


def _write_now(line: memoryview) -> memoryview:
    """Write as much of *line* as standard error takes without waiting; returns the rest."""
    try:
        while line:
            line = line[_write_once(line) :]
    except BlockingIOError:
        return line
    except OSError:
        return line[:0]
    return line


def _write_once(line: memoryview) -> int:
    """Write *line* or its beginning without waiting; returns how many bytes. Raises BlockingIOError if it may have to wait."""
    if _NO_WAIT:
        # Linux 6.4 takes this for pipes and sockets. Of what it refuses, the way below says what it is.
        with suppress(OSError, NotImplementedError):
            return os.pwritev(DESCRIPTOR, (line,), _HERE, _NO_WAIT)
    with _unblocked() as write:
        return write(line)


@contextmanager
def _unblocked() -> Iterator[Callable[[memoryview], int]]:
    """What writes to standard error without waiting. Raises BlockingIOError if it may have to wait.

    Other processes share standard error, and may fill it at any time: to ask before a write that waits is not enough. Nor may it be
    made non-blocking, which would hold for them too. So it is opened once more: for each write, as user code may put another file
    in its place at any time.
    """
    kind = os.fstat(DESCRIPTOR).st_mode
    if stat.S_ISREG(kind):
        yield lambda data: os.write(DESCRIPTOR, data)
    elif stat.S_ISSOCK(kind):
        with socket.socket(fileno=os.dup(DESCRIPTOR)) as sock:
            yield lambda data: sock.send(data, socket.MSG_DONTWAIT)
    else:
        try:
            own = os.open(f"/proc/self/fd/{DESCRIPTOR}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
        except OSError as error:  # no /proc, no right to open the terminal, or no reader
            raise BlockingIOError from error
        try:
            yield lambda data: os.write(own, data)
        finally:
            os.close(own)


def _write_when_read(line: memoryview) -> memoryview:
    """Write *line* or its beginning as soon as standard error takes it; returns the rest."""
    try:
        return line[os.write(DESCRIPTOR, line[: select.PIPE_BUF]) :]
    except BlockingIOError:  # its other users have made it non-blocking
        poll = select.poll()
        poll.register(DESCRIPTOR, select.POLLOUT)
        poll.poll()
        return line
    except OSError:
        return line[:0]
