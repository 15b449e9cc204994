"""One INFO line for each execution: what it was, and what it came to."""

from typing import Final

from connect.execution.outcome import CANCELLED_OP, DONE, Outcome
from connect.log_format import REPEATS
from connect.redaction import SAFE, logger, peer_text

_CAME_TO: Final = {
    "": "nothing new",
    "AIGateway": "waits for an answer",
    "Gateway": "waits for an answer",
    "InvokeFunction": "waits for another function",
    "Sleep": "sleeps",
    "Step": "done",
    "StepPlanned": "planned",
    "StepRun": "done",
    "WaitForEvent": "waits for an event",
    "WaitForSignal": "waits for a signal",
}
"""What a step that has not failed came to, by its opcode (PROTOCOL.md §6.6)."""

WHOLE: Final = "step"
"""The router's word for the function as a whole, in place of a step's id (PROTOCOL.md §6.1)."""

log = logger("connect.executions")


def log_execution(names: tuple[str, str, str, str], step_id: str, outcome: Outcome, seconds: float) -> None:
    """Log an execution, which took *seconds*. *names* are as `Request.names` has them, *step_id* is as it was on the wire."""
    request_id, run_id, _, function = names
    step = outcome.step or (step_id if step_id != WHOLE else "")
    step, came_to = peer_text(step) if step else "", _in_words(outcome)
    extra: dict[str, object] = {
        **SAFE,
        "request_id": request_id,
        "run_id": run_id,
        "function": function,
        "outcome": came_to,
        "duration": round(seconds, 6),
    }
    if step:
        extra["step"] = step
    if outcome.attempt:
        extra["attempt"] = outcome.attempt
    elif outcome.has_failed:
        extra |= REPEATS
    if outcome.max_attempts:
        extra["max_attempts"] = outcome.max_attempts
    log.info(
        "%s%s: %s (%s%.3f s, run %s, request %s)",
        function,
        f", step {step!r}" if step else "",
        came_to,
        _attempt(outcome),
        seconds,
        run_id,
        request_id,
        extra=extra,
    )


def _in_words(outcome: Outcome) -> str:
    if outcome.has_failed:
        return "failed for good" if outcome.is_final else "failed, will be tried again"
    if outcome.op == CANCELLED_OP:
        return "cancelled"
    if outcome.status == DONE:
        return "completed"
    return _CAME_TO.get(outcome.op) or f"reported {peer_text(outcome.op)}"


def _attempt(outcome: Outcome) -> str:
    if not outcome.attempt:
        return ""
    return (
        f"attempt {outcome.attempt} of {outcome.max_attempts}, "
        if outcome.max_attempts
        else f"attempt {outcome.attempt}, "
    )
