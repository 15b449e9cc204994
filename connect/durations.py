"""Go's durations: how the gateway writes its intervals (PROTOCOL.md §5)."""

import re
from typing import Final

_UNITS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART: Final = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_WHOLE: Final = re.compile(rf"[+-]?(?:{_PART.pattern})+")


def parse(text: str) -> float:
    """`1m30s`, `1.5s`, `200ms`, `100µs`, `0` → seconds. Raises: ValueError: not a Go duration, or a negative one."""
    if text in ("0", "+0", "-0"):
        return 0.0
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"not a duration: {text!r}; expected something like 10s, 1m30s or 200ms")
    seconds = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
    if text.startswith("-") and seconds:
        raise ValueError(f"a negative duration: {text!r}")
    return seconds


def clamped(text: str, default: float, low: float, high: float) -> float:
    """Seconds for *text*, held between *low* and *high*; *default* where it is empty, nonsense or zero."""
    try:
        seconds = parse(text)
    except ValueError:
        return default
    return min(max(seconds, low), high) if seconds else default
