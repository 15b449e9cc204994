"""The way to a server: its addresses, and TLS; and what is said when it ends on the way."""

import asyncio
import shutil
import socket
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohappyeyeballs
import pytest

from connect.errors import ConfigurationError
from connect.transport.address import Address
from connect.transport.progress import Progress
from connect.transport.proxies import Proxies, parse
from connect.transport.route import Route, Unreachable
from tests.field.proxy_kit import CERTIFICATES, client_tls, listening, proxy, server_tls


@pytest.fixture
def no_proxies() -> Proxies:
    return Proxies.of(False)


async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A server that says hello."""
    writer.write(b"hello")
    await reader.read()


class Hears(asyncio.Protocol):
    """Knows what came."""

    def __init__(self) -> None:
        self.came: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        self.came.set_result(data)


async def heard(route: Route, to: Address, through: str = "") -> bytes:
    """What the server at *to* says first."""
    transport, protocol = await route.open(to, parse(through, "HTTPS_PROXY") if through else None, Hears)
    try:
        async with asyncio.timeout(5):
            return await protocol.came
    finally:
        transport.abort()


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[tuple[str, int]]]:
    """What look-ups find: addresses with their ports, by name."""
    known: dict[str, list[tuple[str, int]]] = {}

    def look_up(host: str, *_: Any, **__: Any) -> Any:
        return [
            (
                socket.AF_INET6 if ":" in found else socket.AF_INET,
                socket.SOCK_STREAM,
                6,
                "",
                (found, port, *[0, 0][: 2 * (":" in found)]),
            )
            for found, port in known[host]
        ]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return known


@pytest.fixture
def silent() -> Iterator[tuple[str, int]]:
    """A port that answers nobody: the queue of its connections is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        address = server.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(address)
        yield address
        for each in waiting:
            each.close()


async def test_a_dead_address_delays_a_living_one_by_no_more_than_a_moment(
    names: Any, silent: tuple[str, int], no_proxies: Proxies
) -> None:
    began = asyncio.get_running_loop().time()
    async with listening(talk) as port:
        names["a.example"] = [silent, ("127.0.0.1", port)]
        assert await heard(Route(no_proxies), Address("http", "a.example", 80)) == b"hello"
    assert asyncio.get_running_loop().time() - began < 3


@pytest.mark.parametrize("dead", [[], ["::1", "127.0.0.9"], ["127.0.0.9", "127.0.0.10"]])
async def test_addresses_that_refuse_are_passed_over(names: Any, no_proxies: Proxies, dead: list[str]) -> None:
    async with listening(talk) as port:
        names["a.example"] = [*((each, port) for each in dead), ("127.0.0.1", port)]
        assert await heard(Route(no_proxies), Address("http", "a.example", 80)) == b"hello"


async def test_a_name_with_an_ipv6_address_alone(names: Any, no_proxies: Proxies) -> None:
    if not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    async with listening(talk, host="::1") as port:
        names["a.example"] = [("::1", port)]
        assert await heard(Route(no_proxies), Address("http", "a.example", 80)) == b"hello"


async def test_a_server_whose_certificate_is_not_accepted_is_passed_over(names: Any, no_proxies: Proxies) -> None:
    """Behind one name there may be several."""
    async with listening(talk, server_tls("expired")) as bad, listening(talk, server_tls()) as good:
        names["127.0.0.1."] = [("127.0.0.1", bad), ("127.0.0.1", good)]
        assert await heard(Route(no_proxies, client_tls()), Address("https", "127.0.0.1.", 443)) == b"hello"
        names["127.0.0.1."] = [("127.0.0.1", bad)]
        with pytest.raises(Unreachable, match="has a certificate that is not accepted: certificate has expired"):
            await heard(Route(no_proxies, client_tls()), Address("https", "127.0.0.1.", 443))


async def test_a_server_that_was_reached_is_told_of_before_an_address_where_nothing_listens(
    names: Any, no_proxies: Proxies
) -> None:
    """To reach it costs it something: it must not be tried as often as a closed port."""
    async with listening(talk) as closed:
        pass
    async with listening(talk, server_tls("expired")) as bad:
        names["127.0.0.1."] = [("127.0.0.1", bad), ("127.0.0.1", closed)]
        with pytest.raises(Unreachable, match="has a certificate that is not accepted") as caught:
            await heard(Route(no_proxies, client_tls()), Address("https", "127.0.0.1.", 443))
    assert caught.value.reached


@pytest.mark.parametrize("kind", ["http", "https", "socks5"])
@pytest.mark.parametrize("by", ["SSL_CERT_FILE", "SSL_CERT_DIR", "ssl"])
async def test_an_authority_of_ones_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, no_proxies: Proxies, by: str, kind: str
) -> None:
    """It counts for the server in a tunnel, and for a proxy behind TLS."""
    authority = CERTIFICATES / "authority.pem"
    if by == "SSL_CERT_FILE":
        monkeypatch.setenv(by, str(authority))
    elif by == "SSL_CERT_DIR":
        monkeypatch.setenv(by, f"/nothing:{_folder(tmp_path, authority)}")
    async with listening(talk, server_tls()) as port, proxy(kind) as through:
        to = Address("https", "127.0.0.1", port)
        route = Route(no_proxies, client_tls() if by == "ssl" else None)
        assert await heard(route, to, f"{kind}://{through.address}") == b"hello"
        assert await heard(route, to) == b"hello"


def _folder(folder: Path, authority: Path) -> Path:
    """A folder as SSL_CERT_DIR has it: a file's name is a hash of its certificate's subject."""
    openssl = shutil.which("openssl") or pytest.skip("there is no openssl to hash a certificate's name")
    named = subprocess.run(  # noqa: S603
        [openssl, "x509", "-hash", "-noout", "-in", authority], check=True, capture_output=True, text=True
    )
    shutil.copy(authority, folder / f"{named.stdout.strip()}.0")
    return folder


@pytest.mark.parametrize(
    ("variable", "value", "flaw"),
    [
        (
            "SSL_CERT_FILE",
            "{}/none.pem",
            r"SSL_CERT_FILE, which names a file that cannot be read \(No such file or directory\)",
        ),
        ("SSL_CERT_FILE", "{}", r"SSL_CERT_FILE, which names a file that cannot be read \(Is a directory\)"),
        ("SSL_CERT_FILE", "{}/text.pem", "SSL_CERT_FILE, which names a file that has no certificates"),
        ("SSL_CERT_DIR", "{}/none:{}/text.pem", "SSL_CERT_DIR, which names no folder that is there"),
        ("SSL_CERT_DIR", "{}", "not accepted: unable to get local issuer certificate"),
        ("SSL_CERT_FILE", "", "not accepted: unable to get local issuer certificate"),
    ],
)
async def test_a_variable_that_names_no_authority_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, no_proxies: Proxies, variable: str, value: str, flaw: str
) -> None:
    """OpenSSL takes it for a file without certificates, and trusts nobody."""
    (tmp_path / "text.pem").write_text("no certificate")
    monkeypatch.setenv(variable, value.replace("{}", str(tmp_path)))
    async with listening(talk, server_tls()) as port:
        with pytest.raises(Unreachable, match=f"{flaw}$"):
            await heard(Route(no_proxies), Address("https", "127.0.0.1", port))


async def test_with_a_context_of_ones_own_no_variable_is_blamed(
    monkeypatch: pytest.MonkeyPatch, no_proxies: Proxies
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nothing")
    async with listening(talk, server_tls("self-signed")) as port:
        with pytest.raises(Unreachable, match=r"not accepted: self-signed certificate$"):
            await heard(Route(no_proxies, client_tls()), Address("https", "127.0.0.1", port))


@pytest.mark.parametrize("kind", ["http", "socks5"])
@pytest.mark.parametrize("host", ["a" * 64 + ".example", "a." * 128, ".example", "a..example", "."])
async def test_what_no_host_can_be_named_is_asked_of_no_proxy(no_proxies: Proxies, kind: str, host: str) -> None:
    """An API may grant a gateway of any name."""
    async with proxy(kind) as through:
        for scheme in ("ws", "wss"):
            with pytest.raises(Unreachable, match=r"is none that a host can have$") as failed:
                await heard(Route(no_proxies), Address(scheme, host, 443), f"{kind}://{through.address}")
            assert failed.value.stage == "name"
        assert through.asked == []


def reset() -> socket.socket:
    """A connection whose peer has reset it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        sock = socket.create_connection(server.getsockname())
        peer, _ = server.accept()
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
    sock.setblocking(False)
    return sock


@pytest.mark.parametrize("through", ["", "http://127.0.0.1:2", "socks5://127.0.0.1:2"])
async def test_a_connection_that_ends_at_once_is_said_to(
    monkeypatch: pytest.MonkeyPatch, no_proxies: Proxies, through: str
) -> None:
    """The system knows its peer no more. A load balancer without a server behind it does this."""
    sock = reset()

    async def start(*_: Any, **__: Any) -> socket.socket:
        return sock

    monkeypatch.setattr(aiohappyeyeballs, "start_connection", start)
    whom = r"the proxy 127.0.0.1:2 \(HTTPS_PROXY\)" if through else "127.0.0.1:1"
    with pytest.raises(Unreachable, match=f"^{whom} ended the connection at once$"):
        await heard(Route(no_proxies), Address("wss", "127.0.0.1", 1), through)
    assert sock.fileno() == -1


async def test_an_error_that_only_uvloop_raises_is_one_of_the_network(
    monkeypatch: pytest.MonkeyPatch, no_proxies: Proxies
) -> None:
    async def start(*_: Any, **__: Any) -> socket.socket:
        raise RuntimeError("File descriptor 59 is used by transport")

    monkeypatch.setattr(aiohappyeyeballs, "start_connection", start)
    with pytest.raises(Unreachable, match=r"^127.0.0.1:1 cannot be reached: File descriptor 59 is used by transport$"):
        await heard(Route(no_proxies), Address("wss", "127.0.0.1", 1))


async def test_what_is_missing_is_known_at_each_stage(names: Any, silent: tuple[str, int], no_proxies: Proxies) -> None:
    """For the error, if time is over then."""

    async def hang(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    names["a.example"] = [silent]
    async with listening(hang) as port, proxy() as through:
        hung, deaf = f"127.0.0.1:{port}", "{}:{}".format(*silent)
        stages = [
            (Address("wss", "a.example", 1), "", "no connection to a.example:1 could be made"),
            (
                Address("wss", *silent),
                f"http://{deaf}",
                f"no connection to the proxy {deaf} (HTTPS_PROXY) could be made",
            ),
            (Address("wss", "127.0.0.1", port), "", f"the TLS handshake with {hung} did not end"),
            (
                Address("wss", "b", 1),
                f"https://{hung}",
                f"the TLS handshake with the proxy {hung} (HTTPS_PROXY) did not end",
            ),
            (Address("wss", "b", 1), f"http://{hung}", f"the proxy {hung} (HTTPS_PROXY) made no connection to b:1"),
            (Address("wss", "b", 1), f"socks5://{hung}", f"the proxy {hung} (HTTPS_PROXY) made no connection to b:1"),
            (
                Address("wss", "127.0.0.1", port),
                f"http://{through.address}",
                f"the TLS handshake with {hung} did not end",
            ),
        ]
        for to, by, missing in stages:
            progress = Progress()
            progress.begin()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await heard(Route(no_proxies), to, by)
            assert progress.late(10) == f"{missing} within 10 s"


def test_a_variable_is_looked_at_when_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that no address uses may say anything."""
    monkeypatch.setenv("https_proxy", "ftp://me:zzyzx@proxy")
    monkeypatch.setenv("http_proxy", "proxy:1")
    monkeypatch.delenv("no_proxy", raising=False)
    proxies = Proxies.of_environment()
    assert proxies.find("http://a.example")
    with pytest.raises(ConfigurationError, match=r"^https_proxy names a proxy of a kind"):
        proxies.find("https://a.example")
    assert "zzyzx" in {each.reveal() for each in proxies.secrets}
