"""What happens to a worker, one frozen class per happening: for `conn.on(kind, callback)` and `async for event in conn.events()`.

`at` is Unix time in seconds; durations and delays are seconds.
"""

import time
from dataclasses import dataclass, field
from typing import Literal

from connect.status import ConnectionState


@dataclass(frozen=True, kw_only=True)
class Event:
    """The base of all of them: `on(Event, …)` hears everything."""

    at: float = field(default_factory=time.time)


@dataclass(frozen=True, kw_only=True)
class StateChanged(Event):
    """The worker's state changed; the very first one comes from None. `event` is the chart's."""

    from_state: ConnectionState | None
    to_state: ConnectionState
    event: str
    connection_id: str | None


@dataclass(frozen=True, kw_only=True)
class Moved(Event):
    """A chart took a transition, however small: states by name, outermost first; `event` is "" for one that no event asked for."""

    chart: Literal["connection", "link"]
    connection_id: str | None
    event: str
    source: tuple[str, ...]
    target: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class LinkOpened(Event):
    """A WebSocket is open; the handshake follows."""

    connection_id: str


@dataclass(frozen=True, kw_only=True)
class Connected(Event):
    """A link has been taken into use."""

    connection_id: str
    gateway_group: str


@dataclass(frozen=True, kw_only=True)
class Disconnected(Event):
    """A link that had been in use ended. 1006: without a close frame."""

    connection_id: str
    code: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class Draining(Event):
    """A replacement link is being made (gateway), or the worker shuts down (worker)."""

    by: Literal["gateway", "worker"]
    connection_id: str | None


@dataclass(frozen=True, kw_only=True)
class Reconnecting(Event):
    """Attempt number *attempt* failed; the next one comes after *delay* seconds."""

    attempt: int
    delay: float
    error: Exception


@dataclass(frozen=True, kw_only=True)
class HeartbeatAnswered(Event):
    """The gateway answered a heartbeat, *round_trip* seconds after it was sent."""

    connection_id: str
    round_trip: float


@dataclass(frozen=True, kw_only=True)
class RequestReceived(Event):
    """An execution was accepted. One that comes again once it is answered, and is answered from memory, is not told again."""

    request_id: str
    run_id: str
    app_name: str
    function_slug: str


@dataclass(frozen=True, kw_only=True)
class RequestCompleted(Event):
    """User code came to an outcome, *duration* seconds after the request was accepted."""

    request_id: str
    run_id: str
    function_slug: str
    status: Literal["DONE", "NOT_COMPLETED", "ERROR"]
    duration: float


@dataclass(frozen=True, kw_only=True)
class LeaseExtended(Event):
    """The server holds this execution for us for longer. It was asked *late* seconds after an interval had gone by since the last
    time, or since acceptance; negative: before."""

    request_id: str
    late: float


@dataclass(frozen=True, kw_only=True)
class LeaseLost(Event):
    """The server no longer holds this execution for us."""

    request_id: str
    run_id: str
    function_slug: str
    cancelled: bool


@dataclass(frozen=True, kw_only=True)
class ReplyBuffered(Event):
    """A reply could not be confirmed over a link; it will be flushed."""

    request_id: str


@dataclass(frozen=True, kw_only=True)
class ReplyFlushed(Event):
    """A buffered reply was delivered over HTTP."""

    request_id: str


@dataclass(frozen=True, kw_only=True)
class FlushFailed(Event):
    """A buffered reply could not be delivered over HTTP; it will be tried again."""

    request_id: str


@dataclass(frozen=True, kw_only=True)
class ReplyLost(Event):
    """A reply will never be delivered, for *reason*."""

    request_id: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Closed(Event):
    """The worker has ended. *error* is what `start()` raises, if anything. No event follows."""

    error: Exception | None
