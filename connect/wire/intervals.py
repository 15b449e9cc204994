"""The intervals at which a gateway asks for heartbeats, lease extensions and status messages."""

from dataclasses import dataclass

from connect.wire import GatewayConnectionReadyData, durations


@dataclass(frozen=True)
class Intervals:
    """The intervals of GATEWAY_CONNECTION_READY, in seconds, clamped to sane bounds; `status` 0: send none (PROTOCOL.md §5)."""

    heartbeat: float = 10.0
    extend_lease: float = 30.0
    status: float = 0.0

    @classmethod
    def of(cls, data: GatewayConnectionReadyData) -> "Intervals":
        """Read *data*. A text that is empty or no duration gives the default. At least 10 ms: `1ns` must cause no busy loop."""
        return cls(
            heartbeat=durations.clamped(data.heartbeat_interval, cls.heartbeat, 0.01, 60.0),
            extend_lease=durations.clamped(data.extend_lease_interval, cls.extend_lease, 0.01, 60.0),
            status=durations.clamped(data.status_interval, 0.0, 0.01, 3600.0),
        )
