"""Durations as the server and the SDKs write them: `10s`, `1m30s`, `200ms`, and in step options also `7d` and `1w`."""

import re
from typing import Final

_UNITS: Final = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "μs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
    "d": 86_400.0,
    "w": 604_800.0,
}
_PART: Final = re.compile(r"(\d+(?:\.\d*)?)(ns|us|µs|μs|ms|s|m|h|d|w)")


def seconds(text: str, default: float) -> float:
    """The seconds that *text* says; *default* where it is no duration."""
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return default
    return sum(float(number) * _UNITS[unit] for number, unit in parts)
