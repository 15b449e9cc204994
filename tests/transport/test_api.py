"""The two requests to the API: what is asked, what each answer means, and that no error shows a key.

The API is a real server on this machine, which gives each request the next of the test's answers.
"""

import asyncio
import hashlib
import json
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from connect import wire
from connect.errors import (
    ApiError,
    AuthenticationFailed,
    ConnectionLimitReached,
    HandshakeTimeout,
    LinkLost,
    ProtocolError,
)
from connect.secrets import Keyring, SigningKey
from connect.transport.api import Api, gateway_endpoint
from connect.transport.websocket import open_session

PRIMARY, FALLBACK = "ab" * 32, "cd" * 32
GRANT = wire.StartResponse(
    connection_id="01CONNECTION",
    gateway_endpoint="ws://gateway.example/v0/connect",
    gateway_group="group-1",
    session_token="session-zzyzx",
    sync_token="sync-zzyzx",
)

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


def hashed(key: str) -> str:
    """What the API is shown of *key* (PROTOCOL.md §1.2)."""
    return hashlib.sha256(bytes.fromhex(key)).hexdigest()


def answer(status: int = 200, body: bytes = b"", **headers: str) -> Answer:
    """An answer with this status and body."""

    async def give(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, body=body, headers=headers)

    return give


def refusal(status: int, error: str) -> Answer:
    """An answer with the server's own words (PROTOCOL.md §1.4)."""
    return answer(status, json.dumps({"error": error}).encode())


def granted() -> Answer:
    return answer(200, GRANT.SerializeToString())


async def silence(_: web.Request) -> web.StreamResponse:
    """No answer, until the client gives up."""
    await asyncio.sleep(60)
    raise AssertionError("the client has waited for a minute")


async def half_an_answer(request: web.Request) -> web.StreamResponse:
    """Headers and one byte, and no more, until the client gives up."""
    response = web.StreamResponse(headers={"Content-Length": "100"})
    await response.prepare(request)
    await response.write(b"x")
    return await silence(request)


async def hang_up(request: web.Request) -> web.StreamResponse:
    """The connection is closed in place of an answer."""
    assert request.transport
    request.transport.close()
    return web.Response()


async def hang_up_within(request: web.Request) -> web.StreamResponse:
    """The connection is closed in the middle of the answer."""
    response = web.StreamResponse(headers={"Content-Length": "100"})
    await response.prepare(request)
    await response.write(b"x")
    return await hang_up(request)


@dataclass
class Asked:
    """A request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes
    peer: Any

    @property
    def bearer(self) -> str | None:
        return self.headers.get("Authorization", "").removeprefix("Bearer ") or None


@dataclass
class Server:
    """An API: it keeps what it was asked, and gives the answers in turn; the last one for ever."""

    url: str = ""
    answers: list[Answer] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        assert request.transport
        peer = request.transport.get_extra_info("peername")
        self.asked.append(Asked(request.path, dict(request.headers), await request.read(), peer))
        return await (self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])(request)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_route("*", "/{path:.*}", made.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with open_session() as opened:
        yield opened


def ring(*keys: str) -> Keyring:
    return Keyring(*(SigningKey.parse(f"signkey-prod-{key}") for key in keys)) if keys else Keyring(None)


@pytest.fixture
def keyring() -> Keyring:
    """Both keys."""
    return ring(PRIMARY, FALLBACK)


@pytest.fixture
def api(server: Server, session: aiohttp.ClientSession, keyring: Keyring) -> Api:
    return Api(session, server.url, "branch", keyring, timeout=5.0)


# -- what is asked -----------------------------------------------------------------------------------------------------------


async def test_start_asks_for_a_connection_and_returns_the_grant(server: Server, api: Api) -> None:
    server.answers = [granted()]
    grant = await api.start({"group-b", "group-a"})
    (asked,) = server.asked
    assert asked.path == "/v0/connect/start"
    assert asked.headers["Content-Type"] == "application/protobuf"
    assert asked.headers["X-Inngest-Env"] == "branch"
    assert asked.bearer == f"signkey-prod-{hashed(PRIMARY)}"
    assert list(wire.StartRequest.FromString(asked.body).exclude_gateways) == ["group-a", "group-b"]
    assert (grant.connection_id, grant.endpoint, grant.group) == (
        "01CONNECTION",
        "ws://gateway.example/v0/connect",
        "group-1",
    )
    assert (grant.session_token.reveal(), grant.sync_token.reveal()) == ("session-zzyzx", "sync-zzyzx")
    assert "zzyzx" not in repr(grant)


async def test_without_environment_and_key_no_header_names_them(server: Server, session: aiohttp.ClientSession) -> None:
    server.answers = [granted()]
    await Api(session, server.url + "/", None, ring(), timeout=5.0).start(())
    (asked,) = server.asked
    assert asked.path == "/v0/connect/start"
    assert "Authorization" not in asked.headers
    assert "X-Inngest-Env" not in asked.headers


async def test_flush_delivers_the_reply_as_it_is(server: Server, api: Api) -> None:
    """Also one as large as a gateway takes; warnings, of which aiohttp has one for large bodies, are errors here."""
    server.answers = [answer()]
    for reply in (b"", b"\x00reply\xff", bytes(8 * 1024 * 1024)):
        await api.flush(reply)
    assert [asked.path for asked in server.asked] == ["/v0/connect/flush"] * 3
    assert [len(asked.body) for asked in server.asked] == [0, 7, 8 * 1024 * 1024]
    assert server.asked[1].body == b"\x00reply\xff"


async def test_each_request_has_a_connection_of_its_own(server: Server, api: Api) -> None:
    server.answers = [answer()]
    for _ in range(3):
        await api.flush(b"reply")
    assert len({asked.peer for asked in server.asked}) == 3


# -- answers that are no success -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "error", "says"),
    [
        (400, ApiError, "was answered with status 400 (what it says)"),
        (401, AuthenticationFailed, "was unauthorized (what it says): check INNGEST_SIGNING_KEY and"),
        (403, ApiError, "status 403 (what it says)"),
        (404, ApiError, "status 404 (what it says)"),
        (429, ConnectionLimitReached, "too many connections for this account (what it says)"),
        (500, ApiError, "status 500 (what it says)"),
        (503, ApiError, "status 503 (what it says)"),
    ],
)
@pytest.mark.parametrize("what", ["start", "flush"])
async def test_each_status_is_an_error_of_its_own_with_the_servers_words(
    server: Server, session: aiohttp.ClientSession, what: str, status: int, error: type[Exception], says: str
) -> None:
    server.answers = [refusal(status, "what it says")]
    api = Api(session, server.url, None, ring(PRIMARY), timeout=5.0)
    with pytest.raises(error) as caught:
        await (api.start(()) if what == "start" else api.flush(b"reply"))
    assert type(caught.value) is error
    assert says in str(caught.value)
    assert getattr(caught.value, "status", status) == status
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>no JSON</html>",
        b"null",
        b"[]",
        b'"text"',
        b"{}",
        b'{"message": "other"}',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
    ids=lambda body: repr(body[:16]),
)
async def test_a_refusal_in_another_form_is_told_without_words(server: Server, api: Api, body: bytes) -> None:
    server.answers = [answer(500, body)]
    with pytest.raises(ApiError, match=r"was answered with status 500$"):
        await api.start(())


async def test_long_words_are_cut_short(server: Server, api: Api) -> None:
    server.answers = [refusal(500, "x" * 10_000)]
    with pytest.raises(ApiError) as caught:
        await api.start(())
    assert str(caught.value).endswith(f"({'x' * 200})")


async def test_a_redirect_is_not_followed(server: Server, api: Api) -> None:
    """The key would go along, to wherever the answer says."""
    server.answers = [answer(302, Location=f"{server.url}/elsewhere")]
    with pytest.raises(ApiError) as caught:
        await api.start(())
    assert caught.value.status == 302
    assert [asked.path for asked in server.asked] == ["/v0/connect/start"]


# -- answers that make no sense ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"\xff\xff\xff", "3 bytes that do not decode"),
        (b"<html>hello</html>", "18 bytes that do not decode"),
        (b"", "without connection id or gateway endpoint"),
        (wire.StartResponse(connection_id="01CONNECTION").SerializeToString(), "without connection id or"),
        (wire.StartResponse(gateway_endpoint="ws://gateway.example").SerializeToString(), "without connection id or"),
    ],
)
async def test_a_start_answer_that_grants_nothing_is_a_protocol_error(
    server: Server, api: Api, body: bytes, says: str
) -> None:
    server.answers = [answer(200, body)]
    with pytest.raises(ProtocolError, match=says):
        await api.start(())


async def test_what_a_flush_is_answered_does_not_matter(server: Server, api: Api) -> None:
    server.answers = [answer(200, b"\xff\xff\xff")]
    await api.flush(b"reply")


# -- no answer -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slow", [silence, half_an_answer])
@pytest.mark.parametrize("what", ["start", "flush"])
async def test_an_answer_that_does_not_come_in_time_is_a_timeout(
    server: Server, session: aiohttp.ClientSession, what: str, slow: Answer
) -> None:
    """The limit is for the request as a whole: an answer that has begun does not extend it."""
    server.answers = [slow]
    api = Api(session, server.url, None, ring(), timeout=0.2)
    begun = time.monotonic()
    with pytest.raises(
        HandshakeTimeout, match=rf"no answer to the {what} request from http://.* within 0.2 s"
    ) as caught:
        await (api.start(()) if what == "start" else api.flush(b"reply"))
    assert caught.value.stage == what
    assert 0.15 < time.monotonic() - begun < 5


@pytest.mark.parametrize("broken", [hang_up, hang_up_within])
@pytest.mark.parametrize("what", ["start", "flush"])
async def test_a_connection_that_breaks_is_a_lost_link(server: Server, api: Api, what: str, broken: Answer) -> None:
    server.answers = [broken]
    with pytest.raises(LinkLost, match=r"cannot reach http://127\.0\.0\.1:"):
        await (api.start(()) if what == "start" else api.flush(b"reply"))
    assert len(server.asked) == 1


async def test_a_server_that_is_not_there_is_a_lost_link(session: aiohttp.ClientSession, keyring: Keyring) -> None:
    async with await asyncio.start_server(lambda *_: None, "127.0.0.1", 0) as closed_soon:
        port = closed_soon.sockets[0].getsockname()[1]
    with pytest.raises(LinkLost, match=f"cannot reach http://127.0.0.1:{port}/v0/connect/start"):
        await Api(session, f"http://127.0.0.1:{port}", None, keyring, timeout=5.0).start(())


async def test_a_request_that_is_cancelled_is_given_up_at_once(server: Server, api: Api) -> None:
    """The server sees the connection close."""
    came, gone = asyncio.Event(), asyncio.Event()

    async def wait(request: web.Request) -> web.StreamResponse:
        came.set()
        try:
            return await silence(request)
        finally:
            gone.set()

    server.answers = [wait]
    starting = asyncio.create_task(api.start(()))
    async with asyncio.timeout(5):
        await came.wait()
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        await gone.wait()


# -- keys ------------------------------------------------------------------------------------------------------------------------


async def test_a_start_request_is_tried_with_one_key_and_the_next_with_the_other(
    server: Server, api: Api, keyring: Keyring
) -> None:
    server.answers = [refusal(401, "no"), refusal(401, "no"), granted()]
    for exhausted in (False, True):
        with pytest.raises(AuthenticationFailed):
            await api.start(())
        assert keyring.exhausted is exhausted
    await api.start(())
    assert not keyring.exhausted
    shown = [asked.bearer for asked in server.asked]
    assert shown == [f"signkey-prod-{hashed(key)}" for key in (PRIMARY, FALLBACK, PRIMARY)]


async def test_the_key_that_was_accepted_is_kept(server: Server, api: Api) -> None:
    server.answers = [refusal(401, "no"), granted()]
    with pytest.raises(AuthenticationFailed):
        await api.start(())
    for _ in range(2):
        await api.start(())
    assert [asked.bearer for asked in server.asked[1:]] == [f"signkey-prod-{hashed(FALLBACK)}"] * 2


async def test_a_flush_tries_the_other_key_at_once(server: Server, api: Api) -> None:
    server.answers = [refusal(401, "no"), answer()]
    await api.flush(b"reply")
    shown = [asked.bearer for asked in server.asked]
    assert shown == [f"signkey-prod-{hashed(key)}" for key in (PRIMARY, FALLBACK)]


@pytest.mark.parametrize(("keys", "tries"), [((), 1), ((PRIMARY,), 1), ((PRIMARY, FALLBACK), 2)])
async def test_a_flush_tries_each_key_once(
    server: Server, session: aiohttp.ClientSession, keys: tuple[str, ...], tries: int
) -> None:
    server.answers = [refusal(401, "no")]
    with pytest.raises(AuthenticationFailed):
        await Api(session, server.url, None, ring(*keys), timeout=5.0).flush(b"reply")
    assert len(server.asked) == tries


async def test_flushes_that_are_refused_together_turn_to_the_other_key_once(server: Server, api: Api) -> None:
    """Turned twice, the ring would be back at the refused key."""
    together = asyncio.Barrier(3)

    async def refuse(_: web.Request) -> web.StreamResponse:
        await together.wait()
        return web.Response(status=401)

    server.answers = [refuse, refuse, refuse, answer()]
    await asyncio.gather(*(api.flush(b"reply") for _ in range(3)))
    shown = [asked.bearer for asked in server.asked]
    assert shown == [f"signkey-prod-{hashed(PRIMARY)}"] * 3 + [f"signkey-prod-{hashed(FALLBACK)}"] * 3


TROUBLES: dict[str, Answer] = {
    **{str(status): refusal(status, "what it says") for status in (302, 400, 401, 429, 500)},
    "garbage": answer(200, b"\xff\xff\xff"),
    "nothing": answer(200, b""),
    "silence": silence,
    "half": half_an_answer,
    "broken": hang_up,
    "broken within": hang_up_within,
}


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_no_error_shows_a_key_or_a_password(
    server: Server, session: aiohttp.ClientSession, keyring: Keyring, trouble: str
) -> None:
    """Neither in its message nor in anything that a traceback prints with it."""
    server.answers = [TROUBLES[trouble]]
    origin = server.url.replace("http://", "http://me:zzyzx@")
    api = Api(session, origin, None, ring(), timeout=0.2)
    keyed = Api(session, server.url, "branch", keyring, timeout=0.2)
    for each in (api, keyed):
        with pytest.raises(Exception) as caught:  # noqa: PT011 - whichever it is
            await each.start(())
        told = "".join(traceback.format_exception(caught.value))
        for secret in (PRIMARY, FALLBACK, hashed(PRIMARY), hashed(FALLBACK), "zzyzx"):
            assert secret not in told


# -- the gateway's address -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "dialled"),
    [
        ("ws://gateway.example/v0/connect", "ws://gateway.example/v0/connect"),
        ("wss://gateway.example:8289", "wss://gateway.example:8289/v0/connect"),
        ("wss://gateway.example/", "wss://gateway.example/v0/connect"),
        ("wss://gateway.example/other?shard=1", "wss://gateway.example/other?shard=1"),
        (" ws://[::1]:8289\n", "ws://[::1]:8289/v0/connect"),
    ],
)
def test_a_gateway_address_without_a_path_gets_the_protocols(text: str, dialled: str) -> None:
    assert gateway_endpoint(text) == dialled


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("http://gateway.example", "scheme 'http' is not valid, must be ws or wss"),
        ("gateway.example:8289", "must be ws or wss"),
        ("", "must be ws or wss"),
        ("ws://", "a host is required"),
        ("ws://:8289", "a host is required"),
        ("ws://[::1", "Invalid IPv6 URL"),
    ],
)
def test_what_is_no_gateway_address_is_refused(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        gateway_endpoint(text)


@pytest.mark.parametrize("text", ["http://me:zzyzx@gateway.example", "ws://me:zzyzx@"])
def test_a_refused_address_is_told_without_its_password(text: str) -> None:
    with pytest.raises(ValueError, match=r"\*\*\*@") as caught:
        gateway_endpoint(text)
    assert "zzyzx" not in str(caught.value)
