"""Checks of a server's name, port and certificate, for the API and the gateway alike."""

import asyncio
import contextlib
import errno
import os
import re
import socket
import ssl
import threading
import urllib.parse
from dataclasses import dataclass
from typing import Final

import aiohttp

from connect.doctor.findings import Seen, Skipped, Wrong
from connect.transport.proxies import proxy_for

_PORTS: Final = {"http": 80, "ws": 80, "https": 443, "wss": 443}
_NUMBER: Final = re.compile(r"\[Errno (\d+)\]")

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
    """The first host and port on the way to a URL: its own, or those of the proxy that the environment names."""

    host: str
    port: int
    is_tls: bool
    is_proxy: bool

    @classmethod
    def of(cls, url: str) -> "Target":
        """The target of *url*. Raises: Wrong: *url* has no host, or no valid port."""
        proxy = proxy_for(url)
        try:
            parts = urllib.parse.urlsplit(proxy or url)
            port = parts.port
        except ValueError:
            raise Wrong(
                f"the port of {proxy or url} is not valid", "write SCHEME://HOST:PORT, with a port of 1 to 65535"
            ) from None
        if not parts.hostname:
            raise Wrong(f"{proxy or url} names no host", "write http://HOST:PORT or https://HOST")
        return cls(parts.hostname, port or _PORTS.get(parts.scheme, 80), parts.scheme in ("https", "wss"), bool(proxy))

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'the proxy ' if self.is_proxy else ''}{host}:{self.port}"


async def resolve(target: Target) -> Seen:
    """Look up the addresses of the target's name. Raises: Wrong."""
    try:
        addresses = await _addresses(target.host, target.port)
    except socket.gaierror as error:
        found = f"{target.host} does not resolve: {error.strerror}"
        if error.errno == socket.EAI_AGAIN:
            raise Wrong(found, NO_NAME_SERVER) from None
        raise Wrong(found, "check that the name is spelled right, and ask this machine's name server for it") from None
    except UnicodeError:
        raise Wrong(f"{target.host} is not a host's name", "write http://HOST:PORT or https://HOST") from None
    host = f"{'the proxy ' if target.is_proxy else ''}{target.host}"
    if addresses == [target.host]:
        return Seen(f"{host} needs no name server")
    return Seen(f"{host} is {', '.join(addresses[:3])}{' and others' if addresses[3:] else ''}")


async def _addresses(host: str, port: int) -> list[str]:
    """Look *host* up on a daemon thread: with a silent name server `getaddrinfo` blocks longer than a check may take."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[list[str]] = loop.create_future()

    def finish(found: list[str] | Exception) -> None:
        if future.done():
            return
        if isinstance(found, Exception):
            future.set_exception(found)
        else:
            future.set_result(found)

    def look_up() -> None:
        found: list[str] | Exception
        try:
            found = list(
                dict.fromkeys(str(each[4][0]) for each in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
            )
        except (OSError, UnicodeError) as error:
            found = error
        with contextlib.suppress(RuntimeError):  # the check timed out, and the loop is closed by now
            loop.call_soon_threadsafe(finish, found)

    threading.Thread(target=look_up, name="doctor-resolve", daemon=True).start()
    return await future


async def reach(target: Target, cure: str) -> Seen:
    """Open the target's port; *cure* says what to do if nothing listens there. Raises: Wrong."""
    try:
        _, writer = await asyncio.open_connection(target.host, target.port, happy_eyeballs_delay=0.25)
    except OSError as error:
        raise closed(target, error, cure) from None
    writer.transport.abort()
    return Seen(f"{target} is open")


def closed(target: Target, error: OSError, cure: str) -> Wrong:
    """Why the target's port cannot be opened."""
    # With several addresses the error has no number of its own: its text has one for each.
    numbers = {int(number) for number in _NUMBER.findall(str(error))}
    if errno.ECONNREFUSED in numbers:
        return Wrong(f"{target} refuses: nothing listens there", cure)
    reasons = ", ".join(sorted(os.strerror(number) for number in numbers)) or str(error)
    return Wrong(f"{target} cannot be reached: {reasons}", "check this machine's network, routes and firewall")


async def trust(target: Target) -> Seen:
    """Make a TLS handshake, and verify the certificate as the worker does. Raises: Wrong, Skipped."""
    if target.is_proxy:
        raise Skipped("the connection goes through the proxy: the next check reaches the server itself")
    if not target.is_tls:
        raise Skipped("no TLS: the address begins with http or ws")
    try:
        _, writer = await asyncio.open_connection(
            target.host, target.port, ssl=ssl.create_default_context(), server_hostname=target.host
        )
    except OSError as error:
        raise untrusted(target, error) from None
    until = writer.get_extra_info("peercert").get("notAfter", "an unknown date")
    writer.transport.abort()
    return Seen(f"valid for {target.host} until {until}")


def untrusted(target: Target, error: Exception) -> Wrong:
    """Why the TLS handshake failed."""
    if isinstance(error, ssl.SSLCertVerificationError):
        problem, cure = _CERTIFICATES.get(error.verify_code, ("is not trusted", _TRUST))
        return Wrong(f"the certificate of {target} {problem} ({error.verify_message.rstrip('.')})", cure)
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or str(error)).replace("_", " ").lower()
        return Wrong(
            f"{target} does not speak TLS as it should ({reason})",
            "if the server speaks no TLS, write http or ws instead of https or wss",
        )
    return Wrong(f"{target} ended the connection in the TLS handshake: {error}", "see the server's log, or a proxy's")


def broken(target: Target, error: Exception) -> Wrong:
    """Why an HTTP request to *target* failed."""
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return untrusted(target, error.certificate_error)
        case aiohttp.ClientHttpProxyError():
            return Wrong(
                f"{target} refuses to connect to the server ({error.status} {error.message})",
                "ask the proxy's operator to allow it",
            )
        case aiohttp.ClientConnectorError():
            return closed(target, error.os_error, "the port was open a moment ago: see the server's log")
        case _:
            why = str(error) or type(error).__name__
            return Wrong(
                f"{target} accepts connections but does not speak HTTP: {why}",
                "check the port: another program seems to listen there",
            )
