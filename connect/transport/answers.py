"""Reads the answer to an HTTP request as far as it can be of use, however much the peer sends."""

import re
import time
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple

import aiohttp

from connect.redaction import peer_text

LIMIT: Final = 64 * 1024
"""Bytes of a body that are read. The answers of the API have a few hundred, with a token of some 1 KiB (PROTOCOL.md §1.3)."""


LONGEST_WAIT: Final = 600.0
"""Seconds that a worker waits at most because a `Retry-After` says so: a wrong one must not stop it for days."""
_SECONDS: Final = re.compile(r"\d{1,20}", re.ASCII)


def retry_after(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """The seconds that `Retry-After` asks to wait, 0 to `LONGEST_WAIT`; None: it is not there, or says nothing (RFC 9110 §10.2.3).

    A date is counted from the answer's own `Date`, so that a wrong clock here or there does no harm; without one from *now*,
    a Unix time; None: that of this machine.
    """
    said = headers.get("Retry-After", "").strip()
    if _SECONDS.fullmatch(said):
        return min(float(said), LONGEST_WAIT)
    until = _unix_time(said)
    if until is None:
        return None
    since = _unix_time(headers.get("Date", ""))
    if since is None:
        since = time.time() if now is None else now
    return min(max(until - since, 0.0), LONGEST_WAIT)


def _unix_time(date: str) -> float | None:
    try:
        read = parsedate_to_datetime(date.strip())
        return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()  # HTTP knows no other zone
    except (ValueError, OverflowError):
        return None


class Body(NamedTuple):
    """The body of an answer. `flaw` says why `content` is not all of it; "": it is."""

    content: bytes
    flaw: str = ""


async def read(answer: aiohttp.ClientResponse) -> Body:
    """Read the body of *answer*; of one that is flawed, no more than `LIMIT` bytes, and its connection is dropped.

    A compressed body is not decompressed: a megabyte may become gigabytes, and no request of ours allows compression.
    Raises: what aiohttp raises.
    """
    encoding = answer.headers.get("Content-Encoding", "identity").strip()
    if encoding.lower() not in ("identity", ""):
        return _drop(answer, b"", f"is compressed ({peer_text(encoding, 40)}), although no compression was asked for")
    content = bytearray()
    async for piece in answer.content.iter_any():
        content += piece
        if len(content) > LIMIT:
            return _drop(answer, bytes(content[:LIMIT]), f"has more than {LIMIT:,} bytes")
    return Body(bytes(content))


def _drop(answer: aiohttp.ClientResponse, content: bytes, flaw: str) -> Body:
    answer.close()
    return Body(content, flaw)
