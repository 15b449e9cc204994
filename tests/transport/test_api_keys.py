"""Which key a request to the API shows, when it turns to the other one, and that no error shows a key."""

import asyncio
import traceback

import aiohttp
import pytest
from aiohttp import web

from connect.errors import (
    AuthenticationFailed,
)
from connect.secrets import Keyring
from connect.transport.api import Api
from tests.transport.api_kit import (
    FALLBACK,
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
