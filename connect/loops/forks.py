"""Forks that user code makes of this process: a child holds no socket of the worker open, and ends where the worker's code begins.

A child has a copy of all but the other threads. With the sockets it would read what a gateway sends, and keep a link open that the
worker has closed. Back in the worker's code it would reply to requests.
"""

import contextlib
import functools
import os
import signal
import socket
import sys
import traceback
import weakref
from collections.abc import Callable, Iterable
from typing import Any, Final, NoReturn, Self, TypeVar

T = TypeVar("T")

_OWNERS: Final[weakref.WeakKeyDictionary[Any, Callable[[Any], Iterable[int]]]] = weakref.WeakKeyDictionary()
"""What has sockets open, with a function that returns their descriptors."""


def close_in_children(owner: T, descriptors: Callable[[T], Iterable[int]]) -> None:
    """Close in each child what *descriptors* returns for *owner*, as long as *owner* lives; negative numbers are none."""
    _follow()
    _OWNERS[owner] = descriptors


def private(sock: socket.socket) -> socket.socket:
    """Close *sock* in each child. Returns it."""
    close_in_children(sock, lambda sock: [sock.fileno()])
    return sock


def private_socket(address: tuple[Any, ...]) -> socket.socket:
    """A new socket for *address*, as `socket.getaddrinfo` returns them, that is closed in each child."""
    family, kind, protocol, *_ = address
    return private(socket.socket(family, kind, protocol))


@functools.cache
def _follow() -> None:
    os.register_at_fork(after_in_child=_close_all)


def _close_all() -> None:
    """In a child: put the null device in the place of each socket. A number that is free would soon be that of a user's file."""
    null = os.open(os.devnull, os.O_RDWR)
    for owner, descriptors in list(_OWNERS.items()):
        for number in descriptors(owner):
            if number >= 0:
                os.dup2(null, number, inheritable=False)
    os.close(null)


class Boundary:
    """What no child leaves: one that was forked inside the `with` block ends where it would leave the block."""

    def __init__(self) -> None:
        self._parent = os.getpid()
        self.error: BaseException | None = None
        """What was raised and caught inside the block; the child's exit code says so."""

    @property
    def in_child(self) -> bool:
        """Whether this process was forked since this object was made."""
        return os.getpid() != self._parent

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if self.in_child:
            _end(error or self.error)
        self.error = None  # it holds the frames that it came through, and one of them holds this object


def _end(error: BaseException | None) -> NoReturn:
    """End this process with the exit code that *error* has in Python; None: 0.

    Without exit handlers, as multiprocessing ends its children: they are the parent's.
    """
    code, text = _exit_code(error)
    for stream, last in ((sys.stdout, ""), (sys.stderr, text)):
        with contextlib.suppress(Exception):  # it is closed, or user code has replaced it
            stream.write(last)
            stream.flush()
    if isinstance(error, KeyboardInterrupt):
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.raise_signal(signal.SIGINT)
    os._exit(code)


def _exit_code(error: BaseException | None) -> tuple[int, str]:
    """The exit code, and what is written to standard error."""
    match error:
        case None | SystemExit(code=None):
            return 0, ""
        case SystemExit(code=int() as code):
            return code & 0xFF, ""
        case SystemExit(code=text):
            return 1, f"{text}\n"
    return 1, "".join(traceback.format_exception(error))
