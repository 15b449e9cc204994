"""The findings of checks: what was found and what to do, without secrets."""

import enum
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from connect.log_format import one_line, printable
from connect.redaction import redacted
from connect.secrets import without_passwords

_KEY: Final = re.compile(r"signkey-\w+-\w+")
_CURE: Final = re.compile(r"[:;] (?=(?:set|pass|write|install|copy|leave|put|stop|spread|unset|it must)\b)")
"""Splits an error message of this package into what happened and what to do."""
_SHORT: Final = 6
"""A secret of fewer letters is not replaced: it may be a part of ordinary words."""


class Mark(enum.Enum):
    """The outcome of a check."""

    GOOD = "✓"
    WRONG = "✗"
    SKIPPED = "–"  # noqa: RUF001 - a dash


@dataclass(frozen=True)
class Finding:
    """The finding of one check.

    *found* is what it found, *next* what to do, "" for nothing. *seconds* is how long it took. *because* names the failed check
    without which this one could not be made.
    """

    check: str
    mark: Mark
    found: str
    next: str = ""
    seconds: float = 0.0
    because: str = ""


class Seen(NamedTuple):
    """What a successful check found, and what to do if anything can be better."""

    found: str
    next: str = ""


class Wrong(Exception):  # noqa: N818 - a finding
    """A check failed: what it found, and the cure."""

    def __init__(self, found: str, cure: str = "") -> None:
        super().__init__(found)
        self.found = found
        self.cure = cure


class Skipped(Exception):  # noqa: N818 - a finding
    """A check was not made: there is nothing to check, or it needs one that failed, named by *because*."""

    def __init__(self, why: str = "", because: str = "") -> None:
        super().__init__(why)
        self.why = why or f"not checked, because of: {because}"
        self.because = because


def scrubbed(text: str, secrets: Iterable[str] = ()) -> str:
    """*text* on one line, with `***` for *secrets*, for anything that looks like a signing key, and for passwords in addresses."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _SHORT:
            text = text.replace(secret, "***")
    return printable(redacted(one_line(without_passwords(_KEY.sub("signkey-***", text)))))


def wrong(error: Exception) -> Wrong:
    """*error* as a finding: its message, split into what happened and what to do."""
    found, *cure = _CURE.split(str(error) or type(error).__name__, maxsplit=1)
    return Wrong(found, *cure)
