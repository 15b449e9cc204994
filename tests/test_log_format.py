"""The command's log: a line for each record, machines can read it, and what repeats is summed up."""

import io
import json
import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connect import log_format
from connect.log_format import PER_REQUEST, REPEATS, TEXT, JsonLines, RepeatLimit, TextLines, to_stderr


class Clock:
    """A clock that a test moves."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def logger(clock: Clock) -> Iterator[tuple[logging.Logger, io.StringIO]]:
    """A logger of its own, whose lines are JSON, and what it has written."""
    made, written = logging.Logger("connect.some"), io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(JsonLines())
    handler.addFilter(RepeatLimit(clock))
    made.addHandler(handler)
    yield made, written
    made.removeHandler(handler)


def lines(written: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in written.getvalue().splitlines()]


def test_a_line_says_what_it_is_about(logger: tuple[logging.Logger, io.StringIO]) -> None:
    """Under stable names, and nothing that was not given."""
    log, written = logger
    log.warning("lost the lease of %s", "R", extra={"request_id": "R", "run_id": "U", "function": "f"})
    (line,) = lines(written)
    assert line["at"].endswith("+00:00")
    assert {name: line[name] for name in line if name not in ("at", "process")} == {
        "level": "warning",
        "logger": "connect.some",
        "message": "lost the lease of R",
        "request_id": "R",
        "run_id": "U",
        "function": "f",
    }


def test_a_traceback_stays_on_its_line(logger: tuple[logging.Logger, io.StringIO]) -> None:
    log, written = logger
    try:
        int("über\nzwei")
    except ValueError:
        log.exception("it failed")
    (line,) = lines(written)
    assert "ValueError: invalid literal" in line["error"]


@given(
    st.integers(0, 4 * 10**9), st.floats(0, 1, exclude_max=True) | st.sampled_from([0.0009995, 0.9999994, 0.9999996])
)
def test_the_time_of_a_line_is_as_the_standard_library_writes_it(second: int, part: float) -> None:
    """Though most of it is kept from the line before."""
    record = logging.makeLogRecord({"msg": "", "created": second + part, "msecs": part * 1000})
    at = json.loads(JsonLines().format(record))["at"]
    assert at == datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    assert TextLines("%(asctime)s").format(record) == logging.Formatter("%(asctime)s").format(record)


def test_a_program_may_have_its_log_in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the standard library's documentation has it: by another `converter`."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    monkeypatch.setattr(logging.Formatter, "converter", time.gmtime)
    record = logging.makeLogRecord({"msg": "said", "created": 0.0, "msecs": 0.0})
    line = TextLines("%(asctime)s %(message)s").format(record)
    monkeypatch.undo()
    time.tzset()
    assert line == "1970-01-01 00:00:00,000 said"


@pytest.mark.parametrize("form", [JsonLines(), TextLines(TEXT)])
def test_the_time_is_put_into_words_once_a_second(form: logging.Formatter) -> None:
    kinds = (log_format._local_second, log_format._utc_second)
    before = sum(kind.cache_info().misses for kind in kinds)
    for number in range(3000):
        form.format(logging.makeLogRecord({"msg": "a line", "created": 2e9 + number / 1000}))
    assert sum(kind.cache_info().misses for kind in kinds) - before == 3


@pytest.fixture
def plain() -> Iterator[tuple[logging.Logger, io.TextIOWrapper]]:
    """A logger of its own, whose lines are text, to a stream that takes nothing that UTF-8 cannot write."""
    made, written = logging.Logger("connect.some"), io.TextIOWrapper(io.BytesIO(), "utf-8", "strict", "\n")
    handler = logging.StreamHandler(written)
    handler.setFormatter(TextLines("%(levelname)s %(name)s: %(message)s"))
    made.addHandler(handler)
    yield made, written
    made.removeHandler(handler)


def text(written: io.TextIOWrapper) -> str:
    written.seek(0)
    return written.read()


NASTY = "a\nb\r\x1b[2J\x00\x9b\u202e\u2028\ud800\ufeff é"
ESCAPED = "a\\nb\\r\\x1b[2J\\x00\\x9b\\u202e\\u2028\\ud800\\ufeff é"


def test_a_record_is_one_line_whatever_is_in_it(plain: tuple[logging.Logger, io.TextIOWrapper]) -> None:
    log, written = plain
    log.warning("it said %s", NASTY)
    log.warning(NASTY)
    assert text(written) == f"WARNING connect.some: it said {ESCAPED}\nWARNING connect.some: {ESCAPED}\n"


def test_only_a_traceback_has_lines_of_its_own_and_none_looks_like_a_record(
    plain: tuple[logging.Logger, io.TextIOWrapper],
) -> None:
    log, written = plain
    try:
        int(NASTY)
    except ValueError:
        log.exception("it failed", stack_info=True)
    first, *rest = text(written).removesuffix("\n").split("\n")
    assert first == "ERROR connect.some: it failed"
    assert rest[0] == "  Traceback (most recent call last):"
    assert all(line.startswith("  ") and line.isprintable() for line in rest)


def test_json_lines_are_json_and_can_be_printed(logger: tuple[logging.Logger, io.StringIO]) -> None:
    log, written = logger
    log.warning("it said %s", NASTY, extra={"request_id": NASTY, "delay": float("inf")})
    assert written.getvalue().removesuffix("\n").isprintable()
    (line,) = lines(written)
    assert (line["message"], line["request_id"], line["delay"]) == (f"it said {NASTY}", NASTY, "inf")


def test_what_repeats_is_summed_up(logger: tuple[logging.Logger, io.StringIO], clock: Clock) -> None:
    """Five at first; then one line that counts those that were left out, after a minute, two more, four more."""
    log, written = logger
    for attempt in range(500):
        log.warning("attempt %d failed: %s", attempt, "down", extra={"attempt": attempt, **REPEATS})
        clock.now += 1.0
    told = lines(written)
    assert [line["attempt"] for line in told] == [0, 1, 2, 3, 4, 60, 180, 420]
    assert told[3]["message"] == "attempt 3 failed: down"
    assert told[4]["message"] == "attempt 4 failed: down (further ones are left out for 56 s)"
    assert told[5]["message"] == (
        "attempt 60 failed: down (55 more like it in the last 60 s; further ones are left out for 120 s)"
    )
    assert [line.get("repeated") for line in told] == [None] * 5 + [55, 119, 239]


def test_what_goes_on_for_days_is_a_line_each_ten_minutes(
    logger: tuple[logging.Logger, io.StringIO], clock: Clock
) -> None:
    """However slowly it repeats: a worker dials twice a minute while its server is away."""
    log, written = logger
    for attempt in range(2 * 60 * 24):
        log.warning("attempt %d failed: %s", attempt, "down", extra={"attempt": attempt, **REPEATS})
        clock.now += 30.0
    told = lines(written)
    assert len(told) <= 24 * 6 + 8
    assert told[-1]["repeated"] == 19


def test_what_comes_back_after_ten_minutes_of_peace_is_news(
    logger: tuple[logging.Logger, io.StringIO], clock: Clock
) -> None:
    log, written = logger
    for _ in range(2):
        for _ in range(10):
            log.warning("attempt failed", extra=REPEATS)
        clock.now += 601.0
    told = [line.get("repeated") for line in lines(written)]
    assert told == [None] * 5 + [5] + [None] * 4


def test_another_kind_of_error_is_another_failure(logger: tuple[logging.Logger, io.StringIO]) -> None:
    """What stands in the way now may not be what did at first."""
    log, written = logger
    for error in (OSError("away"), PermissionError("no")):
        for _ in range(10):
            log.warning("attempt failed: %s", error, extra=REPEATS)
    assert [line["message"][:18] for line in lines(written)].count("attempt failed: no") == 5


def test_what_is_said_for_each_request_is_always_said(logger: tuple[logging.Logger, io.StringIO]) -> None:
    """A lost reply is no repetition of another."""
    log, written = logger
    for number in range(20):
        log.error("no reply to request %s", number, extra={"request_id": number})
    assert len(lines(written)) == 20


def test_different_failures_do_not_hide_each_other(logger: tuple[logging.Logger, io.StringIO]) -> None:
    log, written = logger
    for _ in range(10):
        log.warning("attempt failed", extra=REPEATS)
        log.warning("flush failed", extra=REPEATS)
    assert [line["message"][:12] for line in lines(written)].count("flush failed") == 5


def test_the_memory_of_repeats_keeps_the_kinds_that_came_last() -> None:
    """A text of a peer in the message itself would be another kind each time."""
    limit = RepeatLimit()
    for number in range(1000):
        limit.filter(logging.makeLogRecord({"msg": f"failed: {number}", "repeats": True}))
    assert len(limit._seen) == 256
    passed = [limit.filter(logging.makeLogRecord({"msg": "failed: 999", "repeats": True})) for _ in range(6)]
    assert passed == [True] * 4 + [False] * 2


@pytest.fixture
def untouched() -> Iterator[None]:
    """The levels of the loggers are afterwards as they were."""
    names = ("", "connect", "statemachine", *PER_REQUEST)
    before = [(logging.getLogger(name), logging.getLogger(name).level) for name in names]
    yield
    for each, level in before:
        each.setLevel(level)


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(("level", "quiet"), [("info", True), ("debug", False)])
def test_libraries_log_no_request_unless_all_is_logged(
    monkeypatch: pytest.MonkeyPatch, level: str, quiet: bool
) -> None:
    monkeypatch.setattr(logging.root, "handlers", [])  # those of pytest
    to_stderr(level, "text")
    assert {logging.getLogger(name).isEnabledFor(logging.INFO) for name in PER_REQUEST} == {not quiet}


@pytest.mark.usefixtures("untouched")
def test_libraries_that_users_have_set_up_log_as_they_want() -> None:
    logging.getLogger("httpx").setLevel("INFO")
    logging.getLogger("urllib3").addHandler(handler := logging.NullHandler())
    to_stderr("info", "text")
    logging.getLogger("urllib3").removeHandler(handler)
    assert [logging.getLogger(name).level for name in ("httpx", "urllib3")] == [logging.INFO, logging.NOTSET]


@pytest.mark.usefixtures("untouched")
def test_a_users_own_set_up_at_debug_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.root, "handlers", [])
    logging.basicConfig(level="DEBUG", handlers=[logging.NullHandler()])
    to_stderr("info", "text")
    assert logging.getLogger("httpx").isEnabledFor(logging.INFO)
