"""What aiohttp opens its connections with: a `Route`, in place of its own look-ups, proxies and TLS."""

import functools
from typing import Any, NamedTuple, cast

import aiohttp
from aiohttp.client_proto import ResponseHandler

from connect.errors import LinkLost, ServerUnreachable
from connect.transport.address import Address
from connect.transport.proxies import Proxy
from connect.transport.route import Route, Unreachable


class CannotConnect(aiohttp.ClientConnectorError):
    """A connection could not be opened. `os_error` is the `Unreachable` that says why."""

    def __str__(self) -> str:
        return str(self.os_error)


def link_lost(message: str, error: Exception) -> LinkLost:
    """The error that says *message*, for *error* of aiohttp: a `ServerUnreachable` if no server was reached."""
    if not isinstance(error, CannotConnect) or not isinstance(error.os_error, Unreachable):
        return LinkLost(message)
    lost = LinkLost(message) if error.os_error.reached else ServerUnreachable(message)
    lost.retry_after = error.os_error.retry_after
    return lost


class Connector(aiohttp.BaseConnector):
    """A connection of its own for each request, over *route*."""

    def __init__(self, route: Route) -> None:
        super().__init__(force_close=True, limit=0)
        self.route = route

    async def _create_connection(self, req: aiohttp.ClientRequest, *_: Any) -> ResponseHandler:
        """aiohttp calls this. A request that was made with a proxy goes to it whole; another one through a tunnel, if any."""
        url = str(req.url)
        make = functools.partial(ResponseHandler, loop=self._loop)
        try:
            to, proxy = Address.of(url), self.route.proxies.find(url)
            opened = await self.route.open(to, proxy, make, forwards=req.proxy is not None)
        except Unreachable as error:
            raise CannotConnect(req.connection_key, error) from error.__cause__
        return opened[1]


class Forwarding(NamedTuple):
    """How a request is sent: whole to *by*, a proxy; or, if that is None, to the server, perhaps through a tunnel."""

    by: Proxy | None = None

    @property
    def proxy(self) -> str | None:
        """The proxy, as aiohttp takes it."""
        return self.by.url if self.by else None

    @property
    def through(self) -> str:
        """For a message, behind the address: the proxy may have answered in place of the server."""
        return f" through {self.by}" if self.by else ""

    @property
    def headers(self) -> dict[str, str]:
        """The headers that are for the proxy."""
        return self.by.authorization if self.by else {}


def forwarding(session: aiohttp.ClientSession, url: str) -> Forwarding:
    """How a request to *url* is sent: an HTTP proxy takes requests to http addresses whole; many allow no CONNECT to their ports.

    Raises: ConfigurationError: what the variable says is no proxy; ValueError: *url* is no address.
    """
    proxy = route_of(session).proxies.find(url)
    if proxy is None or not proxy.is_http or Address.of(url).scheme != "http":
        return Forwarding()
    return Forwarding(proxy)


def route_of(session: aiohttp.ClientSession) -> Route:
    """The route of *session*, which `open_session` made."""
    return cast(Connector, session.connector).route
