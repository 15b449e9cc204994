"""ULIDs: 48 bits of milliseconds and 80 random bits, in Crockford's base 32."""

import os
import time
from typing import Final

_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_VALUES: Final = {letter: value for value, letter in enumerate(_ALPHABET)}


def new(at: float | None = None) -> str:
    """A fresh ULID whose timestamp is *at* (wall-clock seconds; now by default)."""
    milliseconds = int((time.time() if at is None else at) * 1000)
    number = milliseconds << 80 | int.from_bytes(os.urandom(10))
    return "".join([_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5)])


def is_ulid(text: str) -> bool:
    """Whether *text* reads as a ULID: 26 letters of the alphabet, any case, no more than 128 bits."""
    return len(text) == 26 and text[0] in "01234567" and all(letter in _VALUES for letter in text.upper())


def timestamp(ulid: str) -> float:
    """The wall-clock seconds that *ulid* carries: of a lease, when it expires."""
    number = 0
    for letter in ulid[:10].upper():
        number = number << 5 | _VALUES[letter]
    return number / 1000
