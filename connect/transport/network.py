"""How a connection reaches its server: what it needs of a network, and the one that is there, over HTTP and WebSockets.

The rest of the worker knows of no other way out, so that tests and the simulation of a fleet can give it another network.
"""

import contextlib
import ssl
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeAlias

import aiohttp

from connect.transport.api import Api, Grant
from connect.transport.channel import Socket
from connect.transport.proxies import Proxies
from connect.transport.websocket import WebSocket, not_opened, open_session, open_socket


class Network(Protocol):
    """What a connection needs of a network. On one loop only; each may be cancelled at any time."""

    async def start(self, exclude: Collection[str]) -> Grant:
        """Ask the API for a gateway to dial (PROTOCOL.md §1). Raises: ConnectError."""

    async def flush(self, reply: bytes) -> None:
        """Deliver *reply*, a serialised SDKResponse, to the API (PROTOCOL.md §8.2). Raises: ConnectError."""

    async def open(self, url: str) -> Socket:
        """Open a WebSocket to the gateway at *url* (PROTOCOL.md §2). Raises: ConnectError; ValueError: *url* is no address."""


Reach: TypeAlias = Callable[[], AbstractAsyncContextManager[Network]]
"""Makes the network of a worker, for as long as that runs. It is called on the connection's loop."""


class Internet:
    """The network that is there: *api* over HTTP, and WebSockets that *session* opens."""

    def __init__(self, session: aiohttp.ClientSession, api: Api) -> None:
        self._session = session
        self.start = api.start
        self.flush = api.flush

    async def open(self, url: str) -> WebSocket:
        try:
            return await open_socket(self._session, url)
        except ValueError:
            raise
        except (aiohttp.ClientError, OSError) as error:
            raise not_opened(url, error) from None


@contextlib.asynccontextmanager
async def internet(
    api: Callable[[aiohttp.ClientSession], Api], proxies: Proxies, context: ssl.SSLContext | None
) -> AsyncIterator[Internet]:
    """An `Internet` over *proxies* that trusts *context*, until the `async with` ends."""
    async with open_session(proxies=proxies, context=context) as session:
        yield Internet(session, api(session))
