"""The events of a worker, one frozen class each: for `conn.on(kind, callback)` and `async for event in conn.events()`.

`at` is Unix time in seconds; durations and delays are seconds.
"""

import time
from dataclasses import dataclass, field
from typing import Literal, TypeVar, dataclass_transform

from connect.state import ConnectionState

_Kind = TypeVar("_Kind")


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
def _frozen(kind: type[_Kind]) -> type[_Kind]:
    """Make *kind* a frozen dataclass. `Event` compares and shows them all: methods of its own would double the time each takes."""
    return dataclass(frozen=True, kw_only=True, eq=False, repr=False)(kind)


@_frozen
class Event:
    """The base of all events: `conn.on(Event, callback)` is called with every one."""

    at: float = field(default_factory=time.time)

    def __eq__(self, other: object) -> bool:
        return vars(self) == vars(other) if type(self) is type(other) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(vars(self).values()))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in vars(self).items())})"


@_frozen
class StateChanged(Event):
    """The worker's state changed. `event` is the event of the connection chart that caused it; the first `from_state` is None."""

    from_state: ConnectionState | None
    to_state: ConnectionState
    event: str
    connection_id: str | None


@_frozen
class Moved(Event):
    """A chart took a transition. `source` and `target` are names of states, outermost first; `event` is "" if no event caused it.

    `connection_id` is that of the link, or for the connection chart of the link in use or last in use.
    """

    chart: Literal["connection", "link"]
    connection_id: str | None
    event: str
    source: tuple[str, ...]
    target: tuple[str, ...]


@_frozen
class LinkOpened(Event):
    """A WebSocket is open; the handshake follows."""

    connection_id: str


@_frozen
class Connected(Event):
    """A link is ready and has been taken into use."""

    connection_id: str
    gateway_group: str


@_frozen
class Disconnected(Event):
    """A link that had been in use ended. `code` and `reason` are those of the close frame; without one, 1006 and what happened."""

    connection_id: str
    code: int
    reason: str


@_frozen
class Draining(Event):
    """Draining begins. `by` "gateway": the gateway drains, and the worker makes another link. "worker": the worker shuts down."""

    by: Literal["gateway", "worker"]
    connection_id: str | None


@_frozen
class Reconnecting(Event):
    """Attempt *attempt* to connect, counted from 1, failed with *error*; the next one comes after *delay* seconds."""

    attempt: int
    delay: float
    error: Exception


@_frozen
class HeartbeatAnswered(Event):
    """The gateway answered a heartbeat, *round_trip* seconds after it was sent."""

    connection_id: str
    round_trip: float


@_frozen
class RequestReceived(Event):
    """An execution was accepted. Not emitted again for a redelivery that is answered with the remembered reply."""

    request_id: str
    run_id: str
    app_name: str
    function_slug: str


@_frozen
class RequestCompleted(Event):
    """A function ended, or one of its steps, *duration* seconds after the request was accepted. `status` is the reply's."""

    request_id: str
    run_id: str
    function_slug: str
    status: Literal["DONE", "NOT_COMPLETED", "ERROR"]
    duration: float


@_frozen
class LoopBlocked(Event):
    """The event loop that runs functions has run nothing for *seconds*, longer than `stall_warning`; it may go on.

    *function_slug*, *request_id* and *run_id* name the execution whose code blocks it, or whose task does; all are "" if that code
    belongs to none. *stack* shows where it is, as lines of a traceback.
    """

    function_slug: str
    request_id: str
    run_id: str
    seconds: float
    stack: str


@_frozen
class LeaseExtended(Event):
    """The server extended the lease of an execution.

    *late*: seconds between the time at which the extension was due, one interval after the last one or after acceptance, and the
    time at which it was asked for. Negative: it was asked for early.
    """

    request_id: str
    late: float


@_frozen
class LeaseLost(Event):
    """The server took the execution away: it has no lease any more. *cancelled*: whether its function is cancelled."""

    request_id: str
    run_id: str
    function_slug: str
    cancelled: bool


@_frozen
class ReplyBuffered(Event):
    """No link confirmed the reply in time, or there is none that takes it. It will be flushed over HTTP."""

    request_id: str


@_frozen
class ReplyFlushed(Event):
    """A buffered reply was delivered over HTTP."""

    request_id: str


@_frozen
class FlushFailed(Event):
    """A buffered reply could not be delivered over HTTP. It will be tried again."""

    request_id: str


@_frozen
class ReplyLost(Event):
    """A reply will never be delivered; *reason* says why."""

    request_id: str
    reason: str


@_frozen
class Closed(Event):
    """The worker has ended. *error* is the exception that `start()` raises, or None. No event follows."""

    error: Exception | None
