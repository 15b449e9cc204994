"""Durations as text: in Go's notation, as the gateway writes its intervals (PROTOCOL.md §5), and as step options have them."""

import re
from collections.abc import Mapping
from typing import Final

_GO_UNITS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


class _Notation:
    """A notation for durations: numbers, each with one of *units* behind it; *units* maps a unit to seconds."""

    def __init__(self, units: Mapping[str, float]) -> None:
        self._units = units
        part = rf"(\d+(?:\.\d*)?|\.\d+)({'|'.join(sorted(units, key=len, reverse=True))})"
        self._part = re.compile(part)
        self._whole = re.compile(f"(?:{part})+")

    def seconds(self, text: str) -> float:
        """`1m30s` → 90.0. Raises: ValueError: *text* is not in this notation, or has a sign."""
        # Match the whole first: searching for parts takes quadratic time in a long text that has none.
        if not self._whole.fullmatch(text):
            raise ValueError(f"not a duration: {text!r}; expected something like 10s, 1m30s or 200ms")
        return sum(float(number) * self._units[unit] for number, unit in self._part.findall(text))


_GO: Final = _Notation(_GO_UNITS)
_STEP: Final = _Notation(_GO_UNITS | {"d": 86_400.0, "w": 604_800.0})


def parse(text: str) -> float:
    """`1m30s`, `1.5s`, `200ms`, `100µs`, `0` → seconds. Raises: ValueError: not a Go duration, or a negative one."""
    if text in ("0", "+0", "-0"):
        return 0.0
    seconds = _GO.seconds(text[1:] if text.startswith(("+", "-")) else text)
    if text.startswith("-") and seconds:
        raise ValueError(f"a negative duration: {text!r}")
    return seconds


def clamped(text: str, default: float, low: float, high: float) -> float:
    """Seconds for *text*, at least *low* and at most *high*; *default* if *text* is empty, zero or no duration."""
    try:
        seconds = parse(text)
    except ValueError:
        return default
    return min(max(seconds, low), high) if seconds else default


def step_seconds(text: str, default: float) -> float:
    """Seconds for *text* as step options write it: Go's notation, plus days and weeks (`7d`, `1w`); else *default*."""
    try:
        return _STEP.seconds(text)
    except ValueError:
        return default
