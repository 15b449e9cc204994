"""Checks of a server's name, port and certificate, for the API and the gateway alike."""

import asyncio
import socket
import ssl
from dataclasses import dataclass
from typing import Final

import aiohttp

from connect.doctor.findings import Seen, Skipped, Wrong, wrong
from connect.errors import ConfigurationError
from connect.transport.address import Address
from connect.transport.connector import route_of
from connect.transport.failures import why
from connect.transport.proxies import Proxy
from connect.transport.route import Route, Unreachable

NO_NAME_SERVER: Final = "no name server answers: check this machine's network, and its /etc/resolv.conf"
_TRUST: Final = "for a server of your own, put its authority's certificate into the file that SSL_CERT_FILE names"
_CERTIFICATES: Final = {
    9: ("is not valid yet", "set this machine's clock, or have the server's certificate replaced"),
    10: ("has expired", "have the server's certificate renewed; if it is valid, set this machine's clock"),
    18: ("is self-signed", _TRUST),
    19: ("comes from an authority that is not trusted here", _TRUST),
    20: ("comes from an authority that is not known here", f"{_TRUST}; or install the system's ca-certificates"),
    62: ("is for another host", "use the name that the certificate is for"),
    64: ("is for another host", "use the name that the certificate is for, not the address"),
}
"""By OpenSSL's verification error: what is wrong with the certificate, and what to do."""


@dataclass(frozen=True)
class Target:
    """The way to a server: its address, and the proxy before it, if one is named."""

    to: Address
    proxy: Proxy | None
    route: Route

    @classmethod
    def of(cls, url: str, session: aiohttp.ClientSession) -> "Target":
        """The target of *url*. Raises: Wrong: *url*, or what names the proxy, is no address."""
        route = route_of(session)
        try:
            return cls(Address.of(url), route.proxies.find(url), route)
        except ConfigurationError as error:
            raise wrong(error) from None
        except ValueError:
            raise Wrong(
                f"the address {url} is not valid", "write SCHEME://HOST:PORT, with a port of 1 to 65535"
            ) from None

    @property
    def first(self) -> Address:
        """Where the first connection leads to: the proxy, if there is one."""
        return self.proxy.address if self.proxy else self.to

    def __str__(self) -> str:
        return str(self.proxy or self.to)


async def resolve(target: Target) -> Seen:
    """Look up the addresses of the target's name. Raises: Wrong."""
    try:
        found = await target.route.look_up(target.first, target.proxy)
    except Unreachable as error:
        raise _unknown(target, error) from None
    host = f"the proxy {target.first.host} ({target.proxy.source})" if target.proxy else target.first.host
    addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
    if addresses == [target.first.host]:
        return Seen(f"{host} needs no name server")
    return Seen(f"{host} is {', '.join(addresses[:3])}{' and others' if addresses[3:] else ''}")


def _unknown(target: Target, error: Unreachable) -> Wrong:
    """Why the target's name has no address."""
    host = f"{target.first.host} ({target.proxy.source})" if target.proxy else target.first.host
    cause = error.__cause__
    if not isinstance(cause, OSError):
        return Wrong(f"{host} is not a host's name", "write http://HOST:PORT or https://HOST")
    found = f"{host} does not resolve: {cause.strerror or cause}"
    if cause.errno == socket.EAI_AGAIN:
        return Wrong(found, NO_NAME_SERVER)
    return Wrong(found, "check that the name is spelled right, and ask this machine's name server for it")


async def reach(target: Target, cure: str) -> Seen:
    """Open the target's port; *cure* says what to do if nothing listens there. Raises: Wrong."""
    try:
        (await target.route.reach(target.first, target.proxy)).close()
    except Unreachable as error:
        raise _closed(target, error, cure) from None
    return Seen(f"{target} is open")


def _closed(target: Target, error: Unreachable, cure: str) -> Wrong:
    """Why the target's port cannot be opened."""
    if target.proxy and error.is_refused:
        return Wrong(error.what, f"start the proxy, or correct {target.proxy.source}")
    return Wrong(error.what, cure if error.is_refused else "check this machine's network, routes and firewall")


async def trust(target: Target) -> Seen:
    """Make a TLS handshake with the server, through the proxy if there is one, as the worker does. Raises: Wrong, Skipped."""
    if not target.to.is_tls:
        raise Skipped("no TLS: the address begins with http or ws")
    try:
        transport, _ = await target.route.open(target.to, target.proxy, asyncio.Protocol)
    except Unreachable as error:
        raise _unreachable(target, error, "see the server's log") from None
    until = transport.get_extra_info("peercert").get("notAfter", "an unknown date")
    transport.abort()
    return Seen(f"valid for {target.to.host} until {until}{f', through {target.proxy}' if target.proxy else ''}")


def _unreachable(target: Target, error: Unreachable, cure: str) -> Wrong:
    match error.stage:
        case "name":
            return _unknown(target, error)
        case "port":
            return _closed(target, error, cure)
        case "tls":
            return untrusted(error.whom, error.__cause__ or error, error.cure)
        case _:
            return Wrong(error.what, error.cure or "see the proxy's log")


def untrusted(target: Address | Proxy, error: BaseException, known: str = "") -> Wrong:
    """Why the TLS handshake failed. *known*: what to do, if the attempt found it out."""
    if isinstance(error, ssl.SSLCertVerificationError):
        problem, cure = _CERTIFICATES.get(error.verify_code, ("is not trusted", _TRUST))
        return Wrong(f"the certificate of {target} {problem} ({error.verify_message.rstrip('.')})", known or cure)
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or str(error)).replace("_", " ").lower()
        return Wrong(
            f"{target} does not speak TLS as it should ({reason})",
            "if the server speaks no TLS, write http or ws instead of https or wss",
        )
    return Wrong(
        f"{target} ended the connection in the TLS handshake ({why(error)})", "see the server's log, or a proxy's"
    )


def broken(target: Target, error: Exception) -> Wrong:
    """Why an HTTP request to *target* failed."""
    match error:
        case aiohttp.ClientConnectorError(os_error=Unreachable() as unreachable):
            return _unreachable(target, unreachable, "the port was open a moment ago: see the server's log")
        case _:
            return Wrong(
                f"{target} accepts connections but does not speak HTTP: {why(error)}",
                "check the port: another program seems to listen there, or a server that speaks TLS: then write https or wss",
            )
