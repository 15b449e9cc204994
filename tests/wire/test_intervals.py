"""The gateway's intervals are seconds within sane bounds, whatever text it sends."""

import math

import pytest

from connect import wire
from connect.wire.intervals import Intervals


@pytest.mark.parametrize(
    ("text", "heartbeat", "extend_lease", "status"),
    [
        ("", 10, 30, 0),
        ("nonsense", 10, 30, 0),
        ("0s", 10, 30, 0),
        ("-1s", 10, 30, 0),
        ("1ns", 0.01, 0.01, 0.01),
        ("1m30s", 60, 60, 90),
        ("2562047h47m16.854775807s", 60, 60, 3600),
        ("200ms", 0.2, 0.2, 0.2),
    ],
)
def test_intervals_are_held_to_sane_bounds(text: str, heartbeat: float, extend_lease: float, status: float) -> None:
    data = wire.GatewayConnectionReadyData(heartbeat_interval=text, extend_lease_interval=text, status_interval=text)
    assert Intervals.of(data) == Intervals(heartbeat, extend_lease, status)
    assert all(map(math.isfinite, (heartbeat, extend_lease, status)))


def test_each_interval_is_read_by_itself() -> None:
    data = wire.GatewayConnectionReadyData(
        heartbeat_interval="5s", extend_lease_interval="nonsense", status_interval="2m"
    )
    assert Intervals.of(data) == Intervals(heartbeat=5.0, extend_lease=30.0, status=120.0)


def test_a_gateway_that_says_nothing_gets_the_protocols_intervals() -> None:
    assert Intervals.of(wire.GatewayConnectionReadyData()) == Intervals(10.0, 30.0, 0.0)
