"""The test gateway reads a worker's reply: the opcodes, the error or the result in it (PROTOCOL.md §6.6)."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from connect.wire import SDKResponse, SDKResponseStatus

RETRY_BACKOFF = 30.0
"""Seconds between attempts, before `Settings.shortened`."""


@dataclass(frozen=True, slots=True)
class Op:
    """One opcode. `id` is the hashed step id; `name` is the step's name in the user's code, `name:1` when it is used again."""

    op: str
    id: str = ""
    name: str = ""
    data: Any = None
    error: Any = None
    opts: Any = None
    label: str = ""
    """The opcode's own `name`: how long to sleep, or which event to wait for."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed execution: the error object, whether to try again, and after how many seconds."""

    error: dict[str, Any]
    retriable: bool = True
    delay: float = RETRY_BACKOFF


@dataclass(frozen=True, slots=True)
class Progress:
    """An execution that reported opcodes. If `retriable`, a StepError is tried again after `delay` seconds."""

    ops: list[Op]
    retriable: bool = True
    delay: float = RETRY_BACKOFF


def read(reply: SDKResponse) -> Failure | Progress:
    """Read *reply*. A function's result reads as the opcode RunComplete."""
    body = _json(reply.body)
    delay = retry_seconds(reply.retry_after) if reply.HasField("retry_after") else RETRY_BACKOFF
    if reply.status == SDKResponseStatus.NOT_COMPLETED:
        if not reply.body:
            return Failure(_error("an empty body of opcodes"))
        ops = [_op(raw) for raw in (body if isinstance(body, list) else [body])]
        return Progress(ops, retriable=not reply.no_retry, delay=delay)
    if reply.status == SDKResponseStatus.DONE and not reply.no_retry and not reply.HasField("retry_after"):
        return Progress([Op("RunComplete", data=body)])
    if reply.status == SDKResponseStatus.DONE and reply.no_retry:
        body = _error("a success that asks not to be retried", "NonRetriableError")
    return Failure(body if isinstance(body, dict) else _error(str(body)), not reply.no_retry, delay)


def retry_seconds(text: str) -> float:
    """Seconds to wait for the retry_after *text*: a whole number of seconds or a date; from 1 s to 24 h, as on the server."""
    return min(max(_asked_seconds(text), 1.0), 86_400.0)


def _asked_seconds(text: str) -> float:
    if len(text) <= 7 and text.isdigit():
        return float(text)
    for parse in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            return until(parse(text))
        except ValueError:
            continue
    return RETRY_BACKOFF


def until(moment: datetime) -> float:
    """Seconds from now to *moment*; 0 if it has passed."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (aware - datetime.now(UTC)).total_seconds())


def _op(raw: Any) -> Op:
    if not isinstance(raw, dict):
        return Op("None")
    userland = raw.get("userland") or {}
    name = userland.get("id") or raw.get("displayName") or raw.get("name") or ""
    index = userland.get("index")
    return Op(
        op=raw.get("op", "None"),
        id=raw.get("id", ""),
        name=f"{name}:{index}" if index else name,
        data=raw.get("data"),
        error=raw.get("error"),
        opts=raw.get("opts") or {},
        label=raw.get("name") or "",
    )


def _json(body: bytes) -> Any:
    try:
        return json.loads(body) if body else None
    except (ValueError, RecursionError):
        return body.decode(errors="replace")


def _error(message: str, name: str = "Error") -> dict[str, Any]:
    return {"name": name, "message": message}
