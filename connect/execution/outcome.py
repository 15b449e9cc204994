"""An outcome: what an executor returns, the result of one execution."""

import json
from dataclasses import dataclass
from typing import Final, Literal

from connect.wire import SDKResponseStatus
from connect.wire.codec import MESSAGE_LIMIT

STATUS_NAMES: Final[dict[int, Literal["DONE", "NOT_COMPLETED", "ERROR"]]] = {0: "NOT_COMPLETED", 1: "DONE", 2: "ERROR"}
"""The names of an outcome's status, by its number on the wire."""

# Looking a member up in a protobuf enum takes longer than all else that is done with it: do that once.
NOT_COMPLETED: Final = SDKResponseStatus.NOT_COMPLETED
DONE: Final = SDKResponseStatus.DONE
ERROR: Final = SDKResponseStatus.ERROR

CANCELLED_OP: Final = "Cancelled"
"""In place of an opcode: the worker cancelled the execution, or did not begin it."""
_FAILED: Final = ("StepError", "StepFailed")


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one execution: the fields of an SDKResponse that user code decides (PROTOCOL.md §6.6), and what the log says.

    `body` is JSON. `retry_after` is text: a number of seconds, or a date. The last four are for the log: the opcode and the name of
    the step that was reported, and which attempt of how many it was, from 1; "" or 0: not known.
    """

    status: SDKResponseStatus
    body: bytes
    no_retry: bool = False
    retry_after: str | None = None
    sdk_version: str = ""
    request_version: int = 0
    op: str = ""
    step: str = ""
    attempt: int = 0
    max_attempts: int = 0

    @property
    def has_failed(self) -> bool:
        """Whether the function or a step raised, or could not be run."""
        return self.op in _FAILED or (self.status == ERROR and self.op != CANCELLED_OP)

    @property
    def is_final(self) -> bool:
        """Whether the server will not try again what has failed. False also where the number of attempts is not known."""
        return self.no_retry or self.op == "StepFailed" or 0 < self.max_attempts <= self.attempt


def failure(
    name: str, message: str, *, no_retry: bool = False, retry_after: str | None = None, op: str = ""
) -> Outcome:
    """An ERROR outcome that the worker makes itself. Its body has the form that the SDK gives its own errors."""
    body = json.dumps({"name": name, "message": message}).encode()
    return Outcome(ERROR, body, no_retry=no_retry, retry_after=retry_after, op=op)


def too_large(size: int) -> Outcome:
    """The ERROR that is sent instead of a reply of *size* bytes. Not retriable: a retry would give the same result."""
    cure = "return less, or store the result and return a reference to it"
    text = f"the reply has {size} bytes, and Inngest takes at most {MESSAGE_LIMIT}: {cure}"
    return failure("ReplyTooLarge", text, no_retry=True)
