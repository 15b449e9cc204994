"""Reads the answer to an HTTP request as far as it can be of use, however much the peer sends."""

from dataclasses import dataclass
from typing import Final

import aiohttp

from connect.redaction import peer_text

LIMIT: Final = 64 * 1024
"""Bytes of a body that are read. The answers of the API have a few hundred, with a token of some 1 KiB (PROTOCOL.md §1.3)."""


@dataclass(frozen=True, slots=True)
class Body:
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
