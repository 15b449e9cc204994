"""What a proxy may answer to the wish for a connection, whole or byte by byte."""

import asyncio
from typing import Any

import pytest

from connect.transport.address import Address
from connect.transport.conversation import LIMIT, Conversation, ProxyFailed
from connect.transport.proxies import parse
from connect.transport.tunnel import dig

TO = Address.of("wss://gateway.example:8289")
OK = b"HTTP/1.1 200 Connection established\r\n\r\n"


class Wire:
    """The transport of a conversation: keeps what is written."""

    def __init__(self) -> None:
        self.written = b""
        self.is_paused = False

    def write(self, data: bytes) -> None:
        self.written += data

    def pause_reading(self) -> None:
        self.is_paused = True


async def talk(proxy: str, answer: bytes, to: Address = TO, *, step: int = 0, ends: bool = True) -> Wire:
    """Have *proxy* give *answer*, in pieces of *step* bytes, and then close the connection. Returns what was written to it."""
    wire, said = Wire(), Conversation()
    said.connection_made(wire)  # type: ignore[arg-type]
    digging = asyncio.create_task(dig(parse(proxy, "HTTPS_PROXY"), to, said))
    size = step or max(1, len(answer))
    for at in range(0, len(answer), size):
        said.data_received(answer[at : at + size])
        await asyncio.sleep(0)
        if wire.is_paused or digging.done():
            break
    if ends:
        said.eof_received()
    await digging
    return wire


@pytest.mark.parametrize("step", [0, 1])
@pytest.mark.parametrize(
    "answer",
    [
        OK,
        b"HTTP/1.0 200\r\n\r\n",
        b"HTTP/1.1 200 \r\n\r\n",
        b"HTTP/1.1 200 OK\n\n",
        b"HTTP/1.1 204 Fine\r\nvia: 1.1 squid\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\nx: y\r\n\r\n" + OK,
    ],
)
async def test_a_tunnel_is_there(answer: bytes, step: int) -> None:
    wire = await talk("http://proxy:3128", answer, step=step)
    lines = wire.written.decode().split("\r\n")
    assert lines[:2] == ["CONNECT gateway.example:8289 HTTP/1.1", "host: gateway.example:8289"]
    assert [line.partition(":")[0] for line in lines[2:]] == ["user-agent", "", ""]


async def test_an_ipv6_server_is_asked_for_in_brackets_and_the_login_is_shown() -> None:
    wire = await talk("http://me:p%40ss@proxy", OK, Address.of("https://[fd00::1]"))
    assert wire.written.startswith(b"CONNECT [fd00::1]:443 HTTP/1.1\r\nhost: [fd00::1]:443\r\n")
    assert b"\r\nproxy-authorization: Basic bWU6cEBzcw==\r\n" in wire.written


REFUSALS = {
    "a password is missing": (
        b"HTTP/1.1 407 Auth\r\n\r\nbody",
        "wants a user name and a password (407 Auth): set HTTPS_PROXY to",
    ),
    "forbidden, with a page": (
        b"HTTP/1.1 403 Forbidden\r\ncontent-length: 4\r\n\r\n<p/>",
        "refuses to connect to gateway.example:8289 (403 Forbidden): ask its operator to allow it",
    ),
    "a redirect": (b"HTTP/1.1 302 Found\r\nlocation: /\r\n\r\n", "(302 Found)"),
    "no reason": (b"HTTP/1.0 502 \r\n\r\n", "(502)"),
    "a reason with control characters": (b"HTTP/1.1 503 a\x1b[2Jb\x00\r\n\r\n", "(503 a"),
    "a body": (OK + b"<p/>", "sends more than an answer"),
    "nothing": (b"", "closed the connection without an answer"),
    "half a line": (b"HTTP/1.1 2", "closed the connection without an answer"),
    "half a header": (b"HTTP/1.1 200 OK\r\nx: y", "closed the connection without an answer"),
    "no empty line": (b"HTTP/1.1 200 OK\r\nx: y\r\n", "closed the connection without an answer"),
    "SSH": (
        b"SSH-2.0-OpenSSH_9.2\r\n",
        "does not speak HTTP: check its port, and that HTTPS_PROXY is an http or https proxy",
    ),
    "HTTP/2": (b"HTTP/2 200\r\n\r\n", "does not speak HTTP"),
    "TLS": (b"\x15\x03\x03\x00\x02\x02\x0a\n", "does not speak HTTP"),
    "no number": (b"HTTP/1.1 OK\r\n\r\n", "does not speak HTTP"),
    "no end of headers": (
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * (LIMIT // 4),
        f"sends more than {LIMIT:,} bytes instead of an answer",
    ),
    "no end of a line": (b"HTTP/1.1 200 " + b"x" * 2 * LIMIT, f"sends more than {LIMIT:,} bytes"),
    "no end of interim answers": (b"HTTP/1.1 100 Go on\r\n\r\n" * (LIMIT // 8), f"sends more than {LIMIT:,} bytes"),
}


@pytest.mark.parametrize("case", REFUSALS)
async def test_a_proxy_that_makes_no_tunnel_says_why(case: str) -> None:
    answer, why = REFUSALS[case]
    for step in (0, 1 if len(answer) < 1000 else 4096)[: 1 if case == "a body" else 2]:
        with pytest.raises(ProxyFailed) as failed:
            await talk("http://proxy:3128", answer, step=step)
        assert why in str(failed.value)
        assert str(failed.value).isprintable()


async def test_no_more_is_read_than_the_bound() -> None:
    """One read beyond it at most: then the peer waits."""
    for answer in (b"x" * LIMIT, b"HTTP/1.1 200 " + b"x" * LIMIT * 9):
        wire, said = Wire(), Conversation()
        said.connection_made(wire)  # type: ignore[arg-type]
        kept = 0
        for at in range(0, len(answer), 4096):
            if not wire.is_paused:
                said.data_received(answer[at : at + 4096])
                kept += 4096
        assert kept <= LIMIT + 4096
        assert wire.is_paused == (len(answer) > LIMIT)


async def test_a_proxy_that_is_silent_is_waited_for() -> None:
    """The caller's time ends that."""
    for proxy in ("http://proxy", "socks5://proxy"):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(talk(proxy, b"", ends=False), 0.01)


ADDRESSES = {
    "wss://gateway.example": b"\x03\x0fgateway.example\x01\xbb",
    "ws://bücher.example:80": b"\x03\x15xn--bcher-kva.example\x00\x50",
    "ws://127.0.0.1:8289": b"\x01\x7f\x00\x00\x01\x20\x61",
    "ws://[fd00::1]:8289": b"\x04\xfd" + bytes(14) + b"\x01\x20\x61",
}


@pytest.mark.parametrize("step", [0, 1])
@pytest.mark.parametrize("bound", [b"\x01" + bytes(6), b"\x04" + bytes(18), b"\x03\x04host\x00\x50"])
async def test_a_socks_proxy_is_asked(bound: bytes, step: int) -> None:
    """It is told names as they are, and addresses as numbers; it may tell its own address in each form."""
    for url, address in ADDRESSES.items():
        wire = await talk("socks5://proxy", b"\x05\x00\x05\x00\x00" + bound, Address.of(url), step=step)
        assert wire.written == b"\x05\x01\x00" + b"\x05\x01\x00" + address


async def test_a_socks_proxy_is_shown_the_login_if_it_asks() -> None:
    asks, does_not = b"\x05\x02\x01\x00", b"\x05\x00"
    shown = b"\x01\x02me\x04p@ss"
    for answer in (asks, does_not):
        wire = await talk("socks5://me:p%40ss@proxy", answer + b"\x05\x00\x00\x01" + bytes(6))
        assert wire.written.startswith(b"\x05\x02\x00\x02")
        assert (shown in wire.written) == (answer == asks)


SOCKS_REFUSALS: dict[str, tuple[bytes, str]] = {
    "HTTP": (
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        "does not speak SOCKS 5: check its port, and that HTTPS_PROXY is a SOCKS 5 proxy",
    ),
    "SOCKS 4": (b"\x00\x5b" + bytes(6), "does not speak SOCKS 5"),
    "no method": (b"\x05\xff", "(SOCKS method 255)"),
    "GSSAPI": (b"\x05\x01", "(SOCKS method 1)"),
    "nothing": (b"", "closed the connection without an answer"),
    "half an answer": (b"\x05\x00\x05\x00\x00\x01\x00", "closed the connection without an answer"),
    "more than an answer": (b"\x05\x00\x05\x00\x00\x01" + bytes(7), "sends more than an answer"),
    "not allowed": (
        b"\x05\x00\x05\x02\x00\x01" + bytes(6),
        "does not allow the connection: gateway.example:8289 (SOCKS reply 2): ask",
    ),
    "refused": (b"\x05\x00\x05\x05\x00\x01" + bytes(6), "says that the server refuses the connection"),
    "an unknown reply": (b"\x05\x00\x05\x63\x00\x01" + bytes(6), "answers with error 99"),
}


@pytest.mark.parametrize("case", SOCKS_REFUSALS)
async def test_a_socks_proxy_that_makes_no_connection_says_why(case: str) -> None:
    answer, why = SOCKS_REFUSALS[case]
    with pytest.raises(ProxyFailed) as failed:
        await talk("socks5://proxy", answer)
    assert why in str(failed.value)


@pytest.mark.parametrize(
    ("login", "answer", "why"),
    [
        ("", b"\x05\x02", "wants a user name and a password (SOCKS method 2): set HTTPS_PROXY"),
        (
            "me:zzyzx@",
            b"\x05\x02\x01\x01",
            "does not accept the user name and password (SOCKS): correct them in HTTPS_PROXY",
        ),
        ("me:zzyzx@", b"\x05\xff", "does not accept the user name and password (SOCKS method 255)"),
        (
            f"{'m' * 256}:zzyzx@",
            b"\x05\x02",
            "takes no user name or password of more than 255 bytes: correct them in HTTPS_PROXY",
        ),
        ("me:" + "ä" * 128 + "@", b"\x05\x02", "takes no user name or password of more than 255 bytes"),
    ],
)
async def test_a_login_that_a_socks_proxy_does_not_take(login: str, answer: bytes, why: str) -> None:
    with pytest.raises(ProxyFailed) as failed:
        await talk(f"socks5://{login}proxy", answer)
    assert why in str(failed.value)
    assert "zzyzx" not in str(failed.value)


async def failure(address: str, answer: bytes) -> ProxyFailed:
    with pytest.raises(ProxyFailed) as failed:
        await talk(address, answer)
    return failed.value


@pytest.mark.parametrize("status", [403, 404, 407, 429, 500, 502, 503, 504])
async def test_a_proxy_that_cannot_reach_the_server_says_so_with_its_status(status: int) -> None:
    failed = await failure("http://proxy:3128", f"HTTP/1.1 {status} What\r\n\r\n".encode())
    assert failed.absent is (status in (502, 503, 504))
    assert failed.retry_after is None


@pytest.mark.parametrize("reply", range(1, 10))
async def test_a_socks_proxy_that_cannot_reach_the_server_says_so_with_its_reply(reply: int) -> None:
    failed = await failure("socks5://proxy", b"\x05\x00\x05" + bytes([reply]) + b"\x00\x01" + bytes(6))
    assert failed.absent is (reply in (3, 4, 5, 6))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ("retry-after: 7", 7.0),
        ("RETRY-AFTER:7", 7.0),
        ("x: y\r\nRetry-After : 0\r\nz:", 0.0),
        ("Date: Fri, 27 Nov 2026 12:00:00 GMT\r\nretry-after: Fri, 27 Nov 2026 12:00:09 GMT", 9.0),
        ("Retry-After: soon", None),
        ("nonsense", None),
    ],
)
async def test_a_proxy_says_how_long_to_wait(headers: str, seconds: float | None) -> None:
    failed = await failure("http://proxy:3128", f"HTTP/1.1 429 Slow down\r\n{headers}\r\n\r\n".encode())
    assert failed.retry_after == seconds


def test_each_socks_reply_has_words() -> None:
    for reply in range(1, 9):
        answer: Any = b"\x05\x00\x05" + bytes([reply]) + b"\x00\x01" + bytes(6)
        with pytest.raises(ProxyFailed, match=rf"^(says that|does not) .*gateway.example:8289 \(SOCKS reply {reply}\)"):
            asyncio.run(talk("socks5://proxy", answer))
