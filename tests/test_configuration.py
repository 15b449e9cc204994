"""Each setting comes from the option, else from the client, else from the environment; a wrong one is refused at once."""

import asyncio
import signal
import socket
import ssl
from collections.abc import Callable
from typing import Any

import inngest
import pytest
import tenacity

from connect import ConfigurationError, connect
from connect.configuration import resolve
from connect.errors import LinkLost, ProtocolError
from connect.options import Options

PRIMARY, FALLBACK = "ab" * 32, "cd" * 32


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without any variable of Inngest's; a test sets what it needs."""
    for name in ("DEV", "ENV", "SIGNING_KEY", "SIGNING_KEY_FALLBACK", "API_BASE_URL", "BASE_URL"):
        monkeypatch.delenv(f"INNGEST_{name}", raising=False)
    for name in ("CONNECT_GATEWAY_URL", "CONNECT_MAX_WORKER_CONCURRENCY", "THREAD_POOL_MAX_WORKERS"):
        monkeypatch.delenv(f"INNGEST_{name}", raising=False)
    return monkeypatch


def client(app_id: str = "app", **options: Any) -> inngest.Inngest:
    return inngest.Inngest(app_id=app_id, **{"api_base_url": "http://127.0.0.1:9", "is_production": False, **options})


def an_app(**options: Any) -> tuple[inngest.Inngest, list[inngest.Function[Any]]]:
    made = client(**options)

    @made.create_function(fn_id="fn", trigger=inngest.TriggerEvent(event="fn"))
    async def fn(ctx: inngest.Context) -> None: ...

    return made, [fn]


# -- a gateway without encryption ------------------------------------------------------------------------------------------------


def secured(**options: Any) -> Any:
    """The way from a granted endpoint to the one to dial, for an https API and a signing key."""
    return resolve(Options([an_app()], **{"api_base_url": "https://api", "signing_key": PRIMARY, **options})).endpoint


@pytest.mark.parametrize(
    "granted", ["ws://gateway:80/x?token=word", " WS://gateway:80", "w\ns://gateway:80", "ws://me:word@gateway:80"]
)
@pytest.mark.parametrize("options", [{}, {"rewrite_gateway_endpoint": str}, {"api_base_url": "HTTPS://api"}])
def test_an_https_api_cannot_grant_a_plain_gateway(granted: str, options: dict[str, Any]) -> None:
    """The message names the host and the option, and nothing secret. It is an attempt that failed, as others are."""
    with pytest.raises(
        ProtocolError, match=r"ws://gateway:80: .* insecure_gateway=True \(--insecure-gateway\)"
    ) as caught:
        secured(**options)(granted)
    assert "word" not in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"insecure_gateway": True},
        {"signing_key": None},
        {"api_base_url": "http://api"},
    ],
)
def test_a_plain_gateway_is_dialled_where_nothing_is_lost_or_it_is_allowed(options: dict[str, Any]) -> None:
    assert secured(**options)("ws://gateway") == "ws://gateway"


def test_an_address_of_the_users_own_needs_no_permission(monkeypatch: pytest.MonkeyPatch) -> None:
    assert secured(gateway_url="ws://mine:1/x")("wss://granted") == "ws://mine:1/x"
    assert secured(rewrite_gateway_endpoint=lambda _: "ws://mine:1")("ws://granted") == "ws://mine:1"
    monkeypatch.setenv("INNGEST_CONNECT_GATEWAY_URL", "ws://mine:2/x")
    assert secured()("ws://granted") == "ws://mine:2/x"


def test_wss_is_dialled_always() -> None:
    assert secured()("wss://granted") == "wss://granted"


# -- misuse ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("apps", "says"),
    [
        (list, "no apps provided"),
        (lambda: [(client(), []), (client(), [])], "duplicate app id: 'app'"),
        (
            lambda: [(client(), []), (client("b", api_base_url="http://127.0.0.1:8"), [])],
            "inconsistent app config: API",
        ),
        (lambda: [(client(), []), (client("b", env="other"), [])], "inconsistent app config: env"),
        (
            lambda: [(client(), []), (client("b", is_production=True, signing_key="ab"), [])],
            "inconsistent app config: mode",
        ),
        (lambda: [(client(), []), (client("b", signing_key="ab" * 16), [])], "inconsistent app config: signing key"),
        (lambda: 7, r"apps is an int: it must be a list of \(client, \[functions\]\)"),
        (lambda: [7], r"apps\[0\] is an int: write \(client, \[functions\]\)"),
        (lambda: [(client(), [])], "no functions found"),
        (lambda: [client()], "without functions"),
        (lambda: "nowhere:apps", "no module 'nowhere'"),
        (lambda: "json:apps", "has no 'apps'"),
        (lambda: "json", "write MODULE:APPS"),
    ],
)
def test_apps_that_cannot_work_are_refused_at_once(apps: Callable[[], Any], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        connect(apps())


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"signing_key": "signkey-prod-nothexatall"}, "signing_key is not a signing key"),
        ({"signing_key": "signkey-prod-"}, "signing_key is not a signing key"),
        ({"signing_key": "signkey-prod-" + "a" * 31}, "an odd number of digits .31.; copy it again"),
        ({"signing_key_fallback": "xyz"}, "signing_key_fallback is not a signing key"),
        ({"signing_key": f"signkey-branch-{PRIMARY}"}, "branch environments, but none is named"),
        ({"gateway_url": "http://127.0.0.1:8289"}, "must be ws or wss"),
        ({"gateway_url": "ws://"}, "a host is required"),
        ({"api_base_url": "127.0.0.1:8288"}, "no http or https address"),
        ({"api_base_url": "http://"}, "no http or https address"),
        ({"api_base_url": "http://127.0.0.1:99999"}, "no http or https address"),
        ({"api_base_url": "http://[::1"}, "no http or https address"),
        ({"api_base_url": "http://me:word@127.0.0.1", "signing_key": PRIMARY}, "cannot be sent beside a signing key"),
        ({"api_base_url": "ftp://me:zzyzx@host"}, "api_base_url 'ftp://...@host' is no http"),
        ({"gateway_url": "http://me:zzyzx@host"}, "gateway endpoint 'http://...@host': scheme"),
        (
            {"retry": tenacity.Retrying()},
            "a Retrying, which blocks the event loop while it waits: pass a tenacity.AsyncRetrying",
        ),
        ({"retry": tenacity.AsyncRetrying(stop=tenacity.stop_after_attempt(3))}, "retry has a stop condition"),
        ({"isolation": "process", "processes": 1.5}, "processes is 1.5: it must be a whole number"),
        ({"instance_id": " "}, "instance_id is empty"),
        ({"max_worker_concurrency": -1}, "must not be negative"),
        ({"max_worker_concurrency": "5"}, "max_worker_concurrency is '5': it must be a whole number"),
        ({"shutdown_timeout": "300"}, "shutdown_timeout is '300': it must be a number"),
        ({"shutdown_timeout": -1}, "shutdown_timeout is -1: it must not be negative, and None is no limit"),
        ({"connect_timeout": "soon"}, "connect_timeout is 'soon': it must be a number"),
        ({"flush_timeout": float("nan")}, "flush_timeout is nan: it must be more than 0"),
        ({"shutdown_signals": [signal.SIGTERM, signal.SIGKILL]}, "no program can catch"),
        ({"shutdown_signals": ["SIGTERM"]}, "shutdown_signals has 'SIGTERM': name members of signal.Signals"),
        ({"outbox_limit": True}, "outbox_limit is True: it must be a number"),
    ],
)
def test_options_that_cannot_work_are_refused_at_once(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says) as caught:
        connect("main:apps" if "isolation" in options else [an_app()], **options)
    assert "zzyzx" not in str(caught.value)
    assert not any(str(value) in str(caught.value) for name, value in options.items() if "key" in name)


def test_a_gateway_url_from_the_environment_is_checked_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INNGEST_CONNECT_GATEWAY_URL", "https://127.0.0.1")
    with pytest.raises(ConfigurationError, match="INNGEST_CONNECT_GATEWAY_URL"):
        connect([an_app()])


# -- where each setting comes from -----------------------------------------------------------------------------------------------


def known(options: dict[str, Any] | None = None, **client_options: Any) -> Any:
    """The configuration of one app whose client has *client_options*."""
    return resolve(Options([an_app(**client_options)], **options or {}))


def test_without_any_option_a_worker_does_what_its_client_says() -> None:
    made = known(env="branch")
    assert made.origin.rstrip("/") == "http://127.0.0.1:9"
    assert (made.env, made.registration.environment) == ("branch", "branch")
    assert made.registration.instance_id == socket.gethostname()
    assert made.registration.max_worker_concurrency is None
    assert made.endpoint("ws://granted/path") == "ws://granted/path"
    assert (made.shutdown_signals, made.processes, made.http) == ((signal.SIGINT, signal.SIGTERM), None, None)
    assert (made.caution, made.keyring.bearer) == (None, None)


def test_an_option_counts_before_the_clients_own() -> None:
    made = known({"api_base_url": "http://127.0.0.1:8", "env": "mine", "instance_id": "me"}, env="branch")
    assert (made.origin, made.env, made.registration.environment) == ("http://127.0.0.1:8", "mine", "mine")
    assert made.registration.instance_id == "me"


@pytest.mark.parametrize(("option", "variable", "limit"), [(None, "", None), (None, "5", 5), (7, "5", 7), (0, "5", 0)])
def test_the_concurrency_of_the_option_counts_before_the_environments(
    variables: pytest.MonkeyPatch, option: int | None, variable: str, limit: int | None
) -> None:
    """Zero is a limit that was asked for: none."""
    variables.setenv("INNGEST_CONNECT_MAX_WORKER_CONCURRENCY", variable)
    assert known({"max_worker_concurrency": option}).registration.max_worker_concurrency == limit


@pytest.mark.parametrize("asked", [[], [signal.SIGUSR1], (signal.SIGINT, signal.SIGUSR2)])
def test_the_signals_are_those_that_were_asked_for(asked: Any) -> None:
    assert known({"shutdown_signals": asked}).shutdown_signals == tuple(asked)


def test_the_port_is_taken_apart() -> None:
    assert known({"http": "[::1]:9090", "status_page": True}).http == ("::1", 9090)


def test_a_policy_brings_its_own_sleep() -> None:
    """Which may be asynchronous or not."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async def body() -> None:
        for each in (sleep, slept.append):
            await known({"retry": tenacity.AsyncRetrying(sleep=each)}).sleep(0.5)

    asyncio.run(body())
    assert slept == [0.5, 0.5]


# -- signing keys ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("is_production", "options", "keys"),
    [
        (False, {}, 0),
        (False, {"signing_key": PRIMARY}, 1),
        (False, {"signing_key": PRIMARY, "signing_key_fallback": FALLBACK}, 2),
        (True, {}, 2),
        (True, {"signing_key": FALLBACK}, 2),
    ],
)
def test_the_clients_keys_are_sent_in_cloud_mode_and_those_of_the_options_always(
    variables: pytest.MonkeyPatch, is_production: bool, options: dict[str, str], keys: int
) -> None:
    variables.setenv("INNGEST_SIGNING_KEY", PRIMARY)
    variables.setenv("INNGEST_SIGNING_KEY_FALLBACK", FALLBACK)
    made = known(options, is_production=is_production)
    assert len(made.keyring) == keys
    assert made.apps.is_cloud is is_production


def test_no_key_is_left_where_it_can_be_shown() -> None:
    made = known({"signing_key": PRIMARY, "signing_key_fallback": FALLBACK})
    assert (made.options.signing_key, made.options.signing_key_fallback) == (None, None)
    assert PRIMARY not in repr(made)
    assert FALLBACK not in repr(made)


@pytest.mark.parametrize("where", ["options", "client", "environment"])
def test_a_key_for_branch_environments_wants_one_to_be_named(variables: pytest.MonkeyPatch, where: str) -> None:
    key = {"signing_key": f"signkey-branch-{PRIMARY}"}
    with pytest.raises(ConfigurationError, match="branch environments, but none is named"):
        known(key)
    if where == "environment":
        variables.setenv("INNGEST_ENV", "mine")
    made = known({**key, "env": "mine"} if where == "options" else key, **{"env": "mine"} if where == "client" else {})
    assert made.env == "mine"


@pytest.mark.parametrize(
    ("variable", "is_production", "options", "says"),
    [
        ("", False, {}, "the client has is_production=False"),
        ("1", None, {}, "INNGEST_DEV is set"),
        ("", False, {"signing_key": PRIMARY}, "the client has is_production=False"),
        ("", False, {"signing_key": PRIMARY, "api_base_url": "http://127.0.0.1:8"}, None),
        ("", True, {}, None),
    ],
)
def test_a_key_that_development_mode_leaves_unused_is_cautioned_of(
    variables: pytest.MonkeyPatch, variable: str, is_production: bool | None, options: dict[str, str], says: str | None
) -> None:
    variables.setenv("INNGEST_SIGNING_KEY", PRIMARY)
    if variable:
        variables.setenv("INNGEST_DEV", variable)
    caution = known(options, is_production=is_production).caution
    assert caution is None if says is None else caution is not None and says in caution
    assert PRIMARY not in str(caution)


# -- the gateway's address -----------------------------------------------------------------------------------------------------


def test_a_fixed_address_counts_before_the_environments_and_both_before_the_servers(
    variables: pytest.MonkeyPatch,
) -> None:
    variables.setenv("INNGEST_CONNECT_GATEWAY_URL", "ws://variable:8289")
    assert known().endpoint("ws://granted") == "ws://variable:8289/v0/connect"
    assert known({"gateway_url": "wss://option/x"}).endpoint("ws://granted") == "wss://option/x"


def test_a_rewriting_is_given_what_the_server_granted() -> None:
    made = known({"rewrite_gateway_endpoint": lambda granted: granted.replace("inside", "outside")})
    assert made.endpoint("ws://inside:8289/x") == "ws://outside:8289/x"


def broken(_: str) -> str:
    raise KeyError("http://me:zzyzx@host")


def leaving(_: str) -> str:
    raise GeneratorExit("gone")


@pytest.mark.parametrize(
    ("rewrite", "says"),
    [(broken, r"http://\*\*\*@host"), (lambda _: None, "returned a NoneType, not an address"), (leaving, "gone")],
)
def test_a_rewriting_that_goes_wrong_fails_the_attempt_and_no_more(
    rewrite: Any, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is the user's code, so it is no bug of the worker; it is logged with its traceback."""
    made = known({"rewrite_gateway_endpoint": rewrite})
    with pytest.raises(LinkLost, match=says) as caught:
        made.endpoint("ws://granted")
    assert "zzyzx" not in str(caught.value)
    (said,) = [record for record in caplog.records if "rewrite_gateway_endpoint raised" in record.getMessage()]
    assert said.exc_info
    assert "zzyzx" not in said.getMessage()


# -- processes -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"processes": 2}, "processes is 2, but isolation is 'thread'"),
        ({"isolation": "none", "recycle_after": 5}, "recycle_after is 5, but isolation is 'none'"),
        ({"isolation": "process"}, "each process imports the apps: pass their name"),
    ],
)
def test_options_of_processes_are_refused_where_there_are_none(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        known(options)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"deadlines": 5}, "deadlines is 5: pass a connect.Deadlines"),
        ({"ssl": False}, "ssl is False: pass an ssl.SSLContext"),
        ({"ssl": ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)}, "ssl is a context for servers"),
        ({"executor": 5}, "executor is int, without start, execute, stop: implement connect.Executor"),
        ({"insecure_gateway": "false"}, "insecure_gateway is 'false': it must be True or False"),
        ({"rewrite_gateway_endpoint": "ws://x"}, "rewrite_gateway_endpoint is 'ws://x': pass a function"),
        ({"retry": 3}, "retry is a int: pass a tenacity.AsyncRetrying"),
        ({"http": 9090}, "http is of type int: it must be a str"),
        ({"instance_id": 7}, "instance_id is of type int: it must be a str"),
        ({"env": True}, "env is of type bool: it must be a str"),
        ({"gateway_url": b"ws://x"}, "gateway_url is of type bytes: it must be a str"),
        ({"signing_key": b"signkey-test-abc"}, "signing_key is of type bytes: it must be a str"),
    ],
)
def test_a_value_of_another_type_is_refused_at_once(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        connect("main:apps", **options)
    assert says in str(refused.value)
    assert "abc" not in str(refused.value)
