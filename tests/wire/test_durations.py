"""Go's durations, as the gateway writes them."""

import math
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connect import wire
from connect.wire import durations
from connect.wire.intervals import Intervals


def go(nanoseconds: int) -> str:
    """What Go's `Duration.String()` writes for a duration that is not negative (PROTOCOL.md §5)."""
    if nanoseconds < 1_000_000_000:
        for unit, size in (("ns", 1), ("µs", 1_000), ("ms", 1_000_000)):
            if nanoseconds < size * 1000:
                return f"{decimal(nanoseconds, size)}{unit}" if nanoseconds else "0s"
    minutes, rest = divmod(nanoseconds, 60_000_000_000)
    hours, minutes = divmod(minutes, 60)
    parts = [f"{hours}h"] if hours else []
    parts += [f"{minutes}m"] if hours or minutes else []
    return "".join([*parts, f"{decimal(rest, 1_000_000_000)}s"])


def decimal(number: int, size: int) -> str:
    whole, rest = divmod(number, size)
    return f"{whole}.{rest:0{len(str(size)) - 1}d}".rstrip("0").rstrip(".") if rest else str(whole)


@settings(deadline=None)
@given(st.integers(0, 2**63 - 1))
def test_whatever_go_writes_is_read(nanoseconds: int) -> None:
    assert durations.parse(go(nanoseconds)) == pytest.approx(nanoseconds / 1e9, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0s", 0),
        ("0", 0),
        ("10s", 10),
        ("1.5s", 1.5),
        ("200ms", 0.2),
        ("1.5ms", 0.0015),
        ("100µs", 1e-4),
        ("100μs", 1e-4),
        ("100us", 1e-4),
        ("1ns", 1e-9),
        ("1m30s", 90),
        ("2m0s", 120),
        ("1h0m0s", 3600),
        ("2h5m0.5s", 7500.5),
        (".5s", 0.5),
        ("5.s", 5),
        ("+3s", 3),
    ],
)
def test_what_it_means(text: str, seconds: float) -> None:
    assert durations.parse(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", " ", "10", "s", "ms", "10 s", "1m 30s", "-3s", "1e3s", "10S", "ten", "1.2.3s", "."]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        durations.parse(text)


@settings(deadline=None)
@given(st.text())
def test_no_text_does_any_harm(text: str) -> None:
    assert 0.01 <= durations.clamped(text, 10.0, 0.01, 60.0) <= 60.0


@pytest.mark.parametrize("text", ["9" * 200_000, "9" * 200_000 + "h", "1h" * 100_000 + "!"])
def test_a_text_of_any_length_is_read_in_no_time(text: str) -> None:
    begun = time.monotonic()
    assert durations.clamped(text, 10.0, 0.01, 60.0) in (10.0, 60.0)
    assert time.monotonic() - begun < 2


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
