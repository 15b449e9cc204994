"""The end of a process whose threads still run functions that nothing can stop."""

import contextlib
import logging
import os
import sys
from typing import NoReturn


def end_now(code: int) -> NoReturn:
    """End the process with exit code *code*, without waiting for its threads: the interpreter would wait for all of them."""
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # the reader has gone, or user code closed the stream
            stream.flush()
    os._exit(code)
