"""A worker at one moment, as plain frozen data: for probes, pages and people. It holds no secret."""

import enum
from dataclasses import dataclass


class ConnectionState(enum.Enum):
    """What `get_state()` answers: the top level of the connection chart.

    CLOSING and PAUSED are for programs written for the official client: `wait_for_state(CLOSING)` waits until a shutdown has
    begun; `get_state()` answers neither.
    """

    CONNECTING = "CONNECTING"
    ACTIVE = "ACTIVE"
    DRAINING = "DRAINING"
    RECONNECTING = "RECONNECTING"
    CLOSED = "CLOSED"

    CLOSING = "CLOSING"
    PAUSED = "PAUSED"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class InFlight:
    """A request that is accepted and not yet delivered. `state` is the request chart's; `age` is in seconds since acceptance."""

    request_id: str
    run_id: str
    app_name: str
    function_slug: str
    state: str
    age: float
    lease_left: float | None = None
    """Seconds until its lease ends unless it is extended, by this machine's clock; None: there is none, or its id tells no time."""


@dataclass(frozen=True)
class LinkStatus:
    """A link that is not gone yet. `states` are the link chart's active ones, outermost first; `is_current`: work comes over it."""

    connection_id: str
    gateway_group: str
    states: tuple[str, ...]
    is_current: bool


@dataclass(frozen=True)
class Transition:
    """A change of state; `at` is Unix time in seconds."""

    at: float
    from_state: ConnectionState | None
    to_state: ConnectionState
    event: str


@dataclass(frozen=True)
class ProcessStatus:
    """A process of `isolation="process"`. `number` is its place, from 1; `restarts`: how many were in that place before it.

    `in_flight` and `served` count executions.
    """

    number: int
    pid: int
    in_flight: int
    served: int
    restarts: int


@dataclass(frozen=True)
class Status:
    """What `conn.status()` answers. Times named `…_ago` are seconds since then, None for never."""

    state: ConnectionState
    substates: tuple[str, ...] = ()
    is_ready: bool = False
    is_closing: bool = False
    active_connection_id: str | None = None
    draining_connection_id: str | None = None
    heartbeat_sent_ago: float | None = None
    heartbeat_received_ago: float | None = None
    frame_received_ago: float | None = None
    links: tuple[LinkStatus, ...] = ()
    """The current one and those that are being made or let go, the oldest first."""
    in_flight: tuple[InFlight, ...] = ()
    requests_received: int = 0
    outbox_replies: int = 0
    outbox_bytes: int = 0
    attempts: int = 0
    """Attempts of the dial loop that runs, or ran last."""
    next_retry_in: float | None = None
    """Seconds until the next attempt; None unless one is waited for."""
    last_error: str | None = None
    """Why the last attempt failed; None once a link is ready."""
    excluded_gateways: tuple[str, ...] = ()
    unexpected_events: int = 0
    """Events that a chart did not expect: each is a bug of this package, and an ERROR line in the log."""
    history: tuple[Transition, ...] = ()
    """The last fifty changes of state, oldest first."""
    processes: tuple[ProcessStatus, ...] = ()
    """Those of `isolation="process"`: starting, at work and leaving."""
