"""A run in the test gateway: its function, its event, its steps and its output."""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from connect.wire import ulid

DEFAULT_RETRIES: Final = 3

RunStatus: TypeAlias = Literal["running", "completed", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class Function:
    """A synced function. `attempts`: how often it, and each of its steps, is tried, the first time included."""

    slug: str
    app_name: str
    attempts: int
    events: tuple[str, ...]
    """The events that trigger it; triggers with a condition are left out."""


@dataclass(frozen=True, slots=True)
class Step:
    """A finished step: its name in the user's code, its opcode, and its result or its error."""

    name: str
    op: str
    data: Any = None
    error: Any = None


@dataclass(eq=False)
class Run:
    """One run of a function.

    `output` is the function's result; `error` the error object, if the run failed; `steps` are the finished steps, by name.
    `attempts` is the number of tries of the execution that was tried most; `requests` are the request ids of all executions.
    `on_failure` is the run of the function's failure handler, if it has one and the run failed.
    """

    id: str
    slug: str
    event: dict[str, Any]
    status: RunStatus = "running"
    output: Any = None
    error: Any = None
    steps: dict[str, Step] = field(default_factory=dict)
    attempts: int = 0
    requests: list[str] = field(default_factory=list)
    on_failure: "Run | None" = None
    waiting_for: str = ""
    """The event that the run waits for; "" if it waits for none."""
    memos: dict[str, Any] = field(default_factory=dict, repr=False)
    """The memoized results, by hashed step id, in the order in which the steps finished."""
    version: int = field(default=-1, repr=False)
    planning: bool = field(default=False, repr=False)
    """Whether the run has had parallel steps: from then on the worker reports a new step as StepPlanned before it runs it."""
    task: asyncio.Task[None] | None = field(default=None, repr=False)

    size: int = field(default=0, repr=False)
    """Bytes of its event, steps and output, as far as requests and replies showed them."""

    def note_size(self, size: int) -> int:
        """Its data have *size* bytes or more; returns by how much that is more than was known. For the gateway itself."""
        more = max(0, size - self.size)
        self.size += more
        return more

    async def done(self) -> "Run":
        """Wait until the run and its failure handler have ended. Cancelling the wait does not cancel the run."""
        if self.task is not None:
            await asyncio.wait({self.task})
            if not self.task.cancelled():
                self.task.result()  # raises only where the gateway itself has a bug
        return self


def new_event(name: str, data: Any) -> dict[str, Any]:
    """An event as a function receives it."""
    return {"name": name, "data": {} if data is None else data, "id": ulid.new(), "ts": int(time.time() * 1000)}


def synced_function(app_name: str, config: dict[str, Any]) -> Function:
    """The function that a synced configuration (PROTOCOL.md §4.6) describes."""
    retries = DEFAULT_RETRIES
    for step in (config.get("steps") or {}).values():
        retries = ((step or {}).get("retries") or {}).get("attempts", DEFAULT_RETRIES)
    triggers = config.get("triggers") or []
    events = tuple(trigger["event"] for trigger in triggers if trigger.get("event") and not trigger.get("expression"))
    return Function(config["id"], app_name, retries + 1, events)
