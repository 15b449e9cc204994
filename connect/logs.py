"""The log as the command writes it: a line for each record, for people or as JSON, with failures that repeat summed up.

What a record is about goes beside its words, as `extra`: under these names it stands in the JSON, where other programs find it.
"""

import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

Format = Literal["text", "json"]

FIELDS: Final = (
    "request_id",
    "run_id",
    "function",
    "connection_id",
    "event",
    "from_state",
    "to_state",
    "attempt",
    "delay",
    "repeated",
)
REPEATS: Final = {"repeats": True}
"""As `extra`, on what is said again and again while one thing is broken: see `Summed`."""


def about_request(request_id: str, run_id: str, function: str) -> dict[str, str]:
    """As `extra`: the execution that a record is about."""
    return {"request_id": request_id, "run_id": run_id, "function": function}


TEXT: Final = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
_OFTEN, _WINDOW, _LONGEST = 5, 60.0, 600.0


class JsonLines(logging.Formatter):
    """An object per record: `at` (RFC 3339, UTC), `level`, `logger`, `process`, `message`, what it is about (`FIELDS`), and `error`
    with the traceback where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "process": record.processName,
            "message": record.getMessage(),
        }
        line |= {name: value for name in FIELDS if (value := getattr(record, name, None)) is not None}
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class Summed(logging.Filter):
    """Lets five records of a kind through, then one after a minute, after two more and so on up to each ten minutes; it says how
    many did not come through. After ten minutes without any they are news again.

    Only what is marked `REPEATS` is of a kind: the same words about the same kind of error. Everything else passes.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._seen: dict[object, _Repeated] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if not getattr(record, "repeats", False):
            return True
        now, kind = self._clock(), _kind(record)
        seen = self._seen.get(kind)
        if seen is None:
            seen = self._seen[kind] = _Repeated(since=now, last=now)
        elif now - seen.since >= seen.window:
            if seen.left_out:
                _add_up(record, seen.left_out, now - seen.since)
            is_news = now - seen.last >= _LONGEST
            longer = _Repeated(since=now, last=now, window=min(2 * seen.window, _LONGEST), most=1)
            seen = self._seen[kind] = _Repeated(since=now, last=now) if is_news else longer
        return seen.passes(now)


@dataclass
class _Repeated:
    """What came of one kind since the window began, and how many of it may pass."""

    since: float
    last: float
    window: float = _WINDOW
    most: int = _OFTEN
    count: int = 0

    @property
    def left_out(self) -> int:
        return max(0, self.count - self.most)

    def passes(self, now: float) -> bool:
        """Count one more."""
        self.last = now
        self.count += 1
        return self.count <= self.most


def _kind(record: logging.LogRecord) -> object:
    given = record.args if isinstance(record.args, tuple) else ()
    return record.msg, tuple(type(each) for each in given if isinstance(each, BaseException))


def _add_up(record: logging.LogRecord, left_out: int, seconds: float) -> None:
    record.__dict__["repeated"] = left_out
    record.msg = f"{record.getMessage()} ({left_out} more like it in the last {seconds:.0f} s)"
    record.args = ()


def one_line(text: str) -> str:
    """*text* without line breaks: each run of white space becomes one space."""
    return " ".join(text.split())


def described(error: BaseException) -> str:
    """`KeyError: 'name'`: the class of *error* and its text."""
    return f"{type(error).__name__}: {error}"


def to_stderr(level: str | int, how: Format, text: str = TEXT) -> None:
    """Log to standard error. Without effect on the root logger where the user's module has set up logging itself.

    The statechart engine tells of every event twice over; it is kept to warnings unless somebody has given it a level.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if how == "json" else logging.Formatter(text))
    handler.addFilter(Summed())
    least = level.upper() if isinstance(level, str) else level
    logging.basicConfig(level=least, handlers=[handler])
    logging.getLogger("connect").setLevel(least)
    engine = logging.getLogger("statemachine")
    if engine.level == logging.NOTSET:
        engine.setLevel(logging.WARNING)
