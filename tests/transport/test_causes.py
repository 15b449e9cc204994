"""Why an attempt failed, as far as the wait goes: how a server, a name, a network or a proxy fails, each on real sockets."""

import asyncio
import errno
import os
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import aiohttp
import pytest

from connect.backoff import Cause
from connect.errors import ConnectError
from connect.transport.api import Api
from connect.transport.channel import ending
from connect.transport.connecting import Connecting
from connect.transport.network import internet
from connect.transport.proxies import Proxies
from tests.field.proxy_kit import client_tls, listening, server_tls
from tests.transport.api_kit import PRIMARY, ring

TIMEOUT = 0.3
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def failure(
    what: str,
    port: int,
    *,
    scheme: str = "http",
    host: str = "127.0.0.1",
    proxy: Any = False,
    patience: float = TIMEOUT,
) -> ConnectError:
    """The error of a request or of a WebSocket to that port."""
    api = partial(Api, origin=f"{scheme}://{host}:{port}", env=None, keyring=ring(PRIMARY), timeout=patience)
    url = f"{scheme.replace('http', 'ws')}://{host}:{port}/v0/connect"
    async with internet(api, Proxies.of(proxy), client_tls()) as network:
        ask = {
            "start": lambda: network.start(()),
            "flush": lambda: network.flush(b""),
            "socket": lambda: network.open(url),
        }
        with pytest.raises(ConnectError) as caught:
            await ask[what]()
    return caught.value


def says(answer: bytes) -> Talk:
    """Answers each request so."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()

    return talk


async def greets(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(status(400))


async def says_nothing(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


async def closes(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def resets(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """As the proxy of Docker does for a container that does not listen yet."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def resets_later(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    await resets(reader, writer)


def status(code: int, *headers: str, body: bytes = b"") -> bytes:
    lines = [f"HTTP/1.1 {code} What", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


@asynccontextmanager
async def black_hole() -> AsyncIterator[int]:
    """A port that answers no SYN: its queue is full."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        held = [socket.socket() for _ in range(3)]
        for each in held:
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        await asyncio.sleep(0)
        try:
            yield full.getsockname()[1]
        finally:
            for each in held:
                each.close()


def closed_port() -> int:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return int(made.getsockname()[1])


# -- no server is reached ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["start", "flush", "socket"])
async def test_nothing_listens(what: str) -> None:
    for host in ("127.0.0.1", "[::1]", "localhost"):
        assert Cause.of(await failure(what, closed_port(), host=host)) is Cause.ABSENT
    assert Cause.of(await failure(what, closed_port(), scheme="https")) is Cause.ABSENT


async def test_no_answer_to_the_first_packet() -> None:
    async with black_hole() as port:
        assert Cause.of(await failure("start", port)) is Cause.ABSENT


@pytest.mark.parametrize("what", ["start", "socket"])
@pytest.mark.parametrize(
    "number", [errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EHOSTDOWN, errno.ENETDOWN, errno.ETIMEDOUT]
)
async def test_no_way_to_the_server(what: str, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Connecting, "sock_connect", fail)
    assert Cause.of(await failure(what, 1)) is Cause.ABSENT


@pytest.mark.parametrize("what", ["start", "socket"])
@pytest.mark.parametrize("number", [socket.EAI_NONAME, socket.EAI_AGAIN, socket.EAI_FAIL, socket.EAI_SYSTEM])
async def test_no_address_of_the_name(what: str, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(number, "no")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    assert Cause.of(await failure(what, 1, host="api.example")) is Cause.ABSENT


@pytest.mark.parametrize("dead", ["127.0.0.9", "::1", "black hole"])
async def test_one_dead_address_of_two_is_no_failure(dead: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever family it has, and wherever it stands: what counts is the answer of the other one."""
    async with listening(says(status(500))) as port, black_hole() as hole:
        living = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))
        six = (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", port, 0, 0))
        four = (
            socket.AF_INET,
            socket.SOCK_STREAM,
            6,
            "",
            ("127.0.0.1", hole) if dead == "black hole" else (dead, port),
        )
        other = six if dead == "::1" else four
        for found in ([living, other], [other, living]):
            monkeypatch.setattr(socket, "getaddrinfo", lambda *_, found=found, **__: found)
            error = await failure("flush", port, host="api.example", patience=10.0)
            assert "status 500" in str(error)


# -- a server is there, but does not serve -------------------------------------------------------------------------------------

PAGE = b"<html>This domain is for sale</html>"


@pytest.mark.parametrize(
    "talk", [closes, resets, resets_later, says(b"SSH-2.0-OpenSSH_9.2\r\n"), says(b"HTTP/1.1 200 OK\r\nx")]
)
@pytest.mark.parametrize("what", ["start", "flush", "socket"])
async def test_no_answer_or_nonsense(what: str, talk: Talk) -> None:
    async with listening(talk) as port:
        assert Cause.of(await failure(what, port)) is Cause.AILING


@pytest.mark.parametrize("code", [200, 204, 302, 308, 400, 401, 403, 404, 408, 421, 425, 500, 502, 503, 504, 520])
async def test_a_status_of_no_help(code: int) -> None:
    async with listening(says(status(code, "Location: http://elsewhere.example/", body=PAGE))) as port:
        assert Cause.of(await failure("start", port)) is Cause.AILING
        assert Cause.of(await failure("socket", port)) is Cause.AILING


async def test_silence() -> None:
    async with listening(says_nothing) as port:
        assert Cause.of(await failure("start", port)) is Cause.AILING


async def test_tls_fails() -> None:
    async with (
        listening(greets) as plain,
        listening(says(status(200)), server_tls()) as secure,
        listening(says(status(200)), server_tls("expired")) as expired,
    ):
        for port, scheme in ((plain, "https"), (secure, "http"), (expired, "https")):
            for what in ("start", "socket"):
                assert Cause.of(await failure(what, port, scheme=scheme)) is Cause.AILING


@pytest.mark.parametrize(
    ("code", "reason", "cause"),
    [
        (1001, "connect_gateway_closing", Cause.DRAINING),
        (1008, "connect_too_many_apps_per_connection", Cause.LIMIT),
        (1008, "connect_authentication_failed", Cause.AILING),
        (1008, "connect_worker_hello_invalid_msg", Cause.AILING),
        (1008, "connect_worker_hello_invalid_payload", Cause.AILING),
        (1008, "connect_worker_hello_timeout", Cause.AILING),
        (1008, "", Cause.AILING),
        (1009, "read limited at 8388609 bytes", Cause.AILING),
        (1011, "connect_internal_error", Cause.AILING),
        (1012, "service restart", Cause.AILING),
        (1013, "try again later", Cause.AILING),
    ],
)
def test_a_close_frame(code: int, reason: str, cause: Cause) -> None:
    """The reasons of PROTOCOL.md §2.1, and others of RFC 6455."""
    assert Cause.of(ending(aiohttp.WSMessage(aiohttp.WSMsgType.CLOSE, code, reason))) is cause


# -- how long to wait ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [301, 401, 403, 408, 425, 429, 500, 502, 503, 504])
async def test_what_a_server_asks_for(code: int) -> None:
    """In each answer of the API, and of a WebSocket's upgrade."""
    for said, cause in (("7", Cause.TOLD), ("0", Cause.AILING)):
        async with listening(says(status(code, f"Retry-After: {said}"))) as port:
            for what in ("start", "flush", "socket"):
                error = await failure(what, port)
                assert (Cause.of(error), error.retry_after) == (cause, float(said))


async def test_a_limit_that_does_not_say_how_long() -> None:
    async with listening(says(status(429))) as port:
        assert Cause.of(await failure("start", port)) is Cause.LIMIT
        assert Cause.of(await failure("flush", port)) is Cause.AILING
        assert Cause.of(await failure("socket", port)) is Cause.AILING


# -- through a proxy -----------------------------------------------------------------------------------------------------------

PROXIES: list[tuple[Talk, Cause]] = [
    *((says(status(code)), Cause.ABSENT) for code in (502, 503, 504)),
    *((says(status(code)), Cause.AILING) for code in (403, 407, 429, 500)),
    *((says(status(code, "Retry-After: 7")), Cause.TOLD) for code in (407, 429, 503)),
    (says(status(503, "Retry-After: 0")), Cause.AILING),
    (closes, Cause.AILING),
    (says(b"SSH-2.0-OpenSSH_9.2\r\n"), Cause.AILING),
]


@pytest.mark.parametrize(("talk", "cause"), PROXIES)
async def test_what_a_proxy_answers(talk: Talk, cause: Cause) -> None:
    async with listening(talk) as port:
        for what, scheme in (("start", "https"), ("flush", "https"), ("socket", "http")):
            error = await failure(what, 443, scheme=scheme, host="api.example", proxy=f"http://127.0.0.1:{port}")
            assert Cause.of(error) is cause


async def test_a_proxy_that_is_away_or_silent() -> None:
    for proxy in (f"http://127.0.0.1:{closed_port()}", f"socks5://127.0.0.1:{closed_port()}"):
        assert Cause.of(await failure("start", 443, scheme="https", host="api.example", proxy=proxy)) is Cause.ABSENT
    async with listening(says_nothing) as port:
        proxy = f"http://127.0.0.1:{port}"
        assert Cause.of(await failure("start", 443, scheme="https", host="api.example", proxy=proxy)) is Cause.AILING
