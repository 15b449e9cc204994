"""Who may ask an HTTP server: not a web page from elsewhere that makes a browser on this machine send its requests.

Such a page can send a POST, and open a WebSocket, to any address; the browser then names the page in `Origin`. It can also show an
address as a picture or in a frame; the browser then sends no Origin, but tells by `Sec-Fetch-Site` that another site asks. With a
name of its own that leads to this machine (DNS rebinding) it can read the answers, too; the browser then sends that name in `Host`.
Programs such as the worker, the SDK and curl send no Origin and no Sec-Fetch-Site.
"""

import ipaddress
import re
import urllib.parse
from collections.abc import Collection, Iterable
from typing import Final

from aiohttp import web

_READS: Final = ("GET", "HEAD")
_FROM_CONTAINERS: Final = frozenset({"host.docker.internal", "gateway.docker.internal", "host.containers.internal"})
"""How containers name this machine (Docker, Podman). No foreign page has such a name: `.internal` is reserved, and no one can
register a domain under it."""
_OWN: Final = (None, "same-origin", "none")
"""`Sec-Fetch-Site` of requests that no other page made; "none": the user entered the address."""
_HOST: Final = re.compile(r"\[([0-9a-f:.]+)\](?::\d*)?|([^\[\]:@/]+)(?::\d*)?")
"""A Host header, in lower case: an IPv6 address, or else a name or IPv4 address; with a port or without."""


def names(host: str, addresses: Iterable[str]) -> frozenset[str] | None:
    """The names of this machine for a server that was told to listen on *host*, and listens on these IP addresses.

    None: other machines reach it, so any name may be right.
    """
    is_local = all(ipaddress.ip_address(address).is_loopback for address in addresses)
    return _FROM_CONTAINERS | {"localhost", host.lower()} if is_local else None


def check(request: web.Request, local: Collection[str] | None) -> None:
    """Raises HTTPForbidden: the request comes from a foreign page, or by a name that is none of *local* and no loopback address.

    *local*: what `names` returned. The port may be another one, since a proxy or a forwarded port may lie between.
    """
    named = request.headers.get("Host", "").lower()  # not `request.host`: where there is none, that asks a name server
    if local is not None and not _is_local(named, local):
        raise web.HTTPForbidden(text=f"nothing is served here as {named[:100]!r}: use the address 127.0.0.1\n")
    origin = request.headers.get("Origin")
    if origin is not None and not _is_own(origin, named):
        raise web.HTTPForbidden(text=f"requests from pages of {origin[:100]!r} are refused\n")
    if request.headers.get("Sec-Fetch-Site") not in _OWN and not _is_link(request):
        raise web.HTTPForbidden(text="requests from pages of other sites are refused\n")


def _is_local(named: str, local: Collection[str]) -> bool:
    found = _HOST.fullmatch(named)
    name = (found[1] or found[2]) if found else ""
    try:
        return name in local or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _is_link(request: web.Request) -> bool:
    """Whether the user follows a link to here: the answer is shown by itself, not within the page that has the link."""
    how = request.headers.get("Sec-Fetch-Mode"), request.headers.get("Sec-Fetch-Dest", "document")
    return request.method in _READS and how == ("navigate", "document")


def _is_own(origin: str, named: str) -> bool:
    """Whether *origin* is a page of the server that the request *named*, by whichever scheme: a proxy may add TLS."""
    try:
        return urllib.parse.urlsplit(origin).netloc.lower() == named
    except ValueError:
        return False
