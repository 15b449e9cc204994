"""What a check came to, in words that hold no secret."""

import enum
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from connect.logs import one_line
from connect.secrets import without_passwords

_KEY: Final = re.compile(r"signkey-\w+-\w+")
_CURE: Final = re.compile(r"[:;] (?=(?:set|pass|write|install|copy|leave|put|stop|spread|unset|it must)\b)")
"""Where this package's messages go over from what happened to what to do."""
_SHORT: Final = 6
"""A text of fewer letters is taken for no secret: to blacken it would blacken words."""


class Mark(enum.Enum):
    """How a check ended."""

    GOOD = "✓"
    WRONG = "✗"
    SKIPPED = "–"  # noqa: RUF001 - a dash


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's: *found*, and what to do *next*; "" for nothing. *seconds* is how long it took. *because*: the check
    that failed, for which this one could not be made."""

    check: str
    mark: Mark
    found: str
    next: str = ""
    seconds: float = 0.0
    because: str = ""


class Seen(NamedTuple):
    """What a check that went well has to say."""

    found: str
    next: str = ""


class Wrong(Exception):  # noqa: N818 - a finding
    """What is wrong, and the cure."""

    def __init__(self, found: str, cure: str = "") -> None:
        super().__init__(found)
        self.found = found
        self.cure = cure


class Skipped(Exception):  # noqa: N818 - a finding
    """There is nothing to check here; or it cannot be checked, *because* that check failed."""

    def __init__(self, why: str = "", because: str = "") -> None:
        super().__init__(why)
        self.why = why or f"not checked, because of: {because}"
        self.because = because


def scrubbed(text: str, secrets: Iterable[str] = ()) -> str:
    """*text* on one line, without these *secrets*, anything that looks like a signing key, and passwords in addresses."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _SHORT:
            text = text.replace(secret, "***")
    return one_line(without_passwords(_KEY.sub("signkey-***", text)))


def wrong(error: Exception) -> Wrong:
    """*error* as a finding."""
    found, *cure = _CURE.split(str(error) or type(error).__name__, maxsplit=1)
    return Wrong(found, *cure)
