"""Asks a proxy for a connection to a server: by CONNECT of HTTP (RFC 9110 §9.3.6), or by SOCKS 5 (RFC 1928, RFC 1929)."""

import ipaddress
import re
from typing import Final

from connect.redaction import peer_text
from connect.transport.address import Address
from connect.transport.answers import retry_after
from connect.transport.conversation import Conversation, ProxyFailed
from connect.transport.headers import USER_AGENT
from connect.transport.proxies import Proxy

_STATUS: Final = re.compile(rb"HTTP/1\.[01] (\d{3})(?: ([^\r\n]*))?\r?\n")
_ABSENT: Final = ("502", "503", "504")
"""With these a proxy says that it has not reached the server (RFC 9110 §15.6); Squid has 503 for a refused connection."""
_REASON: Final = 100
"""Characters of a proxy's own words that are shown."""

_SOCKS_ERRORS: Final = {
    1: "says that it failed",
    2: "does not allow the connection",
    3: "says that the network cannot be reached",
    4: "says that the host cannot be reached",
    5: "says that the server refuses the connection",
    6: "says that the server did not answer in time",
    7: "does not know the command CONNECT",
    8: "does not know this kind of address",
}
"""By the reply field (RFC 1928 §6)."""
_SOCKS_ABSENT: Final = (3, 4, 5, 6)
"""With these the proxy says that it has not reached the server."""


async def dig(proxy: Proxy, to: Address, talk: Conversation) -> None:
    """Have *proxy* connect *talk* with *to*. Raises: ProxyFailed."""
    await (_connect if proxy.is_http else _socks)(proxy, to, talk)
    if talk.has_more:
        raise ProxyFailed("sends more than an answer: it is no proxy, or a broken one")


async def _connect(proxy: Proxy, to: Address, talk: Conversation) -> None:
    headers = {"host": str(to), "user-agent": USER_AGENT, **proxy.authorization}
    lines = [f"CONNECT {to} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    talk.write("\r\n".join(lines).encode())
    status = 100
    while status < 200:
        begin = await talk.read_until(b"\n")
        line = _STATUS.fullmatch(begin)
        if line is None:
            raise ProxyFailed(
                "does not speak HTTP", f"check its port, and that {proxy.source} is an http or https proxy"
            )
        told = await _headers(talk)
        status, reason = int(line[1]), peer_text(line[2].decode("latin-1") if line[2] else "", _REASON)
    if not 200 <= status < 300:
        refusal = _refusal(proxy, to, f"{status} {reason}".strip())
        refusal.retry_after = retry_after(told)
        raise refusal


async def _headers(talk: Conversation) -> dict[str, str]:
    """The headers of an answer, each word of a name in title case."""
    headers = {}
    while line := (await talk.read_until(b"\n")).strip():
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.strip().title()] = value.strip()
    return headers


def _refusal(proxy: Proxy, to: Address, answer: str) -> ProxyFailed:
    if answer.startswith("407"):
        return login_refused(proxy, answer)
    if answer.startswith(_ABSENT):
        return ProxyFailed(f"cannot connect to {to} ({answer})", absent=True)
    return ProxyFailed(f"refuses to connect to {to} ({answer})", "ask its operator to allow it")


def login_refused(proxy: Proxy, answer: str) -> ProxyFailed:
    """*proxy* does not know the user: *answer* is what it said."""
    if proxy.login is None:
        return ProxyFailed(
            f"wants a user name and a password ({answer})", f"set {proxy.source} to SCHEME://USER:PASSWORD@HOST:PORT"
        )
    return ProxyFailed(f"does not accept the user name and password ({answer})", f"correct them in {proxy.source}")


async def _socks(proxy: Proxy, to: Address, talk: Conversation) -> None:
    talk.write(b"\x05\x02\x00\x02" if proxy.login else b"\x05\x01\x00")
    version, method = await talk.read(2)
    if version != 5:
        raise ProxyFailed("does not speak SOCKS 5", f"check its port, and that {proxy.source} is a SOCKS 5 proxy")
    if method == 2 and proxy.login:
        await _log_in(proxy, proxy.login.reveal(), talk)
    elif method != 0:
        raise login_refused(proxy, f"SOCKS method {method}")
    talk.write(b"\x05\x01\x00" + _socks_host(to.host) + to.port.to_bytes(2, "big"))
    version, reply, _, kind = await talk.read(4)
    if version != 5 or reply:
        why = _SOCKS_ERRORS.get(reply, f"answers with error {reply}")
        cure = "ask its operator" if reply in (2, 7, 8) else ""
        raise ProxyFailed(f"{why}: {to} (SOCKS reply {reply})", cure, absent=reply in _SOCKS_ABSENT)
    length = {1: 4, 4: 16}.get(kind) or (await talk.read(1))[0]
    await talk.read(length + 2)


async def _log_in(proxy: Proxy, login: str, talk: Conversation) -> None:
    user, _, password = (part.encode() for part in login.partition(":"))
    if not len(user) < 256 > len(password):
        raise ProxyFailed("takes no user name or password of more than 255 bytes", f"correct them in {proxy.source}")
    talk.write(bytes([1, len(user)]) + user + bytes([len(password)]) + password)
    if (await talk.read(2))[1]:
        raise login_refused(proxy, "SOCKS")


def _socks_host(host: str) -> bytes:
    """The proxy looks names up: it knows those outside, and the worker's machine may not."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        name = host.encode("ascii" if host.isascii() else "idna")
        return bytes([3, len(name)]) + name
    return (b"\x01" if address.version == 4 else b"\x04") + address.packed
