"""The line for an execution says in plain words what it came to."""

import logging
from typing import Any

import pytest

from connect.delivery.replies import BROKEN, CANCELLED
from connect.execution import Outcome, report
from connect.execution.outcome import failure
from connect.secrets import Secret
from connect.wire import SDKResponseStatus as Status

NAMES = ("request", "run", "app", "app-f")


def step(op: str, **more: Any) -> Outcome:
    return Outcome(Status.NOT_COMPLETED, b"[]", op=op, step="one", attempt=1, max_attempts=3, **more)


@pytest.mark.parametrize(
    ("outcome", "line"),
    [
        (Outcome(Status.DONE, b"1"), "app-f: completed (1.500 s, run run, request request)"),
        (Outcome(Status.DONE, b"1", attempt=2), "app-f: completed (attempt 2, 1.500 s"),
        (Outcome(Status.DONE, b"1", attempt=2, max_attempts=3), "app-f: completed (attempt 2 of 3, 1.500 s"),
        (Outcome(Status.ERROR, b"1", attempt=2, max_attempts=3), "app-f: failed, will be tried again (attempt 2 of 3"),
        (Outcome(Status.ERROR, b"1", attempt=3, max_attempts=3), "app-f: failed for good (attempt 3 of 3"),
        (Outcome(Status.ERROR, b"1", no_retry=True), "app-f: failed for good ("),
        (Outcome(Status.NOT_COMPLETED, b"[]"), "app-f: nothing new ("),
        (step("StepRun"), "app-f, step 'one': done (attempt 1 of 3"),
        (step("StepPlanned"), "app-f, step 'one': planned ("),
        (step("StepError"), "app-f, step 'one': failed, will be tried again ("),
        (step("StepError", no_retry=True), "app-f, step 'one': failed for good ("),
        (step("StepFailed"), "app-f, step 'one': failed for good ("),
        (step("Sleep"), "app-f, step 'one': sleeps ("),
        (step("WaitForEvent"), "app-f, step 'one': waits for an event ("),
        (step("InvokeFunction"), "app-f, step 'one': waits for another function ("),
        (step("Tomorrow"), "app-f, step 'one': reported Tomorrow ("),
        (CANCELLED, "app-f: cancelled ("),
        (BROKEN, "app-f: failed, will be tried again ("),
        (failure("ProcessDied", "it died"), "app-f: failed, will be tried again ("),
    ],
)
def test_what_it_came_to(caplog: pytest.LogCaptureFixture, outcome: Outcome, line: str) -> None:
    caplog.set_level("INFO")
    report.log_execution(NAMES, "step", outcome, 1.5)
    assert caplog.messages[0].startswith(line)


def test_a_step_that_was_asked_for_is_named_by_its_id_where_its_name_is_not_known(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    report.log_execution(NAMES, "356a192b", failure("Odd", ""), 1.5)
    assert caplog.messages[0].startswith("app-f, step '356a192b': failed")


def test_failures_without_an_attempt_are_summed_up(caplog: pytest.LogCaptureFixture) -> None:
    """A peer can ask for unknown functions without end."""
    caplog.set_level("INFO")
    for outcome in (failure("FunctionNotFound", ""), Outcome(Status.ERROR, b"", attempt=1), Outcome(Status.DONE, b"")):
        report.log_execution(NAMES, "", outcome, 0.1)
    assert [getattr(record, "repeats", False) for record in caplog.records] == [True, False, False]
    assert all(record.levelno == logging.INFO for record in caplog.records)


def test_nothing_of_a_peer_is_shown_as_it_came(caplog: pytest.LogCaptureFixture) -> None:
    """The names are safe already; the step and the opcode are made so."""
    caplog.set_level("INFO")
    secret = Secret("signkey-test-" + "ab12" * 8)
    outcome = Outcome(Status.NOT_COMPLETED, b"[]", op=secret.reveal(), step=f"{secret.reveal()}\x1b[2J")
    report.log_execution(NAMES, "step", outcome, 0.1)
    [record] = caplog.records
    assert secret.reveal() not in f"{record.getMessage()} {vars(record)}"
    assert record.getMessage().isprintable()
