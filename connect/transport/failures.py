"""Why a request, a WebSocket or a link failed, in words. What aiohttp says is for programmers: numbers, reprs, lines of bytes."""

import re
from typing import Final

import aiohttp

from connect.redaction import peer_text

_TLS_ALERT: Final = r"\x15\x03"
"""How a server that speaks TLS begins its answer to a plain request, as aiohttp quotes it."""


def why(error: BaseException) -> str:
    """Why *error* happened, on one line and without secrets: what the peer did, as far as is known."""
    match error:
        case aiohttp.ClientConnectorError():  # `connector.CannotConnect` says it in words
            return peer_text(error)
        case aiohttp.ServerDisconnectedError():
            return "the server closed the connection without an answer"
        case aiohttp.ClientPayloadError():
            return "the connection ended in the middle of the answer"
        case aiohttp.ClientResponseError(message=message):
            return _no_http(message)
        case OSError(strerror=str() as text) if text:
            return peer_text(text)
        case ConnectionError():
            return "the connection was closed"
    return peer_text(error) or type(error).__name__


def _no_http(message: str) -> str:
    if _TLS_ALERT in message:
        return "the server speaks TLS: write https or wss"
    flaw = re.split(r"[:\n'\"]", message, maxsplit=1)[0].strip().lower()
    return f"the answer is no valid HTTP ({peer_text(flaw)})"
