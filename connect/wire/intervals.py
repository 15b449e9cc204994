"""Intervals: how often the gateway wants to hear from the worker."""

from dataclasses import dataclass

from connect.wire import GatewayConnectionReadyData, durations


@dataclass(frozen=True)
class Intervals:
    """What GATEWAY_CONNECTION_READY asks for, in seconds, held to sane bounds; status 0 is off (PROTOCOL.md §5)."""

    heartbeat: float = 10.0
    extend_lease: float = 30.0
    status: float = 0.0

    @classmethod
    def of(cls, data: GatewayConnectionReadyData) -> "Intervals":
        """Empty or nonsensical texts keep the defaults; a heartbeat of `1ns` does not spin."""
        return cls(
            heartbeat=durations.clamped(data.heartbeat_interval, cls.heartbeat, 0.01, 60.0),
            extend_lease=durations.clamped(data.extend_lease_interval, cls.extend_lease, 0.01, 60.0),
            status=durations.clamped(data.status_interval, 0.0, 0.01, 3600.0),
        )
