"""Failures of user code, in the log: each once, with the exception itself, so that error trackers see it.

A failure that will be tried again is a WARNING, one that is final an ERROR. The error that a step has failed with for good comes
back as the function's: that is a WARNING too, for it was an ERROR before.
"""

from __future__ import annotations  # some annotations name what an unsupported release of the SDK lacks

import functools
import inspect
import itertools
import json
import logging
from typing import TYPE_CHECKING, Any, Final, cast

import inngest

from connect.execution import sdk_internals
from connect.execution.function_guard import Attempt, current_attempt
from connect.log_format import REPEATS, about_request
from connect.redaction import logger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connect.execution.invocation import Invocation
    from connect.execution.outcome import Outcome

UNSERIALISABLE: Final = "OutputUnserializableError"
"""The SDK's name for output that JSON does not know."""

log = logger("connect.functions")


def log_response(
    invocation: Invocation, attempt: Attempt, response: sdk_internals.CommResponse, outcome: Outcome
) -> None:
    """Log each error in *response*. Those without "stack" are what the SDK itself refuses."""
    for step, error, exception in _errors(attempt.result, response):
        name = str(error.get("name") or "an error")
        if name == UNSERIALISABLE:
            exception = _why_unserialisable(attempt.result) or exception
        log_failure(invocation, outcome, name, error.get("message"), exception, step=step)


def log_failure(
    invocation: Invocation,
    outcome: Outcome,
    name: str,
    message: object,
    exception: BaseException | None = None,
    *,
    step: str = "",
    repeats: bool = False,
) -> None:
    """Log one failure: *name* and *message* as the server gets them. An exception that is `quiet` is logged at DEBUG."""
    log.log(
        _level(outcome, exception),
        "%s%s failed (app %s, run %s, request %s): %s: %s",
        invocation.function_slug,
        f", step {step!r}," if step else "",
        invocation.app_name,
        invocation.run_id,
        invocation.request_id,
        name,
        message,
        exc_info=exception,
        extra=_fields(invocation, outcome, step) | (REPEATS if repeats else {}),
    )


def log_broken(invocation: Invocation, outcome: Outcome, error: BaseException) -> None:
    """Log what neither the SDK nor the guard of a function catches."""
    log.error(
        "%s: request %s could not be run (app %s, run %s): %s",
        invocation.function_slug,
        invocation.request_id,
        invocation.app_name,
        invocation.run_id,
        type(error).__name__,
        exc_info=error,
        extra=_fields(invocation, outcome),
    )


def _level(outcome: Outcome, exception: BaseException | None) -> int:
    if getattr(exception, "quiet", False) is True:
        return logging.DEBUG
    return logging.ERROR if outcome.is_final and not isinstance(exception, inngest.StepError) else logging.WARNING


def _fields(invocation: Invocation, outcome: Outcome, step: str = "") -> dict[str, object]:
    known = {"step": step, "attempt": outcome.attempt, "max_attempts": outcome.max_attempts}
    about = about_request(invocation.request_id, invocation.run_id, invocation.function_slug)
    return {**about, **{name: value for name, value in known.items() if value}}


def _errors(
    result: sdk_internals.CallResult | None, response: sdk_internals.CommResponse
) -> Iterator[tuple[str, dict[str, Any], BaseException | None]]:
    """Each error in *response*: the name of its step, the error as the server gets it, and the exception if it is known."""
    body = cast(Any, response.body)
    if response.status_code == 206:
        results = (result.multi if result else None) or []
        for op, each in itertools.zip_longest(body, results[: len(body)]):
            if op.get("error"):
                yield str(op.get("displayName") or ""), op["error"], each.error if each else None
    else:
        yield "", body if isinstance(body, dict) else {}, result.error if result else None


def _why_unserialisable(result: sdk_internals.CallResult | None) -> Exception | None:
    """What the SDK met when it made JSON of an output; it keeps the fact only."""
    for each in (result.multi or [result]) if result else []:
        try:
            json.dumps(each.output)
        except Exception as error:
            return error.with_traceback(None)  # it leads through json and this module, and to `error`
    return None


class _NotTwice(logging.Filter):
    """Drops what the SDK logs of an error in an execution: `log_response` logs it, with function and run."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.pathname != _responses_file() or current_attempt.get(None) is None


@functools.cache
def _responses_file() -> str:
    return inspect.getfile(sdk_internals.CommResponse)


_NOT_TWICE: Final = _NotTwice()


def log_instead_of(logger: object) -> None:
    """Have the SDK not log to *logger*, a client's, what this module logs. A logger of another library is left as it is."""
    target = getattr(logger, "logger", logger)  # of a LoggerAdapter
    if isinstance(target, logging.Logger):
        target.addFilter(_NOT_TWICE)
