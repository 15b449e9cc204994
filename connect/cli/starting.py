"""The start of the command: from its first statement on a signal ends the process, whatever the main thread does.

Python runs signal handlers on the main thread. That may be inside the import of the user's module for long: in C code, or where
every exception is swallowed. So a thread reads of each signal from Python's wakeup descriptor. Each signal needs a handler, too:
for the first process of a container the kernel drops a signal without one.

Signals belong to the process, so this module holds its state. Call its functions on the main thread.
"""

import contextlib
import os
import signal
import sys
import threading

from connect import command_name
from connect.cli import streams

LAST_WORDS = 0.3
"""Most seconds that the process takes, once a signal has come, to say so and to write what user code has printed."""

_RESIDENT = ("run", "gateway", "lab")
"""The commands that go on until they are told to stop: to stop them is no failure."""

TYPE_CHECKING = False
if TYPE_CHECKING:  # what these bring takes milliseconds
    from collections.abc import Callable
    from types import FrameType
    from typing import Any

_before: "dict[int, Any]" = {}
"""The signals that are handled here, with the handlers of before."""
_lock = threading.Lock()
_is_ending = False
_act: "Callable[[int], object] | None" = None
"""What a signal does; None: it ends the process."""
_pipe: "tuple[int, int] | None" = None
"""The thread reads from the first the numbers of signals, 0 for its end. Signals are written to the second."""
_interrupted_by = signal.SIGINT


def begin() -> None:
    """From now on SIGINT, SIGTERM and SIGHUP end the process. One that is ignored, as under `nohup`, stays ignored."""
    for name in ("SIGTERM", "SIGINT", "SIGHUP"):
        number = getattr(signal, name, None)
        if number and signal.getsignal(number) is not signal.SIG_IGN:
            _before[number] = signal.signal(number, _handle)
    _listen()
    os.register_at_fork(after_in_child=_forget)


def hand_over(act: "Callable[[int], object]") -> None:
    """From now on a signal calls *act*, with its number and on the main thread, until another handler is installed."""
    global _act
    with _lock:
        _act = act
        is_ending = _is_ending
    if is_ending:
        threading.Event().wait()  # the thread ends the process
    _close()


def interrupt() -> None:
    """From now on Ctrl-C is a KeyboardInterrupt, as in any Python program, and the other signals do the same as Ctrl-C."""
    if signal.getsignal(signal.SIGINT) is _handle:
        signal.signal(signal.SIGINT, _before[signal.SIGINT])
    hand_over(_raise_interrupt)


def interrupted() -> int:
    """The exit code of a command that a signal has interrupted before its result."""
    return 128 + _interrupted_by


def _raise_interrupt(number: int) -> None:
    global _interrupted_by
    _interrupted_by = signal.Signals(number)
    signal.raise_signal(signal.SIGINT)


def _handle(number: int, _frame: "FrameType | None") -> None:
    global _is_ending
    if _act:
        _act(number)
        return
    _is_ending = True
    if _pipe:  # the thread may not know: user code may have set a wakeup descriptor of its own
        with contextlib.suppress(BlockingIOError):
            os.write(_pipe[1], bytes([number]))
    else:
        _end(number)


_handle.in_forks = _before  # type: ignore[attr-defined] # `connect.loops.signals` gives these to a fork


def _listen() -> None:
    global _pipe
    streams.open_closed()  # else a pipe would get the number of a stream
    _pipe = os.pipe()
    os.set_blocking(_pipe[1], False)
    signal.set_wakeup_fd(_pipe[1], warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=_pipe, name="connect-start", daemon=True).start()


def _watch(read: int, write: int) -> None:
    global _is_ending
    while number := os.read(read, 1)[0]:
        if signal.getsignal(number) is not _handle:  # it is user code's own
            continue
        with _lock:
            _is_ending = _is_ending or _act is None
        if _is_ending:
            _end(number)
    os.close(read)
    os.close(write)


def _close() -> None:
    """End the thread."""
    global _pipe
    if _pipe:
        write, _pipe = _pipe[1], None
        _release(write)
        os.set_blocking(write, True)
        os.write(write, b"\0")


def _release(write: int) -> None:
    left = signal.set_wakeup_fd(-1)
    if left not in (-1, write):
        signal.set_wakeup_fd(left)  # user code's own


def _end(number: int) -> None:
    words = threading.Thread(target=_say_and_flush, args=[number], daemon=True)
    words.start()
    words.join(LAST_WORDS)  # an output that is not read would hold it for ever
    os._exit(_exit_code(number))


def _exit_code(number: int) -> int:
    """130 at Ctrl-C, as shells have it. Else 0 for a command that runs until it is told to stop: it has accepted no work."""
    return 0 if _command() in _RESIDENT and number != signal.SIGINT else 128 + number


def _command() -> str | None:
    return next((argument for argument in sys.argv[1:] if not argument.startswith("-")), None)


def _say_and_flush(number: int) -> None:
    before = "it was connected" if _command() == "run" else "it began"
    line = f"{command_name.typed()}: stopped by {signal.Signals(number).name} before {before}\n"
    os.write(2, line.encode())  # not to `sys.stderr`, whose lock the main thread may hold
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # user code may have put anything there
            stream.flush()


def _forget() -> None:
    """In a fork, which user code makes: the handlers are those of before, and nothing of this is left."""
    global _pipe
    for number, handler in _before.items():
        if signal.getsignal(number) is _handle:
            signal.signal(number, handler)
    if _pipe:
        _release(_pipe[1])
        os.close(_pipe[0])
        os.close(_pipe[1])
        _pipe = None
