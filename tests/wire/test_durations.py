"""Durations are read as Go writes them, and as step options do; any other text is refused, or gives way to a default."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connect.wire import durations


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
    ("text", "seconds"),
    [
        ("", 10.0),
        ("nonsense", 10.0),
        ("0s", 10.0),
        ("-1s", 10.0),
        ("1ns", 0.5),
        ("0.5s", 0.5),
        ("7s", 7.0),
        ("1m", 60.0),
        ("1h", 60.0),
    ],
)
def test_a_duration_is_held_between_its_bounds(text: str, seconds: float) -> None:
    assert durations.clamped(text, 10.0, 0.5, 60.0) == seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10s", 10.0),
        ("1m30s", 90.0),
        ("7d", 604_800.0),
        ("1w", 604_800.0),
        ("1w2d3h", 788_400.0),
        ("", 5.0),
        ("soon", 5.0),
        ("-7d", 5.0),
        ("7D", 5.0),
    ],
)
def test_step_options_have_days_and_weeks_too(text: str, seconds: float) -> None:
    assert durations.step_seconds(text, default=5.0) == seconds


def test_gos_durations_have_neither() -> None:
    for text in ("7d", "1w"):
        with pytest.raises(ValueError, match="duration"):
            durations.parse(text)
