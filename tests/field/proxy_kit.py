"""A proxy for tests, as strict as those of companies: HTTP or SOCKS 5, with TLS and with a password if a test likes."""

import asyncio
import base64
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

CERTIFICATES = Path(__file__).parents[1] / "doctor" / "certificates"

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def server_tls(name: str = "good") -> ssl.SSLContext:
    """The TLS of a server at 127.0.0.1."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / f"{name}.pem")
    return context


def client_tls() -> ssl.SSLContext:
    """It trusts the servers and proxies of these tests, and none else."""
    return ssl.create_default_context(cafile=str(CERTIFICATES / "authority.pem"))


@dataclass
class Proxy:
    """What a proxy was asked: the first line and the headers of each request, or the SOCKS address."""

    port: int = 0
    login: str = ""
    to: tuple[str, int] | None = None
    """Where it connects, whatever it is asked for: tests have no names of their own."""
    asked: list[str] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """CONNECT, and whole requests for http addresses; 400 for others, as Squid answers to `GET ws://`."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        line = head.partition("\r\n")[0]
        method, target, _ = line.split()
        self.asked.append(f"{method} {target}")
        self.heads.append(head)
        expected = "Basic " + base64.b64encode(self.login.encode()).decode()
        if self.login and f"proxy-authorization: {expected}\r\n" not in head:
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")
        elif method == "CONNECT":
            host, _, port = target.rpartition(":")
            await self._join(
                reader, writer, host.strip("[]"), int(port), b"HTTP/1.1 200 Connection established\r\n\r\n"
            )
        elif target.startswith("http://"):
            host, _, port = target.split("/")[2].partition(":")
            path = "/" + "/".join(target.split("/")[3:])
            await self._join(reader, writer, host, int(port or 80), b"", head.replace(target, path, 1).encode())
        else:
            writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")

    async def socks(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """SOCKS 5: CONNECT to a name or an address, with a user and a password if it has a login."""
        _, count = await reader.readexactly(2)
        methods = await reader.readexactly(count)
        method = 2 if self.login else 0
        if method not in methods:
            writer.write(b"\x05\xff")
            return
        writer.write(bytes([5, method]))
        if method:
            user = await reader.readexactly((await reader.readexactly(2))[1])
            password = await reader.readexactly((await reader.readexactly(1))[0])
            known = f"{user.decode()}:{password.decode()}" == self.login
            writer.write(bytes([1, not known]))
            if not known:
                return
        kind = (await reader.readexactly(4))[3]
        length = {1: 4, 4: 16}.get(kind) or (await reader.readexactly(1))[0]
        host = await reader.readexactly(length)
        port = int.from_bytes(await reader.readexactly(2), "big")
        name = host.decode() if kind == 3 else ".".join(map(str, host))
        self.asked.append(f"{'name' if kind == 3 else 'address'} {name}:{port}")
        await self._join(reader, writer, name, port, b"\x05\x00\x00\x01" + bytes(6))

    async def _join(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        host: str,
        port: int,
        say: bytes,
        first: bytes = b"",
    ) -> None:
        there, back = await asyncio.open_connection(*(self.to or (host, port)))
        writer.write(say)
        back.write(first)
        try:
            await asyncio.gather(_copy(reader, back), _copy(there, writer))
        finally:
            back.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
    writer.close()


@asynccontextmanager
async def listening(talk: Talk, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> AsyncIterator[int]:
    """A port at which each connection is given to *talk*, and closed after it."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        tasks.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await talk(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(serve, host, 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def proxy(kind: str = "http", login: str = "", to: tuple[str, int] | None = None) -> AsyncIterator[Proxy]:
    """A proxy of the *kind* http, https or socks5."""
    made = Proxy(login=login, to=to)
    talk = made.socks if kind == "socks5" else made.http
    async with listening(talk, server_tls() if kind == "https" else None) as made.port:
        yield made
