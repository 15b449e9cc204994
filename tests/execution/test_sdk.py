"""The bridge to the SDK takes apps, describes them to the server, and survives every request."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import inngest
import pytest
from sdk_kit import VERSION, Status, invocation, make_apps, make_client, make_function

from connect import wire
from connect.errors import ConfigurationError
from connect.execution import sdk, sdk_internals
from connect.execution.function_guard import Attempt

pytestmark = pytest.mark.oldest

KEY = "signkey-test-12345678"


async def hello(ctx: inngest.Context) -> str:
    return "hello"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of the machine decides a test."""
    for name in ("DEV", "ENV", "SIGNING_KEY", "SIGNING_KEY_FALLBACK", "API_BASE_URL", "BASE_URL"):
        monkeypatch.delenv(f"INNGEST_{name}", raising=False)
    for name in ("THREAD_POOL_MAX_WORKERS", "CONNECT_MAX_WORKER_CONCURRENCY"):
        monkeypatch.delenv(f"INNGEST_{name}", raising=False)


def app(app_id: str = "app", **options: Any) -> sdk.App:
    client = make_client(app_id, **options)
    return client, [make_function(client, "hello", hello)]


# -- misuse ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"api_base_url": "http://127.0.0.1:9"}, "inconsistent app config: API base URL"),
        ({"env": "other"}, "inconsistent app config: env"),
        ({"is_production": True, "api_base_url": "http://127.0.0.1:8288/"}, "inconsistent app config: mode"),
        ({"signing_key": KEY}, "inconsistent app config: signing key"),
    ],
)
def test_apps_that_differ_are_refused_in_the_official_words(other: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        sdk.load([app("one"), app("two", **other)])
    assert str(caught.value) == said


def test_everything_that_differs_is_told_in_the_official_order() -> None:
    other = app("two", api_base_url="http://127.0.0.1:9", env="other", is_production=True, signing_key=KEY)
    with pytest.raises(ConfigurationError, match="API base URL"):
        sdk.load([app("one"), other])


@pytest.mark.parametrize("nothing", [[], ()])
def test_no_apps(nothing: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^no apps provided$"):
        sdk.load(nothing)


def test_an_app_twice() -> None:
    with pytest.raises(ConfigurationError, match=r"^duplicate app id: 'app'"):
        sdk.load([app(), app()])


def test_a_function_twice() -> None:
    client = make_client()
    twice = [make_function(client, "hello", hello), make_function(client, "hello", hello)]
    with pytest.raises(ConfigurationError, match="duplicate function id in app 'app': 'app-hello'"):
        sdk.load([(client, twice)])


def test_an_app_without_functions() -> None:
    with pytest.raises(ConfigurationError, match="the functions of app 'app': no functions found"):
        sdk.load([(make_client(), [])])


@pytest.mark.parametrize("wrap", [lambda client: client, lambda client: [client]])
def test_a_client_alone_does_not_know_its_functions(wrap: Any) -> None:
    said = r"^apps(\[0\])? is a client \(of app 'app'\) without functions: .*\(client, \[functions\]\)$"
    with pytest.raises(ConfigurationError, match=said):
        sdk.load(wrap(make_client()))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (None, "apps is None: it must be a list of (client, [functions])"),
        (7, "apps is an int: it must be a list of (client, [functions])"),
        ([None], "apps[0] is None: write (client, [functions])"),
        ([(KEY, [])], "apps[0] is a tuple: write (client, [functions])"),
        ([(make_client(), hello)], "apps[0] has a Python function ('hello') in place of a list of functions"),
        (
            [(make_client(), [hello])],
            "apps[0] has a Python function ('hello') among its functions: decorate it with @client.create_function(…)",
        ),
    ],
)
def test_what_is_no_app_is_named_by_its_kind(wrong: Any, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        sdk.load(wrong)
    assert said in str(caught.value)
    assert caught.value.option == "apps"
    assert KEY not in str(caught.value)


def test_production_without_a_key_says_what_to_set() -> None:
    with pytest.raises(ConfigurationError, match="set INNGEST_SIGNING_KEY, or INNGEST_DEV=1"):
        sdk.load([app(is_production=True)])


def test_a_key_that_the_worker_is_given_stands_in_for_the_clients() -> None:
    given = app(is_production=True)
    assert sdk.load([given], signing_key=KEY).is_cloud
    assert given[0].signing_key is None


@pytest.mark.parametrize("variable", ["INNGEST_CONNECT_MAX_WORKER_CONCURRENCY", "INNGEST_THREAD_POOL_MAX_WORKERS"])
@pytest.mark.parametrize("text", ["many", "-1", "1.5"])
def test_a_variable_that_is_no_number_is_named(monkeypatch: pytest.MonkeyPatch, variable: str, text: str) -> None:
    monkeypatch.setenv(variable, text)
    with pytest.raises(ConfigurationError, match=f"{variable} is '{text}': it must be a whole number"):
        sdk.load([app()])


# -- what the connection says of the apps ------------------------------------------------------------------------------------


def test_one_app_needs_no_list() -> None:
    assert [each.app_name for each in sdk.load(app()).configurations] == ["app"]


def test_what_the_client_knows_is_told() -> None:
    known = sdk.load([app(api_base_url="http://127.0.0.1:8288", env="branch", signing_key=KEY)])
    assert known.api_origin.rstrip("/") == "http://127.0.0.1:8288"
    assert (known.env, known.is_cloud, known.signing_key, known.signing_key_fallback) == ("branch", False, KEY, None)
    assert (known.framework, known.sdk_language, known.sdk_version) == ("connect", "py", VERSION)
    assert json.loads(known.capabilities) == {"connect": "v1", "in_band_sync": "v1", "trust_probe": "v1"}


def test_in_the_cloud_both_keys_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INNGEST_SIGNING_KEY_FALLBACK", "signkey-test-87654321")
    known = sdk.load([app(is_production=True, signing_key=KEY)])
    assert (known.is_cloud, known.signing_key, known.signing_key_fallback) == (True, KEY, "signkey-test-87654321")


@pytest.mark.parametrize(("text", "number"), [(None, None), ("", None), ("0", 0), ("12", 12)])
def test_concurrency_comes_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, text: str | None, number: int | None
) -> None:
    if text is not None:
        monkeypatch.setenv("INNGEST_CONNECT_MAX_WORKER_CONCURRENCY", text)
    assert sdk.load([app()]).max_worker_concurrency == number


def test_functions_are_described_as_the_server_reads_them() -> None:
    client = make_client("shop")

    async def failed(ctx: inngest.Context) -> None:
        return None

    throttle = inngest.Throttle(limit=2, period=60_000)
    function = make_function(client, "buy", hello, name="Buy", retries=3, on_failure=failed, throttle=throttle)
    [configuration] = sdk.load([(client, [function])]).configurations
    main, failure = json.loads(configuration.functions)
    assert configuration.app_name == "shop"
    assert {key: main[key] for key in ("id", "name", "triggers", "steps")} == {
        "id": "shop-buy",
        "name": "Buy",
        "triggers": [{"event": "test/buy"}],
        "steps": {
            "step": {
                "id": "step",
                "name": "step",
                "retries": {"attempts": 3},
                "runtime": {"type": "ws", "url": "wss://connect?fnId=shop-buy&stepId=step"},
            }
        },
    }
    assert main["throttle"]["limit"] == 2
    assert failure["id"] == "shop-buy-failure"
    assert failure["triggers"] == [
        {"event": "inngest/function.failed", "expression": "event.data.function_id == 'shop-buy'"}
    ]
    assert b"null" not in configuration.functions


def test_an_apps_version_is_told() -> None:
    versioned = hasattr(inngest.Inngest, "app_version")  # from 0.5.18 on
    [configuration] = sdk.load([app(**{"app_version": "v7"} if versioned else {})]).configurations
    assert configuration.app_version == ("v7" if versioned else "")


def test_a_version_is_left_out_where_there_is_none() -> None:
    [configuration] = sdk.load([app()]).configurations
    assert not configuration.HasField("app_version")


# -- requests ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "payload",
    [b"", b"{", b"null", b"[]", b"7", b"{}", b"\xff\xfe", b'{"ctx": {}, "event": {}, "steps": {}, "use_api": false}'],
)
async def test_a_payload_that_is_no_request_is_an_error_and_no_more(payload: bytes) -> None:
    outcome = await make_apps(hello=hello).run(invocation("app-hello", payload=payload))
    assert outcome.status == Status.ERROR
    assert {"name", "message"} <= set(json.loads(outcome.body))


async def test_an_unknown_app_is_named_and_so_are_the_known() -> None:
    known = sdk.load([app("shop"), app("mail")])
    outcome = await known.run(invocation("other-hello", app="other"))
    assert (outcome.status, outcome.no_retry) == (Status.ERROR, False)
    assert json.loads(outcome.body) == {
        "name": "AppNotFound",
        "message": "this worker has no app 'other'; it has mail, shop",
    }


async def test_an_unknown_function_is_named_and_so_are_the_known() -> None:
    outcome = await make_apps(hello=hello, bye=hello).run(invocation("app-other"))
    assert (outcome.status, outcome.no_retry) == (Status.ERROR, False)
    assert json.loads(outcome.body) == {
        "name": "FunctionNotFound",
        "message": "app 'app' has no function 'app-other'; it has app-bye, app-hello",
    }


class Response:
    """A response that the SDK's handler has never been seen to make."""

    body: Any = None
    sdk_version = None
    request_version = None

    def __init__(self, status_code: int) -> None:
        self.status_code = status_code
        self.no_retry = True
        self.retry_after = "5"

    def body_bytes(self) -> bytes:
        return b"{}"


@pytest.mark.parametrize("code", [200, 206, 201, 401, 404, 500])
def test_only_done_and_not_completed_are_no_errors(code: int) -> None:
    outcome = sdk._outcome(Response(code), Attempt())  # type: ignore[arg-type]
    expected = {200: Status.DONE, 206: Status.NOT_COMPLETED}.get(code, Status.ERROR)
    assert outcome.status == expected
    # On a DONE they would turn the success into a failure (PROTOCOL.md §6.6).
    assert (outcome.no_retry, outcome.retry_after) == ((False, None) if code == 200 else (True, "5"))


async def test_running_leaves_no_task_behind() -> None:
    await make_apps(hello=hello).run(invocation("app-hello"))
    await asyncio.sleep(0)  # the SDK times with a task that it has only cancelled
    assert asyncio.all_tasks() == {asyncio.current_task()}


# -- the SDK itself ----------------------------------------------------------------------------------------------------------

LACKING = """
import inngest._internal.comm_lib as comm_lib
del comm_lib.get_function_configs
import inngest
import connect
client = inngest.Inngest(app_id="app", is_production=False)
connect.connect([(client, [client.create_function(fn_id="f", trigger=inngest.TriggerCron(cron="* * * * *"))(lambda ctx: 1)])])
"""

CHANGED = """
import inngest, inngest._internal.comm_lib as comm_lib
class Changed:
    def __init__(self, *, client, mode): pass
comm_lib.CommHandler = Changed
from connect.execution import sdk
client = inngest.Inngest(app_id="app", is_production=False)
sdk.load([(client, [client.create_function(fn_id="f", trigger=inngest.TriggerCron(cron="* * * * *"))(lambda ctx: 1)])])
"""


@pytest.mark.parametrize(
    ("program", "lacks"),
    [(LACKING, "get_function_configs"), (CHANGED, "(CommHandler(), CommHandler.post, CommHandler.post_sync)")],
)
def test_an_sdk_with_other_internals_is_refused_with_the_range_that_works(program: str, lacks: str) -> None:
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)  # noqa: S603
    assert ended.returncode == 1
    last = ended.stderr.strip().splitlines()[-1]
    assert last.startswith(f"connect.errors.ConfigurationError: inngest {VERSION} lacks what this worker needs")
    assert lacks in last
    assert sdk_internals.SUPPORTED in last


def test_the_range_is_the_one_that_is_installed_with() -> None:
    project = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    assert f'"{sdk_internals.SUPPORTED}"' in project


def test_the_wire_messages_are_this_packages_own() -> None:
    [configuration] = sdk.load([app()]).configurations
    assert isinstance(configuration, wire.AppConfiguration)
