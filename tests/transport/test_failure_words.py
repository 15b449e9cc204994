"""What is said of a connection that fails: plain words, whoever says it, and nothing of aiohttp's or Python's own form.

Each case is a real server on this machine. The worker's two ways out meet it, and the doctor.
"""

import asyncio
import contextlib
import re
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final, NamedTuple

import aiohttp
import pytest

from connect.doctor import CHECKS, Arguments, Examination, Mark
from connect.errors import ConnectError
from connect.secrets import Keyring
from connect.transport.api import Api
from connect.transport.failures import why
from connect.transport.websocket import open_session, open_socket, why_not_open

CERTIFICATES = Path(__file__).parents[1] / "doctor" / "certificates"
RAW: Final = re.compile(
    r"\[Errno|ssl:|\[None\]|Cannot connect to host|message=|url=|RawResponse|Error[(:]|b'|_ssl\.c|: *$|\n"
)
CLOSED = "the server closed the connection without an answer"
RESET = "Connection reset by peer"
IN_TLS = "ended the connection in the TLS handshake"


class Case(NamedTuple):
    """What the server sends once it has read something, or at once; and what is said of it. A certificate: it speaks TLS."""

    said: str
    sends: bytes = b""
    resets: bool = False
    reads: bool = True
    asked: str = "http"
    certificate: str = ""


def http(rest: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\n" + rest


CASES = {
    "closed at once": Case(f"{CLOSED}|{RESET}", reads=False),
    "closed": Case(CLOSED),
    "reset at once": Case(f"{RESET}|{CLOSED}", resets=True, reads=False),
    "reset": Case(RESET, resets=True),
    "another protocol": Case(r"no valid HTTP \(bad status line\)", b"SSH-2.0-OpenSSH\r\n"),
    "half a header": Case(CLOSED, http(b"content")),
    "a header without a colon": Case("no valid HTTP", http(b"bad header\r\n\r\n")),
    "a header too long": Case("no valid HTTP", http(b"x: " + b"y" * 20_000 + b"\r\n\r\n")),
    "a chunk that is none": Case("no valid HTTP", http(b"transfer-encoding: chunked\r\n\r\nzz\r\n")),
    "half an answer": Case("in the middle of the answer|status 200", http(b"content-length: 9\r\n\r\nx")),
    "half an answer, reset": Case("in the middle of the answer|status 200", http(b"content-length: 9\r\n\r\nx"), True),
    "no WebSocket": Case("status 101|does not open a WebSocket", b"HTTP/1.1 101 Switching\r\n\r\n"),
    "TLS asked plainly": Case(CLOSED, certificate="good"),
    "TLS asked plainly, with an alert": Case("speaks TLS: write https or wss", b"\x15\x03\x01\x00\x02\x02\x46"),
    "plain asked by TLS": Case("does not speak TLS as it should", b"HTTP/1.1 400 Bad\r\n\r\n", asked="https"),
    "closed in the handshake": Case(IN_TLS, asked="https"),
    "closed before the handshake": Case(IN_TLS, asked="https", reads=False),
    "reset in the handshake": Case(IN_TLS, resets=True, asked="https"),
    "expired": Case("certificate has expired", asked="https", certificate="expired"),
    "of the future": Case("certificate is not yet valid", asked="https", certificate="future"),
    "of another host": Case("not valid for '127.0.0.1'", asked="https", certificate="other-host"),
    "self-signed": Case("self-signed certificate", asked="https", certificate="self-signed"),
}


@contextlib.asynccontextmanager
async def served(case: Case) -> AsyncIterator[str]:
    """The address of a server that behaves so."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            if case.reads:
                await reader.read(10)
            writer.write(case.sends)
            await writer.drain()
        if case.resets:
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()
        writer.close()

    context = None
    if case.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTIFICATES / f"{case.certificate}.pem")
    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as server:
        yield f"{case.asked}://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATES / "authority.pem"))
    monkeypatch.setenv("INNGEST_DEV", "1")


@pytest.mark.parametrize("name", CASES)
async def test_it_is_said_in_plain_words(name: str) -> None:
    case = CASES[name]
    async with served(case) as url, open_session() as session:
        for say in (of_the_api, of_the_gateway):
            text = await say(session, url)
            assert re.search(case.said, text), text
            assert not RAW.search(text), text
        text = await of_the_doctor(url)
        assert not RAW.search(text), text


@pytest.mark.parametrize("url", ["http://127.0.0.1:{}", "https://127.0.0.1:{}", "http://nowhere.invalid:{}"])
async def test_where_nothing_is_it_is_said_too(url: str) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = url.format(closed.getsockname()[1])
        async with open_session() as session:
            for text in (await of_the_api(session, url), await of_the_gateway(session, url), await of_the_doctor(url)):
                assert re.search("refuses: nothing listens there|name nowhere.invalid|does not resolve", text), text
                assert not RAW.search(text), text


async def of_the_api(session: aiohttp.ClientSession, url: str) -> str:
    with pytest.raises(ConnectError) as failed:
        await Api(session, url, None, Keyring(None), 5.0).start(())
    return str(failed.value)


async def of_the_gateway(session: aiohttp.ClientSession, url: str) -> str:
    url = url.replace("http", "ws", 1) + "/v0/connect"
    with pytest.raises((aiohttp.ClientError, OSError)) as failed:
        await open_socket(session, url)
    return why_not_open(url, failed.value)


async def of_the_doctor(url: str) -> str:
    async with Examination(Arguments(api_base_url=url)) as examination:
        for check in CHECKS:
            finding = await examination.check(check)
            if finding.mark is Mark.WRONG:
                assert finding.next, finding
                return f"{finding.found} -> {finding.next}"
    raise AssertionError("the doctor has found nothing wrong")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (aiohttp.ClientConnectionResetError("Cannot write to closing transport"), "the connection was closed"),
        (ConnectionResetError(), "the connection was closed"),
        (OSError(113, "No route to host"), "No route to host"),
        (RuntimeError("words"), "words"),
        (RuntimeError(), "RuntimeError"),
    ],
)
def test_errors_of_a_link(error: Exception, said: str) -> None:
    assert why(error) == said
