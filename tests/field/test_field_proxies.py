"""Proxies as companies have them: strict, with TLS, with passwords; and those that refuse, hang or send nonsense."""

import asyncio
import logging
import os
import sys
import traceback
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import inngest
import pytest

from connect import ConfigurationError, Deadlines, connect, events
from connect.doctor import CHECKS, Arguments, Examination
from connect.gateway import Gateway
from connect.transport.conversation import LIMIT
from tests.field.proxy_kit import CERTIFICATES, Proxy, client_tls, listening, proxy, server_tls

LOGIN = "me:zzyzx@1:2"
ESCAPED = "me:zzyzx%401%3A2"


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment that names no proxy; a test sets what it needs."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    return monkeypatch


@pytest.fixture
async def secure(gw: Gateway) -> AsyncIterator[int]:
    """The port of the gateway and API behind TLS."""
    through = Proxy(to=("127.0.0.1", gw.port))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await through._join(reader, writer, "", 0, b"")

    async with listening(serve, server_tls()) as port:
        yield port


@pytest.mark.parametrize("login", ["", LOGIN])
@pytest.mark.parametrize("kind", ["http", "https", "socks5"])
@pytest.mark.parametrize("tls", [False, True])
async def test_a_strict_proxy_will_do(
    gw: Gateway, secure: int, start: Any, variables: Any, kind: str, login: str, tls: bool
) -> None:
    """It refuses `GET ws://`: a WebSocket goes through a tunnel. A request to an http address goes to it whole."""
    async with proxy(kind, login) as through:
        variables.setenv(
            "HTTPS_PROXY" if tls else "HTTP_PROXY", f"{kind}://{ESCAPED + '@' if login else ''}{through.address}"
        )
        port = secure if tls else gw.port
        options = {"api_base_url": f"https://127.0.0.1:{port}", "gateway_url": f"wss://127.0.0.1:{port}"} if tls else {}
        worker = await start(ssl=client_tls(), **options)
        assert worker.connection.is_ready
        whole = [f"POST http://127.0.0.1:{port}/v0/connect/start"] if kind != "socks5" and not tls else []
        tunnel = f"{'address' if kind == 'socks5' else 'CONNECT'} 127.0.0.1:{port}"
        assert through.asked == [*whole, tunnel] if whole else [tunnel, tunnel]


async def test_nothing_of_a_tunnel_is_shown_to_the_proxy_but_the_host(secure: int, start: Any, gw: Gateway) -> None:
    """Neither keys nor tokens: they are for the server alone."""
    async with proxy() as through:
        address = f"127.0.0.1:{secure}"
        options = {"api_base_url": f"https://{address}", "gateway_url": f"wss://{address}"}
        await start(proxy=through.address, ssl=client_tls(), signing_key="signkey-test-" + "ab" * 32, **options)
        for head in through.heads:
            names = [line.partition(":")[0] for line in head.split("\r\n")[1:] if line]
            assert names == ["host", "user-agent"]


async def test_the_code_says_which_proxy_or_none(gw: Gateway, start: Any, variables: Any) -> None:
    async with proxy() as through:
        variables.setenv("HTTP_PROXY", "http://127.0.0.1:1")
        variables.setenv("NO_PROXY", "127.0.0.1")
        for options in ({"proxy": through.address}, {"proxy": ""}, {"proxy": False}):
            await (await start(**options)).close(wait=True)
        assert len(through.asked) == 2


async def test_a_name_is_looked_up_by_a_socks_proxy(gw: Gateway, start: Any) -> None:
    async with proxy("socks5") as through:
        await start(proxy=f"SOCKS5h://{through.address}", api_base_url=f"http://localhost:{gw.port}")
        assert through.asked[0] == f"name localhost:{gw.port}"


REFUSED = [
    ("ftp://me:zzyzx@proxy:3128", "of a kind that this worker cannot use"),
    ("socks4://me:zzyzx@proxy:1080", "of a kind that this worker cannot use"),
    ('"http://me:zzyzx@proxy:3128"', "of a kind that this worker cannot use"),
    ("http://me:zzyzx@proxy:none", "without a valid host and port"),
    ("http://me:zzyzx", "without a valid host and port"),
    ("http://me:zzyzx@proxy:0", "without a valid host and port"),
    ("http://me:zzyzx@proxy:65536", "without a valid host and port"),
    ("http://me:zzyzx@", "without a valid host and port"),
    ("me:zzyzx@:3128", "without a valid host and port"),
    ("http://me:zzyzx@pro xy:3128", "without a valid host and port"),
    ("http://me:zzyzx@[::1:3128", "without a valid host and port"),
]


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "wss_proxy", "ALL_PROXY", "proxy"])
def test_what_is_no_proxy_is_refused_at_once_by_its_name(variables: Any, name: str) -> None:
    """And no password is shown, although it is not where it should be."""
    client = inngest.Inngest(app_id="app", api_base_url="https://inngest.invalid", is_production=False)

    @client.create_function(fn_id="nothing", trigger=inngest.TriggerEvent(event="nothing"))
    def nothing(_: inngest.ContextSync) -> None: ...

    for value, why in REFUSED:
        if name != "proxy":
            variables.setenv(name, value)
        with pytest.raises(ConfigurationError, match=f"^{name} names a proxy {why}: write http://HOST:PORT") as refused:
            connect([(client, [nothing])], proxy=value if name == "proxy" else None)
        assert "zzyzx" not in str(refused.value)


UNREADABLE = [
    ("http_proxy", "http://me:zzyzx@proxy:none", "without a valid host and port: write http://HOST:PORT"),
    ("ALL_PROXY", "socks4://me:zzyzx@proxy", "of a kind that this worker cannot use"),
    (
        "ALL_PROXY",
        "socks5://me:zzyzx@proxy",
        r"which the SDK's HTTP client needs a package for: pip install 'httpx\[socks\]'",
    ),
    ("HTTPS_PROXY", "http://me:zzyzx#@proxy:3128", "that the SDK's HTTP client cannot read: write .* %23 for"),
    ("NO_PROXY", "localhost,[::1]", "cannot read: write an IPv6 address without brackets"),
    ("no_proxy", "fd00::/8", "no IPv6 network"),
    ("SSL_CERT_FILE", "/nothing.pem", r"which names a file that cannot be read \(No such file or directory\)"),
]


@pytest.mark.parametrize(("name", "value", "why"), UNREADABLE)
async def test_what_the_sdk_cannot_use_is_named(
    variables: Any, tmp_path: Path, name: str, value: str, why: str
) -> None:
    """Its client reads the variables as soon as the user's module makes it, and names none."""
    (tmp_path / "shop.py").write_text(
        "import inngest\nclient = inngest.Inngest(app_id='shop')\napps = [(client, [])]\n"
    )
    variables.syspath_prepend(tmp_path)
    variables.setenv("INNGEST_DEV", "1")
    variables.setitem(sys.modules, "socksio", None)
    variables.delitem(sys.modules, "shop", raising=False)
    variables.setenv("HTTP_PROXY", "http://fine:3128")
    variables.setenv(name, value)
    with pytest.raises(ConfigurationError, match=f"^(correct )?{name},? .*{why}") as refused:
        connect("shop:apps")
    assert "zzyzx" not in "".join(traceback.format_exception(refused.value))
    async with Examination(Arguments()) as examination:
        found = {check.name: await examination.check(check) for check in CHECKS[:3]}["settings"]
    assert name in f"{found.found} {found.next}"
    assert "zzyzx" not in str(found)


ANSWERS = {
    "a password is missing": (
        b"HTTP/1.1 407 Who are you\r\n\r\n",
        "wants a user name and a password (407 Who are you): set HTTPS_PROXY",
    ),
    "forbidden": (
        b"HTTP/1.1 403 Forbidden\r\n\r\n",
        "refuses to connect to inngest.invalid:443 (403 Forbidden): ask its operator",
    ),
    "a bad gateway": (b"HTTP/1.0 502 \r\nvia: x\r\n\r\n", "cannot connect to inngest.invalid:443 (502)"),
    "nothing": (b"", "closed the connection without an answer"),
    "half an answer": (b"HTTP/1.1 200 OK\r\nx: y", "closed the connection without an answer"),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.2\r\n", "does not speak HTTP: check its port"),
    "no end": (
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * (LIMIT // 4),
        f"sends more than {LIMIT:,} bytes instead of an answer",
    ),
    "a long line": (b"HTTP/1.1 200 " + b"x" * 2 * LIMIT, f"sends more than {LIMIT:,} bytes instead of an answer"),
    "no end of interim answers": (
        b"HTTP/1.1 100 Go on\r\n\r\n" * (LIMIT // 8),
        f"sends more than {LIMIT:,} bytes instead of an answer",
    ),
    "too much": (b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK", "sends more than an answer"),
}


async def test_a_proxy_that_makes_no_connection_is_named_with_its_variable(
    start: Any, variables: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """One line says so, and blames neither the API nor the gateway; it has no password."""
    caplog.set_level(logging.DEBUG)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ANSWERS[case][0])
        await writer.drain()

    async with listening(serve) as port:
        for case, (_, why) in ANSWERS.items():
            login = "" if case == "a password is missing" else "me:zzyzx12@"
            variables.setenv("HTTPS_PROXY", f"{login}127.0.0.1:{port}")
            worker = await start(ready=False, api_base_url="https://inngest.invalid")
            failed = await worker.hears(events.Reconnecting)
            await worker.close(wait=True)
            assert f"/v0/connect/start: the proxy 127.0.0.1:{port} (HTTPS_PROXY) {why}" in str(failed.error), case
    assert "zzyzx" not in caplog.text


async def test_a_password_that_a_proxy_does_not_take(start: Any, variables: Any, gw: Gateway) -> None:
    async with proxy(login="me:another") as http, proxy("socks5", login="me:another") as socks:
        for kind, through, answer in (("http", http, "407"), ("socks5", socks, "SOCKS")):
            worker = await start(ready=False, proxy=f"{kind}://me:zzyzx12@{through.address}")
            failed = await worker.hears(events.Reconnecting)
            assert f"the proxy {through.address} (proxy)" in str(failed.error)
            assert f"does not accept the user name and password ({answer}): correct them in proxy" in str(failed.error)


@pytest.mark.parametrize("stage", ["start", "socket"])
async def test_a_proxy_that_hangs_is_blamed_alone(gw: Gateway, start: Any, variables: Any, stage: str) -> None:
    async def hang(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async with listening(hang) as port:
        variables.setenv("HTTPS_PROXY", f"127.0.0.1:{port}")
        address = {"start": {"api_base_url": "https://api.invalid"}, "socket": {"gateway_url": "wss://gateway.invalid"}}
        worker = await start(ready=False, deadlines=Deadlines(start=0.1, socket=0.1), **address[stage])
        failed = await worker.hears(events.Reconnecting)
        host = "api" if stage == "start" else "gateway"
        assert f"the proxy 127.0.0.1:{port} (HTTPS_PROXY) made no connection to {host}.invalid:443 within 0.1 s" in str(
            failed.error
        )


async def test_the_doctor_names_the_variable_and_goes_the_same_way(gw: Gateway, secure: int, variables: Any) -> None:
    variables.setenv("INNGEST_DEV", f"https://127.0.0.1:{secure}")
    variables.setenv("INNGEST_CONNECT_GATEWAY_URL", f"wss://127.0.0.1:{secure}")
    variables.setenv("SSL_CERT_FILE", str(CERTIFICATES / "authority.pem"))
    async with proxy(login=LOGIN) as through:
        for login, wrong in ((ESCAPED, []), ("me:zzyzx12", ["API TLS"])):
            variables.setenv("All_Proxy", f"{login}@{through.address}")
            async with Examination(Arguments()) as examination:
                found = {check.name: await examination.check(check) for check in CHECKS}
            assert [name for name, each in found.items() if each.mark.name == "WRONG"] == wrong
            assert f"through the proxy {through.address} (All_Proxy)" in found["settings"].found
            assert f"the proxy {through.address} (All_Proxy) is open" in found["API port"].found
    assert "does not accept the user name and password (407" in found["API TLS"].found
    assert found["API TLS"].next == "correct them in All_Proxy"
    assert "zzyzx" not in str(found)
