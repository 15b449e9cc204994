"""Secrets do not go where a redirect leads, nor over a plain line, nor from a peer's text into anything that is shown."""

import asyncio
import base64
import contextlib
import json
import ssl
import urllib.parse
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import inngest
import pytest
from aiohttp import web
from rig import QUICK, Running, quick_retry

from connect import connect, events, wire
from connect.secrets import SigningKey
from connect.watching.feed import Feed
from connect.watching.metrics import Metrics
from connect.wire import codec
from connect.wire.codec import SUBPROTOCOL, Kind

KEY = "signkey-prod-" + "0123456789abcdef" * 4
BEARER = SigningKey.parse(KEY).bearer.reveal()
TOKEN = "session.token-of-this-very-link.0123456789"
CERTIFICATE = Path(__file__).parents[1] / "doctor" / "certificates"

ECHOES: dict[str, Callable[[str], str]] = {
    "plain": str,
    "half": lambda text: text[: len(text) // 2],
    "percent": lambda text: "".join(f"%{ord(each):02X}" for each in text),
    "base64": lambda text: base64.b64encode(f"Bearer {text}".encode()).decode(),
    "in lines": "\n".join,
}
"""How a peer gives back what it was sent."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Peer:
    """An API and gateway: *start* answers the start request, *upgrade* the WebSocket's."""

    def __init__(self) -> None:
        self.url = ""
        self.start: Handler = self.grant
        self.upgrade: Handler = self.refuse
        self.endpoint = ""
        self.connection_id, self.group = "01M8DPN82PKETH8PGW0XHDCDZX", "group"

    async def grant(self, _: web.Request) -> web.Response:
        answer = wire.StartResponse(
            connection_id=self.connection_id,
            gateway_endpoint=self.endpoint or self.url.replace("http", "ws", 1),
            gateway_group=self.group,
            session_token=TOKEN,
            sync_token=BEARER,
        )
        return web.Response(body=answer.SerializeToString())

    async def refuse(self, _: web.Request) -> web.StreamResponse:
        return web.Response(status=503)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        return await (self.start if request.method == "POST" else self.upgrade)(request)


@contextlib.asynccontextmanager
async def serving(handler: Handler, *, tls: bool = False) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    context = None
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTIFICATE / "good.pem")
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    yield f"{'https' if tls else 'http'}://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    made = Peer()
    async with serving(made.handle) as made.url:
        yield made


@contextlib.asynccontextmanager
async def seen(peer: Peer) -> AsyncIterator[tuple[Running, list[str]]]:
    """A worker of *peer*, and at the end all that it shows: errors, events, status, page, metrics."""
    client = inngest.Inngest(app_id="app", api_base_url=peer.url, is_production=False)

    @client.create_function(fn_id="echo", trigger=inngest.TriggerEvent(event="echo"))
    async def echo(ctx: inngest.Context) -> None: ...

    given = connect(
        [(client, [echo])], signing_key=KEY, retry=quick_retry(), deadlines=QUICK, shutdown_signals=[], instance_id="me"
    )
    feed, metrics, texts = Feed(), Metrics(given), list[str]()
    feed.follow(given)
    worker = Running(given)
    try:
        yield worker, texts
    finally:
        status = given.status()
        await given.close()
        await asyncio.wait([worker.task], timeout=10)
        error = None if worker.task.cancelled() else worker.task.exception()
        texts += [
            f"{error!r} {error} {vars(error) if error else ''}",
            str(asdict(status)),
            json.dumps(feed.snapshot(), default=str),
        ]
        texts += [
            metrics.page().decode(),
            *map(str, worker.told),
            *(str(vars(e.error)) for e in worker.heard(events.Reconnecting)),
        ]
        metrics.stop()


async def failed(worker: Running) -> None:
    """Wait until an attempt has failed, for good or not."""
    hearing = asyncio.create_task(worker.hears(events.Reconnecting))
    await asyncio.wait([hearing, worker.task], return_when=asyncio.FIRST_COMPLETED, timeout=10)
    hearing.cancel()


def scripted(peer: Peer, where: str, echo: Callable[[str], str]) -> None:
    """Have *peer* give back, at this place, what it was sent."""

    async def answer(request: web.Request) -> web.Response:
        said = echo(request.headers["Authorization"].removeprefix("Bearer "))
        status = int(where.split()[1])
        return web.Response(status=status, text=json.dumps({"error": f"no such key: {said}"}))

    async def close(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(protocols=(SUBPROTOCOL,))
        await socket.prepare(request)
        if where == "SYNC_FAILED":
            await socket.send_bytes(codec.encode(Kind.GATEWAY_HELLO))
            await socket.receive()
            await socket.send_bytes(
                codec.encode(Kind.SYNC_FAILED, wire.SystemError(code=echo(BEARER), message=echo(TOKEN)))
            )
        await socket.close(code=1008, message=(echo(BEARER) + echo(TOKEN)).encode()[:120])
        return socket

    if where.startswith("status"):
        peer.start = answer
    elif where in ("close", "SYNC_FAILED"):
        peer.upgrade = close
    elif where == "endpoint":
        peer.endpoint = f"ftp://{echo(BEARER)}.example/{echo(TOKEN)}"
    elif where == "path":
        peer.endpoint = f"{peer.url.replace('http', 'ws', 1)}/{urllib.parse.quote(echo(BEARER))}"
    elif where == "ids":
        peer.connection_id, peer.group = f"id {echo(BEARER)}", f"group {echo(TOKEN)}"


PLACES = ["status 401", "status 403", "status 429", "status 500", "close", "SYNC_FAILED", "endpoint", "path", "ids"]


@pytest.mark.parametrize("where", PLACES)
async def test_no_secret_comes_back_in_what_a_peer_says(
    peer: Peer, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither in the log nor in an error, an event, the status, the page or the metrics."""
    caplog.set_level("DEBUG", logger="connect")
    shown = []
    for echo in ECHOES.values():
        scripted(peer, where, echo)
        async with seen(peer) as (worker, texts):
            await failed(worker)
        shown += [*texts, *(record.getMessage() + str(vars(record)) for record in caplog.records)]
        caplog.clear()
    whole = "\n".join(shown)
    assert "***" in whole, "what the peer said is shown, but for the secrets"
    for secret in (BEARER, TOKEN, KEY):
        for name, echo in ECHOES.items():
            said = echo(secret)
            for form in (said, repr(said)[1:-1], json.dumps(said)[1:-1], urllib.parse.quote(said)):
                assert form not in whole, name


async def test_a_redirect_of_the_upgrade_is_not_followed(peer: Peer, caplog: pytest.LogCaptureFixture) -> None:
    came: list[web.Request] = []

    async def elsewhere(request: web.Request) -> web.StreamResponse:
        came.append(request)
        return web.Response(status=503)

    async with serving(elsewhere) as trap:
        for status in (301, 302, 303, 307, 308):
            target = trap.replace("//", "//me:hidden-word@") + "/v0/connect?token=hidden-too"

            async def redirect(_: web.Request, status: int = status, target: str = target) -> web.StreamResponse:
                return web.Response(status=status, headers={"Location": target})

            peer.upgrade = redirect
            async with seen(peer) as (worker, texts):
                await worker.hears(events.Reconnecting, 2)
            host = urllib.parse.urlsplit(trap).netloc
            assert f"with status {status}: a redirect to {host}, which is not followed" in "\n".join(texts)
            assert "hidden" not in "\n".join([*texts, caplog.text])
    assert came == []


async def test_an_https_api_cannot_lead_to_a_plain_gateway(start_process: Any, tmp_path: Path) -> None:
    """A granted ws address is dialled only if the user says so; the log says what to do, and shows the gateway's host."""
    peer, came = Peer(), list[web.Request]()

    async def plain(request: web.Request) -> web.StreamResponse:
        came.append(request)
        return web.Response(status=503)

    (tmp_path / "mine.py").write_text(
        "import inngest\nclient = inngest.Inngest(app_id='app')\n"
        "@client.create_function(fn_id='f', trigger=inngest.TriggerEvent(event='f'))\n"
        "async def f(ctx): ...\napps = [(client, [f])]\n"
    )
    async with serving(plain) as trap, serving(peer.handle, tls=True) as api:
        peer.endpoint = trap.replace("http", "ws", 1)
        env = {
            "INNGEST_SIGNING_KEY": KEY,
            "INNGEST_API_BASE_URL": api,
            "SSL_CERT_FILE": str(CERTIFICATE / "authority.pem"),
        }
        host = urllib.parse.urlsplit(trap).netloc
        refusing = start_process("-m", "connect", "run", "mine:apps", **env)
        line = await asyncio.to_thread(refusing.expect, "attempt 1 to connect failed")
        assert f"ws://{host}" in line
        assert "--insecure-gateway" in line
        assert came == []
        allowing = start_process("-m", "connect", "run", "mine:apps", "--insecure-gateway", **env)
        await asyncio.to_thread(allowing.expect, f"connecting to the gateway at {host}")
        await asyncio.to_thread(allowing.expect, "attempt 1 to connect failed")
        assert came
