"""The JSON of a request's body, checked as a strict server checks it."""

import json
from typing import Any

from aiohttp import web


async def read(request: web.Request) -> Any:
    """The body of *request* as JSON.

    Raises: ValueError: it is none, or has what could not be sent on: NaN, a number that is no float, half of a surrogate pair, or
    lists within lists beyond what Python parses.
    """
    try:
        value = json.loads(await request.read())
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None
    return value
