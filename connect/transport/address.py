"""An address: where a connection leads to."""

import re
import urllib.parse
from typing import Final, NamedTuple

PORTS: Final = {"http": 80, "ws": 80, "https": 443, "wss": 443, "socks5": 1080}
"""By scheme: the port of an address that names none."""

_HOST: Final = re.compile(r"[\x21-\x7e]+")
"""No space and no line break: a host is sent to a proxy as it is."""


class Address(NamedTuple):
    """Scheme, host and port of a URL. The host is ASCII, without brackets; an IPv6 address may have a zone: `fe80::1%eth0`."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> "Address":
        """The address in *url*. Raises: ValueError: it has no host, or a port that is none."""
        parts = urllib.parse.urlsplit(url)
        host = parts.hostname or ""
        host = host.replace("%25", "%") if ":" in host else host
        host = host if host.isascii() else host.encode("idna").decode()
        if not _HOST.fullmatch(host):
            raise ValueError("an address without a host")
        return cls(parts.scheme, host, PORTS.get(parts.scheme, 80) if parts.port is None else parts.port)

    @property
    def is_tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.scheme in ("https", "wss")

    def __str__(self) -> str:
        """Host and port, as they are shown and sent."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
