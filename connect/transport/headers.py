"""The names of the headers that are sent: all in lower case, as HTTP/2 has them and as peers compare them that compare by case."""

import platform
from typing import Final

import aiohttp

USER_AGENT: Final = f"Python/{platform.python_version()} aiohttp/{aiohttp.__version__}"
ALWAYS: Final = {"accept": "*/*", "accept-encoding": "identity", "connection": "close", "user-agent": USER_AGENT}
"""What every request has; aiohttp would add some of these in its own case, when it is too late to change that."""


async def in_lower_case(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """A middleware of aiohttp: makes the names of all headers of *request* lower-case."""
    headers = [(name.lower(), text) for name, text in request.headers.items()]
    request.headers.clear()
    request.headers.extend(headers)
    return await send(request)
