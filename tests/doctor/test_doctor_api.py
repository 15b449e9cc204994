"""The doctor finds what is wrong between a worker and the API."""

import asyncio
import socket
import time
from email.utils import formatdate
from typing import Any

import pytest
from aiohttp import web

from connect.doctor import Mark
from connect.gateway import HANG, Answer, Gateway
from tests.doctor.conftest import KEY, SECOND, Serve, examine


async def test_a_worker_that_can_connect_is_told_so(dev: Gateway) -> None:
    findings = await examine()
    assert findings.wrong == []
    assert findings["hello"].mark is Mark.GOOD
    assert findings["registration"].mark is Mark.SKIPPED
    assert findings.verdict.exit_code == 0


async def test_both_keys_are_tried_each_on_its_own(cloud: Gateway) -> None:
    findings = await examine()
    assert findings.wrong == []
    sent = [call.headers["authorization"] for call in cloud.calls("start")]
    assert len(set(sent)) == 2
    assert findings["signing key"].mark is findings["fallback key"].mark is Mark.GOOD


@pytest.mark.parametrize(
    ("number", "cure"), [(socket.EAI_NONAME, "spelled right"), (socket.EAI_AGAIN, "no name server answers")]
)
async def test_a_name_that_does_not_resolve(monkeypatch: pytest.MonkeyPatch, number: int, cure: str) -> None:
    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(number, "not found")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    findings = await examine(api_base_url="http://inngest.invalid")
    assert "inngest.invalid does not resolve" in findings.diagnosis("API name")
    assert cure in findings["API name"].next
    assert findings["hello"].found == "not checked, because of: API name"


async def test_a_name_server_that_is_silent_costs_no_more_than_the_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    free = asyncio.Event()
    loop = asyncio.get_running_loop()

    def hang(*_: object, **__: object) -> list[Any]:
        asyncio.run_coroutine_threadsafe(free.wait(), loop).result()
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    try:
        findings = await examine(api_base_url="http://inngest.invalid", timeout=0.05)
    finally:
        free.set()
    assert "no result within 0.05 s" in findings.diagnosis("API name")
    assert "no name server answers" in findings["API name"].next


@pytest.mark.parametrize("url", ["http://a..b", "http://" + "a" * 70 + ".example"])
async def test_what_can_be_no_name(url: str) -> None:
    assert "is not a host's name" in (await examine(api_base_url=url)).diagnosis("API name")


async def test_a_closed_port(dev: Gateway) -> None:
    await dev.stop()
    assert "nothing listens there" in (await examine()).diagnosis("API port")


async def test_a_port_that_answers_nothing_ends_with_the_timeout(serve_raw: Any) -> None:
    findings = await examine(api_base_url=await serve_raw(b""), timeout=0.2)
    assert "no result within 0.2 s" in findings.diagnosis("API answers")
    assert "does not answer" in findings["API answers"].next


async def test_a_port_that_speaks_something_else(serve_raw: Any) -> None:
    findings = await examine(api_base_url=await serve_raw(b"220 mail.example ESMTP\r\n"))
    assert "does not speak HTTP" in findings.diagnosis("API answers")


async def test_a_start_request_that_hangs_ends_with_the_timeout(dev: Gateway) -> None:
    dev.starts.standing = HANG
    assert "no result within 0.2 s" in (await examine(timeout=0.2)).diagnosis("signing key")


async def test_the_first_key_alone_is_refused(cloud: Gateway) -> None:
    cloud.signing_keys = (SECOND,)
    findings = await examine()
    assert "does not accept the key: 401 (authentication failed)" in findings.diagnosis("signing key")
    assert findings["fallback key"].mark is Mark.GOOD
    assert findings["hello"].mark is Mark.GOOD
    assert findings.verdict.connects
    assert findings.verdict.exit_code == 1


async def test_the_fallback_alone_is_refused(cloud: Gateway) -> None:
    cloud.signing_keys = (KEY,)
    findings = await examine()
    assert "does not accept the key: 401 (authentication failed)" in findings.diagnosis("fallback key")
    assert findings["hello"].mark is Mark.GOOD


async def test_both_keys_are_refused(cloud: Gateway) -> None:
    cloud.signing_keys = ("signkey-test-" + "00" * 32,)
    findings = await examine()
    assert findings.wrong == ["signing key", "fallback key"]
    assert findings["gateway address"].found == "not checked, because of: signing key"
    assert findings["hello"].found == "not checked, because of: signing key"
    assert not findings.verdict.connects


async def test_a_key_is_wanted_and_development_mode_sends_none(dev: Gateway) -> None:
    dev.signing_keys = (KEY,)
    told = (await examine()).diagnosis("signing key")
    assert "development mode sends none" in told
    assert "INNGEST_API_BASE_URL instead of INNGEST_DEV" in told


@pytest.mark.parametrize(
    ("status", "said", "cure"),
    [
        (429, "too many connections", "stop a worker"),
        (500, "the API failed", "wait"),
        (503, "the API failed", "wait"),
        (403, "403", "a firewall or proxy"),
        (404, "no Connect API", "8288"),
    ],
)
async def test_a_refusal_says_whose_trouble_it_is(dev: Gateway, status: int, said: str, cure: str) -> None:
    dev.starts.standing = Answer(status)
    findings = await examine()
    assert said in findings.diagnosis("signing key")
    assert cure in findings["signing key"].next


async def test_an_answer_that_does_not_decode(dev: Gateway) -> None:
    dev.starts.standing = Answer(body=b"\xff" * 9)
    assert "9 bytes that do not decode" in (await examine()).diagnosis("signing key")


async def test_an_answer_that_grants_nothing(dev: Gateway) -> None:
    dev.starts.standing = Answer(body=b"")
    assert "without connection id" in (await examine()).diagnosis("signing key")


async def test_a_web_page_is_no_api(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    async def page(_: web.Request) -> web.Response:
        return web.Response(text="<html>welcome</html>", content_type="text/html")

    monkeypatch.setenv("INNGEST_DEV", await serve(page))
    assert "answered with a web page" in (await examine()).diagnosis("signing key")


async def test_a_redirect(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    async def elsewhere(_: web.Request) -> web.Response:
        raise web.HTTPPermanentRedirect("https://elsewhere.example/start")

    monkeypatch.setenv("INNGEST_DEV", await serve(elsewhere))
    assert "redirects to https://elsewhere.example/start" in (await examine()).diagnosis("signing key")


@pytest.mark.parametrize(
    ("offset", "said"),
    [(-600, "10 min ahead of the server's"), (600, "10 min behind the server's"), (-65, " s ahead"), (55, "")],
)
async def test_clocks_that_differ(serve: Serve, monkeypatch: pytest.MonkeyPatch, offset: float, said: str) -> None:
    async def dated(_: web.Request) -> web.Response:
        return web.Response(status=500, headers={"Date": formatdate(time.time() + offset, usegmt=True)})

    monkeypatch.setenv("INNGEST_DEV", await serve(dated))
    clock = (await examine())["clock"]
    assert clock.mark is (Mark.WRONG if said else Mark.GOOD)
    assert said in clock.found
    if said:
        assert "NTP" in clock.next
