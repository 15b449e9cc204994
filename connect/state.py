"""The states that a worker shows."""

import enum


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
