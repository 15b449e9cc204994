"""An outcome: what an executor returns, the result of one execution."""

import json
from dataclasses import dataclass
from typing import Final, Literal

from connect.wire import SDKResponseStatus
from connect.wire.codec import MESSAGE_LIMIT

STATUS_NAMES: Final[dict[int, Literal["DONE", "NOT_COMPLETED", "ERROR"]]] = {0: "NOT_COMPLETED", 1: "DONE", 2: "ERROR"}
"""The names of an outcome's status, by its number on the wire."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one execution: the fields of an SDKResponse that user code decides (PROTOCOL.md §6.6).

    `body` is JSON. `retry_after` is text: a number of seconds, or a date.
    """

    status: SDKResponseStatus
    body: bytes
    no_retry: bool = False
    retry_after: str | None = None
    sdk_version: str = ""
    request_version: int = 0


def failure(name: str, message: str, *, no_retry: bool = False, retry_after: str | None = None) -> Outcome:
    """An ERROR outcome that the worker makes itself. Its body has the form that the SDK gives its own errors."""
    body = json.dumps({"name": name, "message": message}).encode()
    return Outcome(SDKResponseStatus.ERROR, body, no_retry=no_retry, retry_after=retry_after)


def too_large(size: int) -> Outcome:
    """The ERROR that is sent instead of a reply of *size* bytes. Not retriable: a retry would give the same result."""
    cure = "return less, or store the result and return a reference to it"
    text = f"the reply has {size} bytes, and Inngest takes at most {MESSAGE_LIMIT}: {cure}"
    return failure("ReplyTooLarge", text, no_retry=True)
