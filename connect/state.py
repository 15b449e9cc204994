"""The state of a worker, and a change of it."""

import enum
from dataclasses import dataclass


class ConnectionState(enum.Enum):
    """The state of a worker: the outermost state of the connection chart.

    `get_state()` never returns CLOSING or PAUSED. They are here for programs that were written for the official client:
    `wait_for_state(CLOSING)` waits until a shutdown has begun.
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
class Transition:
    """A change of state; `at` is Unix time in seconds."""

    at: float
    from_state: ConnectionState | None
    to_state: ConnectionState
    event: str
