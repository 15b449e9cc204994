"""Fixtures for tests of the doctor: a clean environment, a gateway, and servers that do not speak the protocol."""

import asyncio
import contextlib
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import inngest
import pytest
from aiohttp import web

from connect.doctor import CHECKS, Arguments, Examination, Finding, Mark
from connect.doctor.report import Verdict
from connect.gateway import Gateway

KEY = "signkey-test-" + "0123456789abcdef" * 4
SECOND = "signkey-test-" + "fedcba9876543210" * 4
CERTIFICATES = Path(__file__).parent / "certificates"
SUBPROTOCOL = "v0.connect.inngest.com"


class Findings(dict[str, Finding]):
    """The results of an examination, by check."""

    @property
    def wrong(self) -> list[str]:
        """The checks that failed."""
        return [name for name, finding in self.items() if finding.mark is Mark.WRONG]

    @property
    def verdict(self) -> Verdict:
        return Verdict(list(self.values()))

    def diagnosis(self, check: str) -> str:
        """The finding and the cure of *check*. It must be the only failed check, and all that depend on it must be left out."""
        assert self.wrong == [check], self
        assert self[check].next, "every diagnosis says what to do next"
        return f"{self[check].found} -> {self[check].next}"


async def examine(*, until: str = "", **arguments: Any) -> Findings:
    """Make the checks in turn, up to the check *until* if it is given."""
    findings = Findings()
    async with Examination(Arguments(**arguments)) as examination:
        for check in CHECKS:
            findings[check.name] = await examination.check(check)
            if check.name == until:
                break
    return findings


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the test's settings count: development mode, and the API that the test names."""
    for name in list(os.environ):
        if name.startswith("INNGEST_") or name.lower().endswith("_proxy") or name == "SSL_CERT_FILE":
            monkeypatch.delenv(name)
    monkeypatch.setenv("INNGEST_DEV", "1")


@pytest.fixture
async def gw() -> AsyncIterator[Gateway]:
    async with Gateway() as gateway:
        yield gateway


@pytest.fixture
def dev(gw: Gateway, monkeypatch: pytest.MonkeyPatch) -> Gateway:
    """The gateway as a development server."""
    monkeypatch.setenv("INNGEST_DEV", gw.url)
    return gw


@pytest.fixture
def cloud(gw: Gateway, monkeypatch: pytest.MonkeyPatch) -> Gateway:
    """The gateway as the cloud: it accepts two keys, and both are in the environment."""
    monkeypatch.delenv("INNGEST_DEV")
    monkeypatch.setenv("INNGEST_API_BASE_URL", gw.url)
    monkeypatch.setenv("INNGEST_SIGNING_KEY", KEY)
    monkeypatch.setenv("INNGEST_SIGNING_KEY_FALLBACK", SECOND)
    gw.signing_keys = (KEY, SECOND)
    return gw


@pytest.fixture
def apps() -> Any:
    """Apps that are made when they are used, since a client reads the environment when it is made."""

    async def echo(_: inngest.Context) -> None: ...

    def make(padding: str = "") -> Any:
        client = inngest.Inngest(app_id="app")
        trigger = inngest.TriggerEvent(event="echo", expression=padding or None)
        return [(client, [client.create_function(fn_id="echo", trigger=trigger)(echo)])]

    return make


Serve = Callable[..., Awaitable[str]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Serve *handler* at every path, with TLS if a *certificate* is named; the origin."""
    runners: list[web.AppRunner] = []

    async def begin(handler: Callable[[web.Request], Awaitable[web.StreamResponse]], certificate: str = "") -> str:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handler)
        runners.append(web.AppRunner(app, access_log=None, shutdown_timeout=0.1))
        await runners[-1].setup()
        context = None
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(CERTIFICATES / f"{certificate}.pem")
        await web.TCPSite(runners[-1], "127.0.0.1", 0, ssl_context=context).start()
        return f"{'https' if certificate else 'http'}://127.0.0.1:{runners[-1].addresses[0][1]}"

    yield begin
    for runner in runners:
        await runner.cleanup()


@pytest.fixture
async def serve_raw() -> AsyncIterator[Callable[[bytes], Awaitable[str]]]:
    """Serve a port that sends these bytes to every client, and nothing else; the origin."""
    servers: list[asyncio.Server] = []

    async def begin(greeting: bytes) -> str:
        async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(greeting)
            with contextlib.suppress(ConnectionError):
                await _.read()
            writer.close()

        servers.append(await asyncio.start_server(greet, "127.0.0.1", 0))
        return f"http://127.0.0.1:{servers[-1].sockets[0].getsockname()[1]}"

    yield begin
    for server in servers:
        server.close()
