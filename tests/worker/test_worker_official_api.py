"""A drop-in for `inngest.connect`: its requests to the API, and what it refuses at once."""

from typing import Any

import inngest
import inngest.connect
import pytest
from official import Server, Watched, within
from rig import CLOSED, CONNECTING

from connect import connect
from connect.gateway import Answer, Gateway

# -- the start request -------------------------------------------------------------------------------------------------------

DEADBEEF = "5f78c33274e43fa9de5659265c1d917e25c03722dcb0b8d27db8d5feaa813953"
CAFEBABE = "65ab12a8ff3263fbc257e5ddf0aa563c64573d0bab1f1115b9b107834cfa6971"


def authorizations(gw: Gateway) -> list[str | None]:
    """The Authorization header of each start request."""
    return [call.headers.get("authorization") for call in gw.calls("start")]


async def test_cloud_mode_sends_the_hashed_signing_key(embedded: Server, gw: Gateway, run: Any) -> None:
    embedded.client = embedded.make_client(is_production=True, signing_key="deadbeef")
    await run(connect([(embedded.client, [Watched(embedded).function])]))
    assert authorizations(gw) == [f"Bearer {DEADBEEF}"]


async def test_development_mode_sends_none(embedded: Server, gw: Gateway, run: Any) -> None:
    embedded.client = embedded.make_client(signing_key="deadbeef")
    await run(connect([(embedded.client, [Watched(embedded).function])]))
    assert authorizations(gw) == [None]


async def test_a_refused_key_gives_way_to_the_fallback(
    embedded: Server, gw: Gateway, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INNGEST_SIGNING_KEY_FALLBACK", "cafebabe")
    gw.signing_keys = ("cafebabe",)
    embedded.client = embedded.make_client(is_production=True, signing_key="deadbeef")
    await run(connect([(embedded.client, [Watched(embedded).function])]))
    assert authorizations(gw) == [f"Bearer {DEADBEEF}", f"Bearer {CAFEBABE}"]


async def test_unauthorized_leaves_start(embedded: Server, gw: Gateway, run: Any) -> None:
    gw.signing_keys = ("cafebabe",)
    worker = await run(connect([(embedded.client, [Watched(embedded).function])]), ready=False)
    with pytest.raises(Exception, match="unauthorized"):
        await within(worker.task)


async def test_rewrite_gateway_endpoint(embedded: Server, gw: Gateway, run: Any) -> None:
    """It gets the address that the server granted, and returns the one to dial."""
    gw.advertise = lambda _: "ws://gateway.invalid:1/v0/connect"
    granted: list[str] = []

    def rewrite(endpoint: str) -> str:
        granted.append(endpoint)
        return f"ws://127.0.0.1:{gw.port}/v0/connect"

    await run(connect([(embedded.client, [Watched(embedded).function])], rewrite_gateway_endpoint=rewrite))
    assert granted == ["ws://gateway.invalid:1/v0/connect"]


async def test_close_before_connected(embedded: Server, gw: Gateway, run: Any) -> None:
    gw.starts.standing = Answer(500)
    connection = connect([(embedded.client, [Watched(embedded).function])])
    worker = await run(connection, ready=False)
    await gw.wait_for(lambda record: record in gw.calls("start"))
    await connection.close()
    await within(worker.task)
    assert worker.states == [CONNECTING, CLOSED]


# -- immediate failure -------------------------------------------------------------------------------------------------------


def client_with(app_id: str, **options: Any) -> tuple[inngest.Inngest, list[inngest.Function[Any]]]:
    client = inngest.Inngest(app_id=app_id, **options)

    @client.create_function(fn_id="fn", trigger=inngest.TriggerEvent(event="event"))
    async def fn(ctx: inngest.Context) -> None: ...

    return client, [fn]


LOCAL = {"api_base_url": "http://127.0.0.1:8288", "is_production": False}


@pytest.mark.parametrize(
    ("message", "one", "other"),
    [
        ("API base URL", LOCAL, LOCAL | {"api_base_url": "http://127.0.0.1:8289"}),
        ("env", LOCAL | {"env": "one"}, LOCAL | {"env": "other"}),
        ("mode", LOCAL | {"is_production": True, "signing_key": "deadbeef"}, LOCAL),
        ("signing key", LOCAL | {"signing_key": "deadbeef"}, LOCAL | {"signing_key": "abc123"}),
    ],
)
def test_inconsistent_apps_are_refused_at_once(message: str, one: Any, other: Any) -> None:
    with pytest.raises(Exception, match=f"^inconsistent app config: {message}$"):
        connect([client_with("app-1", **one), client_with("app-2", **other)])


def test_no_apps_are_refused_at_once() -> None:
    with pytest.raises(Exception, match=r"^no apps provided$"):
        connect([])
