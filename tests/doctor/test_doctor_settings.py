"""The doctor reads the settings as a worker does, and shows no secret."""

import importlib.metadata
import json
from typing import Any

import inngest
import pytest
from aiohttp import web

from connect import wire
from connect.doctor import Finding, Mark, scrubbed
from connect.doctor.report import Verdict
from connect.execution import sdk_internals
from connect.gateway import Gateway
from connect.secrets import SigningKey
from connect.wire.codec import Kind, encode
from statecharts import library
from tests.doctor.conftest import KEY, SECOND, SUBPROTOCOL, Serve, examine


@pytest.mark.parametrize("version", ["0.4.22", "0.6.0", "1.0.0"])
async def test_an_sdk_out_of_range(dev: Gateway, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda _: version)
    findings = await examine()
    assert f"inngest {version} is installed, and this worker supports >=0.5.0,<0.6" in findings.diagnosis("SDK")
    assert findings["SDK"].next == f"pip install '{sdk_internals.SUPPORTED}'"
    assert findings["hello"].mark is Mark.GOOD, "whatever else can be checked is checked"


@pytest.mark.parametrize("version", ["0.5.0", "0.5.19", "0.5.20rc1"])
async def test_an_sdk_in_range(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda _: version)
    assert (await examine(until="SDK"))["SDK"].mark is Mark.GOOD


async def test_an_sdk_without_a_piece_that_no_import_shows(dev: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(inngest.Function, "is_handler_async")
    findings = await examine()
    assert "lacks what this worker needs (Function.is_handler_async)" in findings.diagnosis("SDK")
    assert findings["SDK"].next == f"install '{sdk_internals.SUPPORTED}'"
    assert (findings["settings"].mark, findings["settings"].because) == (Mark.SKIPPED, "SDK")


async def test_a_library_of_charts_without_a_piece(dev: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    library.check.cache_clear()
    monkeypatch.setitem(library.PIECES, "Transition.cond", lambda: False)
    findings = await examine()
    assert "lacks what this package needs (Transition.cond)" in findings.diagnosis("settings")
    assert findings["settings"].next == f"install '{library.SUPPORTED}'"


async def test_cloud_mode_without_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("INNGEST_DEV")
    findings = await examine()
    assert "has no signing key" in findings.diagnosis("settings")
    assert "set INNGEST_SIGNING_KEY" in findings["settings"].next


@pytest.mark.parametrize("name", ["INNGEST_SIGNING_KEY", "INNGEST_SIGNING_KEY_FALLBACK"])
async def test_a_key_without_the_form_of_one(cloud: Gateway, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, KEY[:-1])
    told = (await examine()).diagnosis("keys' form")
    assert told.startswith(f"{name} is not a signing key")
    assert "odd number of digits" in told
    assert "copy it again" in told
    assert cloud.calls("start") == [], "a worker would not dial either"


async def test_a_branch_key_without_an_environment(cloud: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INNGEST_SIGNING_KEY", KEY.replace("test", "branch"))
    told = (await examine()).diagnosis("settings")
    assert "none is named" in told
    assert "INNGEST_ENV" in told


async def test_a_wrong_gateway_url(dev: Gateway) -> None:
    assert "must be ws or wss" in (await examine(gateway_url="http://127.0.0.1:1"))["settings"].found


@pytest.mark.parametrize(
    ("name", "origin", "said"),
    [
        ("INNGEST_DEV", "http://127.0.0.1:1", "development mode (INNGEST_DEV is set)"),
        ("INNGEST_BASE_URL", "http://127.0.0.1:1", "development mode (INNGEST_DEV is set)"),
        ("INNGEST_API_BASE_URL", "http://127.0.0.1:1", "development mode (INNGEST_DEV is set)"),
    ],
)
async def test_which_variable_decides(monkeypatch: pytest.MonkeyPatch, name: str, origin: str, said: str) -> None:
    monkeypatch.setenv(name, origin)
    found = (await examine(until="settings"))["settings"].found
    assert said in found
    assert f"API at {origin} ({name})" in found


async def test_the_defaults_and_options_are_named_too(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "http://127.0.0.1:8288 (the default)" in (await examine(until="settings"))["settings"].found
    found = (await examine(api_base_url="http://127.0.0.1:1", env="staging", until="settings"))["settings"].found
    assert "http://127.0.0.1:1 (--api-base-url)" in found
    assert "environment 'staging'" in found


async def test_a_client_that_says_itself_in_which_mode_it_is(cloud: Gateway, apps: Any) -> None:
    given = apps()
    client = inngest.Inngest(app_id="app", api_base_url=cloud.url, is_production=False)
    found = (await examine(apps=[(client, given[0][1])]))["settings"]
    assert "development mode (set in the client)" in found.found
    assert "leave that out" in found.next


async def test_a_key_in_development_mode_is_remarked_upon(dev: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INNGEST_SIGNING_KEY", KEY)
    findings = await examine()
    assert findings.wrong == []
    assert "unset it for production" in findings["settings"].next


async def test_apps_that_no_worker_would_take(dev: Gateway) -> None:
    client = inngest.Inngest(app_id="app")
    assert "no functions" in (await examine(apps=[(client, [])]))["settings"].found


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy"])
async def test_a_proxy_on_the_way_is_checked_in_place_of_the_host(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "http://user:password@127.0.0.1:1")
    findings = await examine(api_base_url="http://inngest.invalid")
    assert f"the proxy 127.0.0.1:1 ({name}) refuses" in findings.diagnosis("API port")
    assert "password" not in str(findings)


async def test_a_proxy_that_answers_for_the_api(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(_: web.Request) -> web.Response:
        return web.Response(status=403)

    monkeypatch.setenv("HTTP_PROXY", await serve(refuse))
    findings = await examine(api_base_url="http://inngest.invalid")
    assert "the proxy 127.0.0.1" in findings["API name"].found
    assert "a firewall or proxy" in findings.diagnosis("signing key")


# -- secrets


async def test_no_secret_is_in_anything_that_is_said(cloud: Gateway, serve: Serve, apps: Any) -> None:
    """The server sends back all that it was sent."""

    async def repeat(request: web.Request) -> web.Response:
        words = f"{request.headers['Authorization']} {KEY} {request.url}"
        return web.json_response({"error": words}, status=401)

    findings = await examine(api_base_url=await serve(repeat), apps=apps())
    assert findings.wrong == ["signing key", "fallback key"]
    assert "***" in findings["signing key"].found
    told = findings.verdict.to_json() + repr(findings)
    for key in (KEY, SECOND, hashed(KEY), hashed(SECOND)):
        assert key not in told
        assert key.removeprefix("signkey-test-") not in told


async def test_what_the_server_grants_is_not_shown_either(
    serve: Serve, apps: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gateway sends the session token back."""

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade") != "websocket":
            endpoint = f"ws://{request.host}/"
            granted = wire.StartResponse(connection_id="1", gateway_endpoint=endpoint, session_token="very-secret")
            return web.Response(body=granted.SerializeToString())
        socket = web.WebSocketResponse(protocols=[SUBPROTOCOL])
        await socket.prepare(request)
        await socket.send_bytes(b"")
        said = wire.WorkerConnectRequestData.FromString(
            wire.ConnectMessage.FromString(await socket.receive_bytes()).payload
        )
        token = said.auth_data.session_token
        await socket.send_bytes(encode(Kind.SYNC_FAILED, wire.SystemError(message=f"a bad token: {token}")))
        await socket.receive()
        return socket

    monkeypatch.setenv("INNGEST_DEV", await serve(answer))
    told = (await examine(apps=apps(), register=True)).diagnosis("registration")
    assert "a bad token: ***" in told


async def test_a_password_in_an_address_is_not_shown(dev: Gateway) -> None:
    findings = await examine(api_base_url=dev.url.replace("http://", "http://user:password@"))
    assert "http://***@127.0.0.1" in findings["settings"].found
    assert "password" not in repr(findings)


async def test_a_password_in_the_address_and_a_signing_key_do_not_go_together(cloud: Gateway) -> None:
    findings = await examine(api_base_url=cloud.url.replace("http://", "http://user:password@"))
    assert "cannot be sent beside a signing key -> leave it out" in findings.diagnosis("settings")
    assert "password@" not in repr(findings)


async def test_a_malformed_key_is_not_shown(cloud: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INNGEST_SIGNING_KEY", "signkey-test-nothexatall")
    findings = await examine()
    assert "nothexatall" not in repr(findings)


async def test_a_key_in_the_wrong_variable_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    findings = await examine(api_base_url=KEY)
    assert "no http or https address -> write http://HOST:PORT" in findings.diagnosis("settings")
    assert KEY not in repr(findings)


def hashed(key: str) -> str:
    return SigningKey.parse(key).bearer.reveal()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\n b", "a b"),
        ("http://user:pass@host/x", "http://***@host/x"),
        ("signkey-prod-00ff is", "signkey-*** is"),
        ("the deadbeef of it", "the *** of it"),
        ("ab", "ab"),
    ],
)
def test_scrubbing(text: str, shown: str) -> None:
    assert scrubbed(text, {"deadbeef", "ab"}) == shown


def test_the_verdict_in_json() -> None:
    findings = [Finding("SDK", Mark.GOOD, "it is"), Finding("clock", Mark.WRONG, "late", "set it", 0.5)]
    said = json.loads(Verdict(findings).to_json())
    assert said == {
        "ok": False,
        "connects": False,
        "checks": [
            {"check": "SDK", "result": "good", "found": "it is", "next": "", "seconds": 0.0, "because": ""},
            {"check": "clock", "result": "wrong", "found": "late", "next": "set it", "seconds": 0.5, "because": ""},
        ],
    }
