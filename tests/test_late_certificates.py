"""aiohttp's own TLS contexts: they read no certificates for a worker, and are as they would be for user code."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from connect.late_certificates import LateContext, read_late
from tests.field.proxy_kit import CERTIFICATES, listening, server_tls


async def says_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")


def late() -> ssl.SSLContext:
    with read_late():
        context = ssl.create_default_context()
    assert type(context) is LateContext
    return context


async def status(context: ssl.SSLContext, port: int) -> int:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"https://127.0.0.1:{port}", ssl=context) as answer,
    ):
        return answer.status


async def test_a_session_of_user_code_trusts_what_it_would_have_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATES / "authority.pem"))
    async with listening(says_nothing, server_tls()) as port:
        context = late()
        assert await status(context, port) == 204
        assert type(context) is ssl.SSLContext
        assert await status(context, port) == 204


@pytest.mark.parametrize("certificate", ["good", "self-signed", "expired"])
async def test_it_verifies(monkeypatch: pytest.MonkeyPatch, certificate: str) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    async with listening(says_nothing, server_tls(certificate)) as port:
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await status(late(), port)


@pytest.mark.parametrize(
    "use",
    [
        lambda context: context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="host"),
        lambda context: context.wrap_socket(socket.socket(), server_hostname="host").close(),
        lambda context: context.get_ca_certs(),
        lambda context: context.cert_store_stats(),
    ],
    ids=["wrap_bio", "wrap_socket", "get_ca_certs", "cert_store_stats"],
)
def test_the_first_use_reads(monkeypatch: pytest.MonkeyPatch, use: Callable[[ssl.SSLContext], Any]) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATES / "authority.pem"))
    context = late()
    use(context)
    assert type(context) is ssl.SSLContext
    assert context.cert_store_stats()["x509_ca"] == 1


def test_only_this_thread_and_only_meanwhile() -> None:
    made: list[ssl.SSLContext] = []
    with read_late():
        other = threading.Thread(target=lambda: made.append(ssl.create_default_context()))
        other.start()
        other.join()
    made.append(ssl.create_default_context())
    assert [type(each) for each in made] == [ssl.SSLContext, ssl.SSLContext]


def test_contexts_that_another_library_has_replaced_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """As truststore does it, and gevent: by a class of its own, or by methods of its own."""
    read: list[ssl.SSLContext] = []

    class Theirs(ssl.SSLContext):
        pass

    with read_late():
        assert type(Theirs(ssl.PROTOCOL_TLS_CLIENT)) is Theirs
        context = Theirs(ssl.PROTOCOL_TLS_CLIENT)
        context.set_default_verify_paths()
    assert type(context) is Theirs
    monkeypatch.setattr(ssl.SSLContext, "set_default_verify_paths", lambda self: read.append(self), raising=False)
    with read_late():
        context = ssl.create_default_context()
    assert read == [context]


def test_a_call_that_another_threads_first_use_overtakes_is_made_all_the_same() -> None:
    context = late()
    call = context.wrap_bio
    context.cert_store_stats()
    assert call(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="host")
