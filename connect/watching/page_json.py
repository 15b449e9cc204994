"""JSON for pages: a browser can read it, whatever a function has returned or a peer has sent.

JSON has no NaN and no infinity, Python writes no integer of more than 4300 digits and nothing that is nested without end, and a
page shows no result of 10 MB.
"""

import json
import math
from typing import Any, Final

SHOWN: Final = 500
"""Characters of a value that a page shows."""
_DEEPEST: Final = 30
"""Levels of lists and objects, one in the other."""
_LONGEST_INTEGER: Final = 256
"""Bits of the largest integer that is written as one."""
_WHOLE: Final = 10_000_000
_CUT: Final = "…"
_NOT_FINITE: Final = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


def page_json(value: Any) -> str:
    """*value* as JSON, in ASCII. What JSON cannot say is said in words, and what is nested too deep is left out. Raises nothing."""
    try:
        return json.dumps(value, allow_nan=False, default=_in_words)
    except (ValueError, TypeError, RecursionError):
        return json.dumps(cut(value, _WHOLE), allow_nan=False)


def cut(value: Any, most: int = SHOWN) -> Any:
    """A copy of *value* for `page_json`, with about *most* characters at most; `…` stands for what is left out. Raises nothing."""
    return _Copy(most).of(value, _DEEPEST)


class _Copy:
    """Makes a copy of limited size. `left` is how many characters it may still take."""

    def __init__(self, most: int) -> None:
        self.left = most

    def of(self, value: Any, levels: int) -> Any:
        """A copy of *value*, in which at most so many *levels* are nested."""
        if self.left <= 0:
            return _CUT
        match value:
            case str():
                return self._text(value)
            case dict():
                return self._object(value, levels - 1) if levels else _CUT
            case list() | tuple():
                return self._list(value, levels - 1) if levels else _CUT
            case None | bool():
                self.left -= 4
                return value
            case int():
                self.left -= min(value.bit_length(), _LONGEST_INTEGER) // 4 + 1
                bits = value.bit_length()
                return int(value) if bits <= _LONGEST_INTEGER else f"an integer of {bits} bits"
            case float():
                self.left -= 8
                return float(value) if math.isfinite(value) else _NOT_FINITE[str(value)]
        return self._text(_in_words(value))

    def _text(self, text: str) -> str:
        shown = text[: self.left]
        self.left -= len(shown)
        return shown if len(shown) == len(text) else f"{shown}{_CUT}"

    def _list(self, values: Any, levels: int) -> list[Any]:
        made: list[Any] = []
        for each in values:
            made.append(self.of(each, levels))
            self.left -= 1
            if self.left <= 0 and len(made) < len(values):
                return [*made, _CUT]
        return made

    def _object(self, values: dict[Any, Any], levels: int) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for key, each in values.items():
            if self.left <= 0:
                return {**made, _CUT: _CUT}
            made[self._text(key if isinstance(key, str) else _in_words(key))] = self.of(each, levels)
            self.left -= 1
        return made


def _in_words(value: Any) -> str:
    try:
        return str(value)
    except Exception:  # an object of the user's, or an integer of too many digits
        return f"an object of {type(value).__name__}"
