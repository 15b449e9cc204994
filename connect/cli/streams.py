"""The standard streams of the command."""

import contextlib
import errno
import os
import sys

from connect import command_name

_UNWRITABLE = (errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def open_closed() -> None:
    """Open those that the caller has closed, on nothing. Else the next socket would get a number that programs write to."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is *number*
            os.set_inheritable(opened, True)
            stream = open(number, "r" if number == 0 else "w", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)


def report(line: str) -> None:
    """Write *line* to standard error behind the command's name, if that can be written."""
    with contextlib.suppress(OSError):
        sys.stderr.write(f"{command_name.typed()}: {line}\n")
        sys.stderr.flush()


def is_unwritable(error: OSError) -> bool:
    """Whether *error* says that an output cannot be written: its disk is full, or its reader has gone."""
    return error.errno in _UNWRITABLE and error.filename is None


def report_unwritable(error: OSError) -> None:
    """Say that standard output cannot be written, unless its reader has gone: that is no failure of the output."""
    if not isinstance(error, BrokenPipeError):
        report(f"cannot write to standard output: {error.strerror}")
