"""Opens connections: directly or through a proxy, with TLS where the address wants it."""

import asyncio
import errno
import os
import re
import socket
import ssl
from collections.abc import Callable
from functools import cached_property
from typing import Any, Final, Literal, TypeVar, cast

import aiohappyeyeballs

from connect.loops import forks
from connect.loops.loop import hand_over
from connect.transport import authorities
from connect.transport.address import Address
from connect.transport.connecting import Connecting
from connect.transport.conversation import Conversation, ProxyFailed
from connect.transport.names import Found, Names
from connect.transport.progress import still_missing
from connect.transport.proxies import Proxies, Proxy

P = TypeVar("P", bound=asyncio.Protocol)
Stage = Literal["name", "port", "proxy", "tls"]

NEXT_ADDRESS_SECONDS: Final = 0.25
"""How long one address of a name is tried alone before the next one is tried beside it (RFC 8305 §5)."""
_NUMBER: Final = re.compile(r"\[Errno (\d+)\]")


class Unreachable(OSError):  # noqa: N818 - what happened
    """A connection could not be opened: in which stage, to whom, and why, in words. *cure*: what to do, if that is known."""

    def __init__(self, stage: Stage, whom: "Address | Proxy", what: str, cure: str = "") -> None:
        super().__init__(what)
        self.stage = stage
        self.whom = whom
        self.what = what
        self.cure = cure

    @property
    def is_refused(self) -> bool:
        """Nothing listens at the port."""
        return self.stage == "port" and errno.ECONNREFUSED in _numbers(self.__cause__)

    @property
    def reached(self) -> bool:
        """There was a TCP connection, to the server or to a proxy that does not say that it cannot reach the server."""
        return self.stage not in ("name", "port") and not (self._proxys and self._proxys.absent)

    @property
    def retry_after(self) -> float | None:
        """Seconds that the proxy asks to wait; None: it asks for nothing."""
        return self._proxys.retry_after if self._proxys else None

    @property
    def _proxys(self) -> ProxyFailed | None:
        """What the proxy answered, if that is why."""
        return self.__cause__ if isinstance(self.__cause__, ProxyFailed) else None

    def __str__(self) -> str:
        return f"{self.what}: {self.cure}" if self.cure else self.what


class Route:
    """The way of one worker to servers. On one loop only. *context*: the TLS that it trusts; None: Python's default."""

    def __init__(self, proxies: Proxies, context: ssl.SSLContext | None = None) -> None:
        self.proxies = proxies
        self._given = context
        self._names = Names()
        self._loop = asyncio.get_running_loop()

    @cached_property
    def context(self) -> ssl.SSLContext:
        """The TLS that servers and proxies are asked for. Python's default reads SSL_CERT_FILE and SSL_CERT_DIR."""
        if self._given:
            return self._given
        context = ssl.create_default_context()
        context.set_alpn_protocols(["http/1.1"])
        return context

    async def open(
        self, to: Address, proxy: Proxy | None, make: Callable[[], P], *, forwards: bool = False
    ) -> tuple[asyncio.Transport, P]:
        """Connect the protocol that *make* makes to *to*, or with *forwards* to *proxy*, which gets whole requests.

        Raises: Unreachable.
        """
        if not _is_name(to.host):
            raise Unreachable("name", to, f"the name {to.host} is none that a host can have")
        first = proxy.address if proxy else to
        found = await self.look_up(first, proxy)
        spoken: Unreachable | None = None
        while True:
            try:
                opened, peer = await self._connect(first, proxy, found)
            except Unreachable:
                if spoken:  # another address was reached: that says more
                    raise spoken from None
                raise
            try:
                connected = await self._hand_over(opened, to, proxy, make, forwards=forwards)
            except Unreachable as error:
                aiohappyeyeballs.remove_addr_infos(cast(Any, found), peer)
                if error.stage != "tls" or not found:
                    raise
                spoken = error
            else:
                still_missing("")
                return connected

    async def look_up(self, first: Address, proxy: Proxy | None) -> Found:
        """The addresses of *first*, which is *proxy*'s if that is given. Raises: Unreachable."""
        name = f"the name {first.host} of {proxy}" if proxy else f"the name {first.host}"
        still_missing(f"{name} could not be looked up", reached=False)
        try:
            return list(await self._names.look_up(first.host, first.port))
        except OSError as error:
            raise Unreachable("name", proxy or first, _no_name(name, error)) from error
        except UnicodeError as error:
            raise Unreachable("name", proxy or first, f"{name} is none that a host can have") from error

    async def reach(self, first: Address, proxy: Proxy | None) -> socket.socket:
        """A TCP connection to *first*, which is *proxy*'s if that is given. Raises: Unreachable."""
        opened, _ = await self._connect(first, proxy, await self.look_up(first, proxy))
        return opened

    async def _connect(self, first: Address, proxy: Proxy | None, found: Found) -> tuple[socket.socket, Any]:
        """A connection to one of the addresses *found*, and that address."""
        whom = proxy or first
        still_missing(f"no connection to {whom} could be made", reached=False)
        try:
            opened = await aiohappyeyeballs.start_connection(
                cast(Any, found),
                happy_eyeballs_delay=NEXT_ADDRESS_SECONDS,
                socket_factory=forks.private_socket,
                loop=cast(Any, Connecting(self._loop)),
            )
        except (OSError, RuntimeError) as error:  # uvloop raises RuntimeError
            raise Unreachable("port", whom, f"{whom} {_no_connection(error)}") from error
        try:
            return opened, opened.getpeername()
        except OSError as error:
            opened.close()
            raise Unreachable("port", whom, f"{whom} ended the connection at once") from error

    async def _hand_over(
        self, opened: socket.socket, to: Address, proxy: Proxy | None, make: Callable[[], P], *, forwards: bool
    ) -> tuple[asyncio.Transport, P]:
        if proxy is None:
            return await self._speak(opened, to, to, make)
        if forwards:
            return await self._speak(opened, proxy.address, proxy, make)
        from connect.transport.tunnel import dig  # not imported at the start: few workers need it

        still_missing(f"{proxy} made no connection to {to}")
        _, talk = await self._speak(opened, proxy.address, proxy, Conversation)
        try:
            await dig(proxy, to, talk)
            return await self._change_hands(talk, to, make)
        except ProxyFailed as failed:
            talk.transport.abort()
            raise Unreachable("proxy", proxy, f"{proxy} {failed.what}", failed.cure) from failed
        except BaseException:
            talk.transport.abort()
            raise

    async def _speak(
        self, opened: socket.socket, first: Address, whom: Address | Proxy, make: Callable[[], P]
    ) -> tuple[asyncio.Transport, P]:
        """Give the socket *opened* to the protocol that *make* makes, behind TLS if *first* wants it."""
        if not first.is_tls:
            return await hand_over(self._loop, make, opened)
        still_missing(f"the TLS handshake with {whom} did not end")
        try:
            return await hand_over(self._loop, make, opened, ssl=self.context, server_hostname=_certified(first))
        except OSError as error:
            raise self._no_tls(whom, error) from error

    async def _change_hands(
        self, talk: Conversation, to: Address, make: Callable[[], P]
    ) -> tuple[asyncio.Transport, P]:
        """Give the connection of *talk* to the protocol that *make* makes."""
        protocol = make()
        transport = talk.transport
        if to.is_tls:
            still_missing(f"the TLS handshake with {to} did not end")
            try:
                secure = await self._loop.start_tls(transport, protocol, self.context, server_hostname=_certified(to))
            except OSError as error:
                raise self._no_tls(to, error) from error
            if secure is None:
                raise Unreachable("tls", to, f"{to} ended the connection in the TLS handshake")
            transport = secure
        else:
            transport.set_protocol(protocol)
        protocol.connection_made(transport)
        return transport, protocol

    def _no_tls(self, whom: Address | Proxy, error: OSError) -> Unreachable:
        """The error that says so, and what to do if the environment's authorities cannot be used."""
        is_unknown = isinstance(error, ssl.SSLCertVerificationError) and error.verify_code in authorities.UNKNOWN
        cure = authorities.cure() if is_unknown and not self._given else ""
        return Unreachable("tls", whom, f"{whom} {_tls_failed(error)}", cure)


def _is_name(host: str) -> bool:
    """Whether a host can have that name, or it is an address. A proxy is asked for it, and TLS, without a look-up here."""
    try:
        return len(host.encode("idna")) < 256
    except UnicodeError:
        return False


def _certified(to: Address) -> str:
    """The name in the certificate: without a dot at its end, an address without its zone."""
    return to.host.rstrip(".").partition("%")[0]


def _no_name(name: str, error: OSError) -> str:
    if error.errno in (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", None)):
        return f"{name} does not exist ({error.strerror})"
    if error.errno == socket.EAI_AGAIN:
        return f"{name} could not be looked up: no name server answers ({error.strerror})"
    return f"{name} could not be looked up: {error.strerror or error}"


def _numbers(error: object) -> set[int]:
    """The error numbers of *error*: with several addresses it has none of its own, and its text has one for each."""
    return {int(number) for number in _NUMBER.findall(str(error))}


def _no_connection(error: OSError | RuntimeError) -> str:
    numbers = _numbers(error)
    if errno.ECONNREFUSED in numbers:
        return "refuses: nothing listens there"
    reasons = ", ".join(sorted(os.strerror(number) for number in numbers)) or str(error)
    return f"cannot be reached: {reasons}"


def _tls_failed(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"has a certificate that is not accepted: {error.verify_message.rstrip('.')}"
    if isinstance(error, ssl.SSLError):
        return f"does not speak TLS as it should: {(error.reason or str(error)).replace('_', ' ').lower()}"
    return f"ended the connection in the TLS handshake{_reason(error)}"


def _reason(error: OSError) -> str:
    text = error.strerror or str(error)
    return f": {text}" if text else ""
