"""The two requests to the API: what is asked, and what each answer means."""

import asyncio
import time

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
from connect.secrets import Keyring
from connect.transport.api import Api
from tests.transport.api_kit import (
    PRIMARY,
    Answer,
    Server,
    answer,
    granted,
    half_an_answer,
    hang_up,
    hang_up_within,
    hashed,
    refusal,
    ring,
    silence,
)

# -- what is asked -----------------------------------------------------------------------------------------------------------


async def test_start_asks_for_a_connection_and_returns_the_grant(server: Server, api: Api) -> None:
    server.answers = [granted()]
    grant = await api.start({"group-b", "group-a"})
    (asked,) = server.asked
    assert asked.path == "/v0/connect/start"
    assert asked.headers["content-type"] == "application/protobuf"
    assert asked.headers["x-inngest-env"] == "branch"
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
    assert "authorization" not in asked.headers
    assert "x-inngest-env" not in asked.headers


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


async def test_429_is_the_limit_of_connections_only_to_a_start_request(server: Server, api: Api) -> None:
    server.answers = [refusal(429, "what it says")]
    with pytest.raises(ConnectionLimitReached, match=r"too many connections for this account \(what it says\)"):
        await api.start(())
    with pytest.raises(ApiError, match=r"the flush request .* status 429 \(what it says\)") as caught:
        await api.flush(b"reply")
    assert caught.value.status == 429


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
