"""Collects the bugs that the worker reports."""

import logging


class Bugs(logging.Handler):
    """The lines of the log in which the worker reports a bug of its own."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if "bug in the worker" in record.getMessage():
            self.found.append(record.getMessage())
