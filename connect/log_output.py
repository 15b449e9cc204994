"""Standard error, as the log is written to it: a reader that does not read, or has gone, never holds up the code that logs.

A write to a full pipe waits for its reader. On an event loop that would stop the heartbeats, and at the end the process.
"""

import logging
import os
import select
import threading
import traceback
from collections import deque
from typing import Final

DESCRIPTOR: Final = 2
WAITING_BYTES: Final = 1024 * 1024
"""Most bytes that wait for a slow reader; while so many wait, further lines are left out and counted."""
FLUSH_SECONDS: Final = 1.0
"""How long `flush` waits for a slow reader."""

log = logging.getLogger("connect")


class StandardError(logging.Handler):
    """Writes each record to standard error: at once if that takes it, else on a thread. Never blocks, and never raises.

    What cannot be written at all, because the disk is full or the reader has gone, is dropped.
    """

    def __init__(self) -> None:
        super().__init__()
        os.register_at_fork(after_in_child=self._begin)
        self._begin()

    def _begin(self) -> None:
        """Nothing waits yet. In a fork, what waits is its parent's, and so is the thread that writes it."""
        self._lock = threading.Lock()
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

    # -- with the lock

    def _add(self, line: memoryview) -> None:
        rest = line if self._waiting else _write_now(line)
        if not rest:
            return
        if self._waiting and self._size + len(rest) > WAITING_BYTES:
            self._left_out += 1
            return
        self._waiting.append(rest)
        self._size += len(rest)
        if self._writer is None:
            self._writer = threading.Thread(target=self._write_waiting, name="connect-log", daemon=True)
            self._writer.start()

    def _write_some(self) -> None:
        while self._waiting:
            line = self._waiting[0]
            rest = _write_now(line)
            self._size -= len(line) - len(rest)
            if rest:
                self._waiting[0] = rest
                return
            self._waiting.popleft()

    # -- on the thread

    def _write_waiting(self) -> None:
        while True:
            _takes_more(None)
            with self._lock:
                self._write_some()
                if not self._waiting:
                    self._writer, left_out, self._left_out = None, self._left_out, 0
                    break
        if left_out:
            log.warning("standard error was not read for a while: %d lines of the log were left out", left_out)


def _encoded(line: str) -> memoryview:
    return memoryview(f"{line}\n".encode(errors="backslashreplace"))


def _write_now(line: memoryview) -> memoryview:
    """Write as much of *line* as standard error takes without waiting; returns the rest."""
    while line and _takes_more(0):
        try:
            line = line[os.write(DESCRIPTOR, line[: select.PIPE_BUF]) :]
        except BlockingIOError:
            return line
        except OSError:
            return line[:0]
    return line


def _takes_more(timeout: float | None) -> bool:
    """Whether `PIPE_BUF` bytes can be written without waiting, or an error comes at once. Waits *timeout* ms; None: for ever."""
    poll = select.poll()
    poll.register(DESCRIPTOR, select.POLLOUT)
    return bool(poll.poll(timeout))
