"""The log that the command writes: one line for each record, as text or as JSON; of messages that repeat, it leaves most out.

The ids in a message are also given as `extra` of the record, under the names in `FIELDS`. The JSON has them as fields.
"""

import functools
import json
import logging
import math
import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

Format = Literal["text", "json"]

FIELDS: Final = (
    "request_id",
    "run_id",
    "function",
    "step",
    "attempt",
    "max_attempts",
    "duration",
    "outcome",
    "connection_id",
    "event",
    "from_state",
    "to_state",
    "delay",
    "repeated",
)
PER_REQUEST: Final = ("aiohttp.access", "httpcore", "httpx", "urllib3", "websockets")
"""Loggers of HTTP libraries, which log a line or more for each request that user code, or the SDK for it, makes or serves."""
REPEATS: Final = {"repeats": True}
"""Give this as `extra` with a message that repeats while one thing is broken: `RepeatLimit` leaves most of them out."""


def about_request(request_id: str, run_id: str, function: str) -> dict[str, str]:
    """Give this as `extra` with a message about one execution."""
    return {"request_id": request_id, "run_id": run_id, "function": function}


TEXT: Final = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
_FIRST_LINES: Final = 5
_FIRST_WINDOW: Final = 60.0
_LONGEST_WINDOW: Final = 600.0
_KINDS: Final = 256
"""Kinds of messages that `RepeatLimit` remembers: those that came last."""


_JSON: Final = json.JSONEncoder(ensure_ascii=False, default=str)


class JsonLines(logging.Formatter):
    """One JSON object for each record: `at` (RFC 3339, UTC), `level`, `logger`, `process`, `message`, the `FIELDS` that it has, and
    `error` with the traceback if it has one."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": _in_utc(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "process": record.processName,
            "message": record.getMessage(),
        }
        given = record.__dict__
        line |= {
            name: _json_number(value) if isinstance(value, float) else value
            for name in FIELDS
            if (value := given.get(name)) is not None
        }
        if record.exc_info:
            line["error"] = record.exc_text or self.formatException(record.exc_info)
        return _printable_json(_JSON.encode(line))


class TextLines(logging.Formatter):
    """One line for each record, by a format of `logging`'s; a traceback follows on lines of its own, each indented.

    Whatever cannot be printed is escaped, so that no text of a peer or of user code looks like another record, or moves the cursor.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        line = super().formatMessage(record)
        if line.isprintable():
            return line
        arguments = record.args if isinstance(record.args, tuple) else ()
        if any(isinstance(each, Traceback) for each in arguments):
            first, _, rest = line.partition("\n")
            return f"{printable(first)}\n{indented(rest)}"
        return printable(line)

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        if datefmt or self.converter is not time.localtime:  # as of a program that wants its log in UTC
            return super().formatTime(record, datefmt)
        return f"{_local_second(int(record.created))},{int(record.msecs):03}"

    def formatException(self, error: Any) -> str:  # noqa: N802
        return indented(super().formatException(error))

    def formatStack(self, stack: str) -> str:  # noqa: N802
        return indented(super().formatStack(stack))


@functools.lru_cache(maxsize=1)  # most lines are of the same second as the one before
def _local_second(second: int) -> str:
    return time.strftime(logging.Formatter.default_time_format, time.localtime(second))


@functools.lru_cache(maxsize=1)
def _utc_second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _in_utc(created: float) -> str:
    """*created*, seconds since 1970, as RFC 3339 has it: rounded to microseconds as `datetime` does, then cut to milliseconds."""
    second = int(created)
    more, microseconds = divmod(round((created - second) * 1_000_000), 1_000_000)
    return f"{_utc_second(second + more)}.{microseconds // 1000:03}+00:00"


def _json_number(value: float) -> object:
    """JSON has no NaN and no infinity, which a user's own policy may have as a delay."""
    return value if math.isfinite(value) else str(value)


class Traceback(str):
    """Lines as an argument of a log line, which stay lines; no other argument has line breaks (`connect.redaction`)."""

    __slots__ = ()


def indented(lines: str) -> str:
    """*lines*, each printable and indented: none of them looks like a record."""
    return "\n".join(f"  {printable(line)}" for line in lines.split("\n"))


def _printable_json(text: str) -> str:
    """*text* with each character that cannot be printed as JSON escapes it."""
    return (
        text if text.isprintable() else "".join(each if each.isprintable() else json.dumps(each)[1:-1] for each in text)
    )


class RepeatLimit(logging.Filter):
    """Limits records that are marked with `REPEATS`; all others pass.

    Records are of one kind if they have the same message, before its arguments are filled in, and the same class of error. Of each
    kind five pass in the first minute, then one after one minute, one after two more, four more, eight more, and then one every ten
    minutes; each says how many were left out before it. One after which others are left out says for how long. If a kind was silent
    for ten minutes, five pass again; also if 256 other kinds came since.

    *clock* returns seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._seen: OrderedDict[object, _Window] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        if not getattr(record, "repeats", False):
            return True
        now, kind, notes = self._clock(), _kind_of(record), list[str]()
        seen = self._seen.pop(kind, None)
        if seen is None:
            seen = _Window(since=now, last=now)
        elif now - seen.since >= seen.seconds:
            if seen.left_out:
                record.__dict__["repeated"] = seen.left_out
                notes.append(f"{seen.left_out} more like it in the last {now - seen.since:.0f} s")
            was_silent = now - seen.last >= _LONGEST_WINDOW
            longer = _Window(since=now, last=now, seconds=min(2 * seen.seconds, _LONGEST_WINDOW), most=1)
            seen = _Window(since=now, last=now) if was_silent else longer
        self._seen[kind] = seen  # the newest are at the end
        if len(self._seen) > _KINDS:
            self._seen.popitem(last=False)
        passes = seen.passes(now)
        if seen.count == seen.most:
            notes.append(f"further ones are left out for {seen.since + seen.seconds - now:.0f} s")
        if notes:
            record.msg, record.args = f"{record.getMessage()} ({'; '.join(notes)})", ()
        return passes


@dataclass
class _Window:
    """How many records of one kind came in a window of *seconds* from *since* on, and how many of them may pass."""

    since: float
    last: float
    seconds: float = _FIRST_WINDOW
    most: int = _FIRST_LINES
    count: int = 0

    @property
    def left_out(self) -> int:
        return max(0, self.count - self.most)

    def passes(self, now: float) -> bool:
        """Count one more record; whether it may pass."""
        self.last = now
        self.count += 1
        return self.count <= self.most


def _kind_of(record: logging.LogRecord) -> object:
    given = record.args if isinstance(record.args, tuple) else ()
    return record.msg, tuple(type(each) for each in given if isinstance(each, BaseException))


def printable(text: str) -> str:
    r"""*text* on one line: line breaks, ANSI escapes, marks that turn the direction of writing, halves of surrogates, and all else
    that cannot be printed is written as `\n`, `\x1b`, `\u202e`, `\ud800`."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def one_line(text: str) -> str:
    """*text* without line breaks: each run of white space becomes one space."""
    return " ".join(text.split())


def described(error: BaseException) -> str:
    """`KeyError: 'name'`: the class of *error* and its text."""
    return f"{type(error).__name__}: {error}"


def to_stderr(level: str | int, how: Format, text: str = TEXT) -> None:
    """Log to standard error, records of at least *level*. The root logger stays as it is if the user's module has set it up.

    *text* is the format if *how* is "text". The logger of the statechart engine, which logs each event twice at DEBUG, is set to
    WARNING unless it has a level already; so are those of `PER_REQUEST`, except at DEBUG, and unless they have handlers.
    """
    # Imported here: workers that are made in code have a log of their own.
    from connect.log_output import StandardError

    # User code that has replaced sys.stderr wants the log there.
    handler = StandardError() if sys.stderr is sys.__stderr__ else logging.StreamHandler()
    handler.setFormatter(JsonLines() if how == "json" else TextLines(text))
    handler.addFilter(RepeatLimit())
    least = level.upper() if isinstance(level, str) else level
    logging.basicConfig(level=least, handlers=[handler])
    logging.getLogger("connect").setLevel(least)
    _quieten("statemachine")
    if logging.root.level > logging.DEBUG:
        _quieten(*PER_REQUEST)


def _quieten(*names: str) -> None:
    for logger in map(logging.getLogger, names):
        if logger.level == logging.NOTSET and not logger.handlers:
            logger.setLevel(logging.WARNING)
