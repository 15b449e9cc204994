"""ULIDs: 48 bits of milliseconds and 80 random bits, in Crockford's base 32.

A lease id is the ULID of its expiry (PROTOCOL.md §7).
"""

import os
import time
from typing import Final

_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
# Crockford's digits as Python's, so that `int(text, 32)` can read them, far faster than a loop. "!" stands for an invalid digit.
_DIGITS: Final = str.maketrans("ABCDEFGHJKMNPQRSTVWXYZ" + "ILOU", "ABCDEFGHIJKLMNOPQRSTUV" + "!!!!")


def new(at: float | None = None) -> str:
    """A fresh ULID whose timestamp is *at* (Unix time in seconds; now by default)."""
    milliseconds = int((time.time() if at is None else at) * 1000)
    number = milliseconds << 80 | int.from_bytes(os.urandom(10))
    return "".join([_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5)])


def is_ulid(text: str) -> bool:
    """Whether *text* is a ULID: 26 digits of the alphabet, in upper or lower case, and at most 128 bits."""
    return timestamp(text) is not None and text[0] in "01234567" and "!" not in text.upper().translate(_DIGITS)


def timestamp(text: str) -> float | None:
    """The Unix time, in seconds, of the ULID *text*; None: it is no ULID. Reads only the ten digits of the time."""
    if not (len(text) == 26 and text.isascii() and text.isalnum()):
        return None
    try:
        return int(text[:10].upper().translate(_DIGITS), 32) / 1000
    except ValueError:
        return None
