"""The answers of an API that sends more than a worker needs: each is read up to a bound, and none is decompressed."""

import asyncio
import time
import zlib

import aiohttp
import pytest
from aiohttp import web

from connect.errors import ApiError, AuthenticationFailed, PeerError, ProtocolError
from connect.transport import answers
from connect.transport.api import Api
from tests.transport.api_kit import FALLBACK, GRANT, PRIMARY, Answer, Server, answer, granted, hashed, refusal


def without_end(status: int, **headers: str) -> Answer:
    """An answer that goes on until the client hangs up, which it must do soon."""

    async def give(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=status, headers=headers)
        await response.prepare(request)
        try:
            async with asyncio.timeout(5):
                while True:
                    await response.write(bytes(64 * 1024))
        except ConnectionError:
            return response

    return give


@pytest.mark.parametrize("headers", [{}, {"Content-Length": "1000000000000"}], ids=["chunked", "with its length"])
async def test_a_grant_without_end_is_refused_at_the_bound(server: Server, api: Api, headers: dict[str, str]) -> None:
    server.answers = [without_end(200, **headers)]
    with pytest.raises(ProtocolError, match=r"answer to the start request to http://\S+ has more than 65,536 bytes"):
        await api.start(())


async def test_an_answer_of_just_the_bound_is_read(server: Server, api: Api) -> None:
    """One byte more is too much. The field that fills it is unknown, as one of a newer server may be."""
    known = GRANT.SerializeToString()
    fills = answers.LIMIT - len(known) - 5
    filled = known + b"\xfa\x7d" + bytes([fills & 127 | 128, fills >> 7 & 127 | 128, fills >> 14]) + bytes(fills)
    assert len(filled) == answers.LIMIT
    server.answers = [answer(200, filled), answer(200, filled + bytes(1))]
    assert (await api.start(())).connection_id == "01CONNECTION"
    with pytest.raises(ProtocolError, match="more than"):
        await api.start(())


@pytest.mark.parametrize("encoding", ["gzip", "GZip", "deflate", "br", "zstd", "x-gzip", "gzip, identity"])
async def test_a_compressed_grant_is_refused_by_name(server: Server, api: Api, encoding: str) -> None:
    server.answers = [answer(200, zlib.compress(GRANT.SerializeToString()), **{"Content-Encoding": encoding})]
    with pytest.raises(ProtocolError, match=rf"is compressed \({encoding}\), although no compression was asked for"):
        await api.start(())


async def test_identity_is_no_compression(server: Server, api: Api) -> None:
    server.answers = [answer(200, GRANT.SerializeToString(), **{"Content-Encoding": "identity"})]
    assert (await api.start(())).connection_id == "01CONNECTION"


@pytest.mark.parametrize("given", [without_end(200), answer(200, b"x", **{"Content-Encoding": "gzip"})])
async def test_a_reply_is_delivered_whatever_comes_with_the_status(server: Server, api: Api, given: Answer) -> None:
    """PROTOCOL.md §8.2: 200 says that it is stored. To send it again would not end."""
    server.answers = [given]
    await api.flush(b"reply")
    assert len(server.asked) == 1


@pytest.mark.parametrize("what", ["start", "flush"])
@pytest.mark.parametrize(
    "headers", [{}, {"Content-Encoding": "gzip"}], ids=["without end", "compressed and without end"]
)
async def test_a_refusal_counts_by_its_status_whatever_comes_with_it(
    server: Server, api: Api, what: str, headers: dict[str, str]
) -> None:
    """The key is refused, or the other one tried, as with any answer."""
    server.answers = [
        without_end(500, **headers),
        without_end(401, **headers),
        without_end(401, **headers),
        refusal(500, ""),
    ]
    ask = (lambda: api.start(())) if what == "start" else (lambda: api.flush(b"reply"))
    with pytest.raises(ApiError, match="status 500"):
        await ask()
    with pytest.raises(AuthenticationFailed, match="unauthorized: check"):
        await ask()
    assert [asked.bearer for asked in server.asked[:2]] == [f"signkey-prod-{hashed(PRIMARY)}"] * 2
    if what == "flush":
        assert server.asked[2].bearer == f"signkey-prod-{hashed(FALLBACK)}"


async def test_no_compression_is_asked_for(server: Server, api: Api) -> None:
    server.answers = [granted()]
    await api.start(())
    assert server.asked[0].headers["accept-encoding"] == "identity"


async def test_no_cookie_is_kept(server: Server, session: aiohttp.ClientSession, api: Api) -> None:
    """A server could add some to each answer, and the worker would send all of them back."""
    api = Api(session, server.url.replace("127.0.0.1", "localhost"), None, api._keyring, 5.0)
    server.answers = [answer(200, GRANT.SerializeToString(), **{"Set-Cookie": "a=b"})]
    await api.start(())
    await api.start(())
    assert "Cookie" not in server.asked[1].headers
    assert not list(session.cookie_jar)


# -- how long to wait ----------------------------------------------------------------------------------------------------------

NOW = "Fri, 27 Nov 2026 12:00:00 GMT"
UNIX_NOW = 1795780800.0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": " 007 "}, 7.0),
        ({"Retry-After": "0"}, 0.0),
        ({"Retry-After": "600"}, 600.0),
        ({"Retry-After": "601"}, 600.0),
        ({"Retry-After": "9" * 20}, 600.0),
        ({"Retry-After": "9" * 5000}, None),
        ({"Retry-After": "-1"}, None),
        ({"Retry-After": "1.5"}, None),
        ({"Retry-After": "٣"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": ""}, None),
        ({"Retry-After": "Fri, 27 Nov 2026 12:00:09 GMT", "Date": NOW}, 9.0),
        ({"Retry-After": "Friday, 27-Nov-26 12:00:09 GMT", "Date": NOW}, 9.0),
        ({"Retry-After": "Fri, 27 Nov 2026 13:00:09 +0100", "Date": NOW}, 9.0),
        ({"Retry-After": "Fri, 27 Nov 2026 12:00:09 GMT", "Date": "Fri, 27 Nov 2026 11:00:00 GMT"}, 600.0),
        ({"Retry-After": "Fri, 27 Nov 2026 11:59:59 GMT", "Date": NOW}, 0.0),
        ({"Retry-After": "Fri, 27 Nov 2026 12:00:30 GMT"}, 30.0),
        ({"Retry-After": "Fri, 27 Nov 2026 12:00:30 GMT", "Date": "now"}, 30.0),
        ({"Retry-After": "Fri, 99 Nov 2026 12:00:09 GMT", "Date": NOW}, None),
        ({"Retry-After": "Fri, 27 Nov 999999999999 12:00:09 GMT", "Date": NOW}, None),
    ],
)
def test_what_a_server_asks_to_wait_is_read_in_each_form(headers: dict[str, str], seconds: float | None) -> None:
    assert answers.retry_after(headers, now=UNIX_NOW) == seconds


@pytest.mark.parametrize("zone", ["", " -0000", " GMT"])
def test_a_date_without_a_zone_is_in_that_of_http(monkeypatch: pytest.MonkeyPatch, zone: str) -> None:
    """Wherever the machine stands."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        headers = {"Retry-After": f"Fri, 27 Nov 2026 12:00:09{zone}", "Date": NOW}
        assert answers.retry_after(headers, now=UNIX_NOW) == 9.0
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("status", [429, 503, 500, 403])
@pytest.mark.parametrize("what", ["start", "flush"])
async def test_a_refusal_says_how_long_to_wait(server: Server, api: Api, what: str, status: int) -> None:
    server.answers = [answer(status, b"", **{"Retry-After": "12"}), answer(status, b"")]
    ask = (lambda: api.start(())) if what == "start" else (lambda: api.flush(b"reply"))
    for seconds in (12.0, None):
        with pytest.raises(PeerError) as caught:
            await ask()
        assert caught.value.retry_after == seconds
