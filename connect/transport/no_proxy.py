"""NO_PROXY: the hosts that are reached without a proxy."""

import fnmatch
import ipaddress
import re
import urllib.parse
from collections.abc import Iterator
from typing import NamedTuple

from connect.transport.address import Address

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_SEPARATORS = re.compile(r"[,;\s]+")
_SECURE = {"https": True, "wss": True, "http": False, "ws": False}


class _Entry(NamedTuple):
    """One entry: a name or a pattern, or a network; for one port, and for addresses with or without TLS alone; None: for all."""

    pattern: str
    network: Network | None
    port: int | None
    is_secure: bool | None

    def fits(self, to: Address) -> bool:
        if self.port not in (None, to.port) or self.is_secure not in (None, _SECURE.get(to.scheme)):
            return False
        host = plain(to.host)
        found = _network(host)
        if self.network:
            return found is not None and found.version == self.network.version and found.subnet_of(self.network)  # type: ignore[arg-type]
        if "*" in self.pattern:
            return fnmatch.fnmatchcase(host, self.pattern) or host == self.pattern.removeprefix("*.")
        return host == self.pattern or (found is None and host.endswith("." + self.pattern))


class NoProxy:
    """The entries of *text*, which commas or spaces separate.

    `*` is every host; `example.com` and `.example.com` are that host and all below it; `*` stands for any characters within a name;
    `10.0.0.0/8` and `fd00::/8` are networks. `:PORT` behind an entry limits it to that port, `https://` or `http://` before it to
    addresses with or without TLS. Upper and lower case, brackets and a dot at the end make no difference.
    """

    def __init__(self, text: str) -> None:
        self._entries = [entry for part in _SEPARATORS.split(text) if part for entry in _read(part)]

    def has(self, to: Address) -> bool:
        """Whether *to* is reached without a proxy."""
        return any(entry.fits(to) for entry in self._entries)


def _read(part: str) -> Iterator[_Entry]:
    scheme, separator, rest = part.rpartition("://")
    is_secure = _SECURE.get(scheme.lower()) if separator else None
    whole = _network(rest)
    if whole:
        yield _Entry("", whole, None, is_secure)
        return
    host, port = _apart(rest.partition("/")[0])
    pattern = plain(host).lstrip(".")
    if pattern:
        yield _Entry(pattern, _network(pattern), port, is_secure)


def _apart(text: str) -> tuple[str, int | None]:
    """Host and port of *text*; the port is None if there is none, or what stands there is no number."""
    host, separator, port = text.rpartition(":")
    if separator and port.isascii() and port.isdigit():
        return host, int(port)
    return text, None


def _network(text: str) -> Network | None:
    """*text* as a network; an address is one of a single host. None: it is neither."""
    address, separator, prefix = text.partition("/")
    try:
        return ipaddress.ip_network(f"{plain(address).partition('%')[0]}{separator}{prefix}", strict=False)
    except ValueError:
        return None


def plain(host: str) -> str:
    """*host* as hosts are compared: in lower case, as ASCII, without brackets and the dot at the end."""
    host = urllib.parse.unquote(host).strip("[]").rstrip(".").lower()
    if host.isascii():
        return host
    try:
        return host.encode("idna").decode()
    except UnicodeError:
        return host
