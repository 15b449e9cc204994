"""What an attempt to connect has come to, for the error that says what it waited for when its time was over."""

from contextvars import ContextVar
from typing import Final

_CURRENT: Final[ContextVar["Progress"]] = ContextVar("connect_progress")


class Progress:
    """Of one request or WebSocket. What runs in the task that called `begin` notes it."""

    def __init__(self) -> None:
        self.missing = ""
        """What has not come about yet; "": the connection is there, and an answer is missing."""
        self.reached = True
        """Whether there was a TCP connection, to the server or to its proxy."""

    def begin(self) -> None:
        """From now on, what this task opens is noted here."""
        self.missing, self.reached = "", True
        _CURRENT.set(self)

    def late(self, seconds: float) -> str:
        """The sentence for `missing` after *seconds*; "": nothing is."""
        return f"{self.missing} within {seconds:g} s" if self.missing else ""


def still_missing(what: str, *, reached: bool = True) -> None:
    """Note *what* has not come about yet, in words before "within 10 s"; "": the connection is there.

    *reached*: False until there is a TCP connection.
    """
    if current := _CURRENT.get(None):
        current.missing, current.reached = what, reached
