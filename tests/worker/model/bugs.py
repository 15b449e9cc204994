"""What the worker itself calls a bug."""

import logging


class Bugs(logging.Handler):
    """The worker calls its own bugs by name in its log."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if "bug in the worker" in record.getMessage():
            self.found.append(record.getMessage())
