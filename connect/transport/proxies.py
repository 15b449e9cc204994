"""The proxies that the environment or `connect(proxy=…)` names, and which of them an address is reached through.

What curl and the libraries of the official client (httpx, websockets) make of the variables is done here too; docs/proxies.md has
the table, and says where they differ.
"""

import base64
import os
import re
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from connect.errors import ConfigurationError
from connect.secrets import Secret
from connect.transport.address import Address
from connect.transport.no_proxy import NoProxy

_ORDER: Final = {
    "http": ("http", "all"),
    "https": ("https", "all"),
    "ws": ("ws", "http", "https", "socks", "all"),
    "wss": ("wss", "https", "socks", "all"),
}
"""By the scheme of an address: the beginnings of the variables, the first that is set counts."""
_SCHEMES: Final = {"http": "http", "https": "https", "socks5": "socks5", "socks5h": "socks5", "socks": "socks5"}
_HALF: Final = re.compile(r"[a-z0-9+.-]+:/", re.IGNORECASE)
_FORMS: Final = (
    "write http://HOST:PORT, https://HOST:PORT or socks5://HOST:PORT, with USER:PASSWORD@ before HOST if it wants them"
)


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy. `source` is the variable or option that names it; `login` is `USER:PASSWORD`, decoded; None: it has none."""

    address: Address
    source: str
    login: Secret | None = None

    @property
    def is_http(self) -> bool:
        """It speaks HTTP, with or without TLS; else SOCKS."""
        return self.address.scheme != "socks5"

    @property
    def url(self) -> str:
        """Its address, without user and password."""
        return f"{self.address.scheme}://{self.address}"

    @property
    def authorization(self) -> dict[str, str]:
        """The header that shows the login to an HTTP proxy; {}: there is no login."""
        if self.login is None:
            return {}
        coded = base64.b64encode(self.login.reveal().encode()).decode()
        return {"proxy-authorization": f"Basic {coded}"}

    def __str__(self) -> str:
        """Its host and port, and what names it."""
        return f"the proxy {self.address} ({self.source})"


class Proxies:
    """The proxies of one worker, as its environment was when this was made, or as the option `proxy` says."""

    def __init__(self, texts: Mapping[str, str], no_proxy: NoProxy, sources: Mapping[str, str]) -> None:
        self._texts = texts
        self._no_proxy = no_proxy
        self._sources = sources
        self._known: dict[str, Proxy] = {}
        self.secrets = [Secret(each) for text in texts.values() for each in _passwords(text)]
        """They live as long as this, so that no peer's text shows them."""

    @classmethod
    def of(cls, option: str | bool | None) -> "Proxies":
        """The proxies for the value *option* of `connect(proxy=…)`. Raises: ConfigurationError: it names no proxy."""
        if option is None:
            return cls.of_environment()
        if option is False or option == "":
            return cls({}, NoProxy(""), {})
        if not isinstance(option, str):
            # The text of a value of another type may show a password.
            kind = "True" if option is True else f"of type {type(option).__name__}"
            raise ConfigurationError(f"proxy is {kind}: pass an address as a str, or False for none", "proxy")
        parse(option, "proxy")
        return cls({"all": option}, NoProxy(""), {"all": "proxy"})

    @classmethod
    def of_environment(cls) -> "Proxies":
        """The proxies that the variables name; without any, on macOS and Windows, those of the system's settings."""
        sources = variables()
        if not sources:
            texts = urllib.request.getproxies()
            return _OfSystem(texts, NoProxy(""), dict.fromkeys(texts, "the system's settings"))
        texts = {kind: os.environ[name] for kind, name in sources.items()}
        return cls(texts, NoProxy(texts.pop("no", "")), sources)

    def find(self, url: str) -> Proxy | None:
        """The proxy for *url*; None: it is reached directly, or is no address, which the attempt to use it says.

        Raises: ConfigurationError: what the variable says is no proxy.
        """
        try:
            to = Address.of(url)
        except ValueError:
            return None
        kind = next((each for each in _ORDER.get(to.scheme, ()) if each in self._texts), None)
        if kind is None or self._is_direct(to):
            return None
        if kind not in self._known:
            self._known[kind] = parse(self._texts[kind], self._sources[kind], is_socks=kind == "socks")
        return self._known[kind]

    def _is_direct(self, to: Address) -> bool:
        return self._no_proxy.has(to)


class _OfSystem(Proxies):
    def _is_direct(self, to: Address) -> bool:
        return bool(urllib.request.proxy_bypass(to.host))


def variables() -> dict[str, str]:
    """By the beginning of its name, in lower case: the variable that counts. One in lower case hides the others, even if empty.

    A CGI server sets HTTP_PROXY to what its client sends as the header `Proxy`.
    """
    is_cgi = "REQUEST_METHOD" in os.environ
    found = {}
    for name in sorted(os.environ, key=str.islower):
        kind, _, end = name.lower().rpartition("_")
        if end == "proxy" and (name.islower() or (os.environ[name] and not (is_cgi and kind == "http"))):
            found[kind] = name
    return {kind: name for kind, name in found.items() if os.environ[name]}


def parse(text: str, source: str, *, is_socks: bool = False) -> Proxy:
    """The proxy that *text* names. *is_socks*: without a scheme, or with http, it is a SOCKS proxy, as macOS writes them.

    Raises: ConfigurationError: it names none; the message shows nothing of *text*.
    """
    scheme, rest = _apart(text)
    scheme = "socks5" if is_socks and scheme == "http" else scheme
    known = _SCHEMES.get(scheme)
    if known is None:
        raise ConfigurationError(
            f"{source} names a proxy of a kind that this worker cannot use: {_FORMS}", _option(source)
        )
    login, _, place = rest.rpartition("@")
    try:
        address = Address.of(f"{known}://{re.split('[/?#]', place, maxsplit=1)[0]}")
    except ValueError:
        address = Address(known, "", 0)
    if not address.port:
        raise ConfigurationError(f"{source} names a proxy without a valid host and port: {_FORMS}", _option(source))
    return Proxy(address, source, Secret(":".join(_login(login))) if login.strip(":") else None)


def _option(source: str) -> str:
    return source if source == "proxy" else ""


def _apart(text: str) -> tuple[str, str]:
    """Scheme, in lower case, and the rest. An address without a scheme is one of http; `http:/proxy` has half a scheme."""
    scheme, separator, rest = text.strip().partition("://")
    if separator or _HALF.match(scheme):
        return scheme.lower(), rest
    return "http", scheme.removeprefix("//")


def _login(login: str) -> tuple[str, str]:
    """User and password, decoded."""
    user, _, password = login.partition(":")
    return urllib.parse.unquote(user), urllib.parse.unquote(password)


def _passwords(text: str) -> set[str]:
    """The password in *text*: as it is written, decoded, and with its user before it. A proxy that cannot be used has one, too."""
    login = _apart(text)[1].rpartition("@")[0]
    written = login.partition(":")[2]
    user, password = _login(login)
    return {written, password, f"{user}:{password}"} if password else set()
