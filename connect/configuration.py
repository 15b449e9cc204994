"""Configuration: what the options, the clients and the environment come to, checked once, before anything is dialled."""

import asyncio
import os
import random
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from ssl import PROTOCOL_TLS_SERVER, SSLContext
from typing import TYPE_CHECKING, Final, get_args

from connect import origins, retry_policy
from connect.backoff import Backoff
from connect.deadlines import Deadlines
from connect.errors import ConfigurationError, LinkLost, ProtocolError
from connect.execution import Executor, sdk
from connect.execution.function_guard import pass_ctrl_c_on
from connect.log_format import REPEATS, described
from connect.loops import signals
from connect.options import Isolation, OnLeaseLost, Options, declared
from connect.redaction import logger, peer_text
from connect.secrets import Keyring, Secret, SigningKey, without_passwords
from connect.transport.api import Api, gateway_endpoint
from connect.transport.network import Reach, internet
from connect.transport.proxies import Proxies
from connect.transport.registration import Registration, system_attributes
from connect.transport.websocket import host_of
from statecharts import library

if TYPE_CHECKING:
    from connect.execution.process_pool import PoolSettings

log = logger("connect")

_UNCATCHABLE: Final = {getattr(signal, name, None) for name in ("SIGKILL", "SIGSTOP")}


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """What a worker needs to know: the options as they were given, and what became of them."""

    options: Options
    apps: sdk.Apps
    origin: str
    """The API's address."""
    env: str | None
    keyring: Keyring
    proxies: Proxies
    network: Reach
    backoff: Callable[[], Backoff]
    """Makes what says how long the dial loop waits."""
    secrets: tuple[Secret, ...]
    """Those that are not sent to the API, or not as they are. They live as long as this, so that no peer's text shows them."""
    caution: str | None
    """Logged at the start, at WARNING; None: nothing is odd."""
    registration: Registration
    endpoint: Callable[[str], str]
    """From the gateway address that the server grants to the one to dial. Raises: ConfigurationError."""
    shutdown_signals: tuple[signal.Signals, ...]
    processes: "PoolSettings | None"
    http: tuple[str, int] | None
    rng: random.Random
    sleep: Callable[[float], Awaitable[None]]


def resolve(options: Options) -> Configuration:
    """Check *options* and complete them: an option counts first, then the client's value, then the environment.

    Raises: ConfigurationError: it names the option and says what to change.
    """
    _check_charts()
    _check_values(options)
    numbers = signals.SHUTDOWN if options.shutdown_signals is None else _signals(options.shutdown_signals)
    processes = _processes(options, numbers)
    _check_executor(options.executor)
    apps = sdk.load(options.apps, options.signing_key)
    rng = random.Random()  # noqa: S311 - spreads retries, guards nothing
    environment = options.env or apps.env
    keyring = _keyring(apps, options.signing_key, options.signing_key_fallback, environment)
    origin = origins.checked(options.api_base_url, apps.api_origin, is_key_sent=bool(keyring.bearer))
    proxies = _proxies(options, origin)
    api = partial(Api, origin=origin, env=environment, keyring=keyring, timeout=options.deadlines.start)
    return Configuration(
        options=replace(
            options, signing_key=None, signing_key_fallback=None, proxy=None
        ),  # others have them, as secrets
        apps=apps,
        origin=origin,
        env=environment,
        keyring=keyring,
        proxies=proxies,
        network=partial(internet, api, proxies, options.ssl),
        backoff=partial(Backoff, keyring, rng, options.retry.wait if options.retry else None),
        secrets=tuple(map(Secret, apps.secrets)),
        caution=_caution(apps, options.signing_key, options.api_base_url),
        registration=Registration(
            instance_id=_instance_id(options.instance_id),
            apps=apps.configurations,
            capabilities=apps.capabilities,
            framework=apps.framework,
            sdk_language=apps.sdk_language,
            sdk_version=apps.sdk_version,
            system=system_attributes(),
            environment=environment,
            max_worker_concurrency=_concurrency(options.max_worker_concurrency, apps),
            started_at=time.time(),
        ),
        endpoint=_endpoint(options, is_guarded=bool(keyring.bearer) and origin.lower().startswith("https:")),
        shutdown_signals=numbers,
        processes=processes,
        http=_http(options.http, options.status_page),
        rng=rng,
        sleep=asyncio.sleep if options.retry is None else retry_policy.sleep_of(options.retry),
    )


def _check_values(options: Options) -> None:
    """What can be wrong with each option by itself."""
    _check_types(options)
    _one_of("isolation", options.isolation, get_args(Isolation))
    _one_of("on_lease_lost", options.on_lease_lost, get_args(OnLeaseLost))
    _positive(
        connect_timeout=options.connect_timeout,
        flush_timeout=options.flush_timeout,
        outbox_limit=options.outbox_limit,
    )
    for name, value in {"shutdown_timeout": options.shutdown_timeout, "stall_warning": options.stall_warning}.items():
        if value is not None and not _number(name, value) >= 0:
            none = "no limit" if name == "shutdown_timeout" else "no warning"
            raise ConfigurationError(f"{name} is {value}: it must not be negative, and None is {none}", name)
    if options.retry is not None:
        retry_policy.check(options.retry)


def _check_types(options: Options) -> None:
    for each in declared():
        value = getattr(options, each.name)
        if each.kind == str | None and not isinstance(value, str | None):
            raise ConfigurationError(f"{each.name} is of type {type(value).__name__}: it must be a str", each.name)
        if each.kind is bool and not isinstance(value, bool):
            raise ConfigurationError(f"{each.name} is {value!r}: it must be True or False", each.name)
    if options.rewrite_gateway_endpoint is not None and not callable(options.rewrite_gateway_endpoint):
        raise ConfigurationError(
            f"rewrite_gateway_endpoint is {options.rewrite_gateway_endpoint!r}: pass a function that takes an address and "
            "returns one, or gateway_url for a fixed address"
        )
    if not isinstance(options.ssl, SSLContext | None):
        raise ConfigurationError(f"ssl is {options.ssl!r}: pass an ssl.SSLContext")
    if options.ssl and options.ssl.protocol is PROTOCOL_TLS_SERVER:
        raise ConfigurationError("ssl is a context for servers: pass one of ssl.create_default_context()")
    if not isinstance(options.deadlines, Deadlines):
        raise ConfigurationError(f"deadlines is {options.deadlines!r}: pass a connect.Deadlines")


def _check_executor(executor: Executor | None) -> None:
    missing = [name for name in ("start", "execute", "stop") if not callable(getattr(executor, name, None))]
    if executor is not None and missing:
        kind = type(executor).__name__
        raise ConfigurationError(f"executor is {kind}, without {', '.join(missing)}: implement connect.Executor")


def _check_charts() -> None:
    try:
        library.check()
    except library.LackingError as error:
        raise ConfigurationError(str(error)) from error


def _processes(options: Options, numbers: Iterable[int]) -> "PoolSettings | None":
    """What the processes are to be; None: there are none."""
    given = {"processes": options.processes, "recycle_after": options.recycle_after}
    if options.isolation != "process":
        for name, value in given.items():
            if value is not None:
                raise ConfigurationError(
                    f'{name} is {value}, but isolation is {options.isolation!r}: pass isolation="process" (--isolation process)',
                    name,
                )
        return None
    if sys.platform == "win32":
        raise ConfigurationError('isolation="process" needs a POSIX system: use "thread", and run several workers')
    if options.executor is not None:
        raise ConfigurationError('executor and isolation="process" exclude each other: leave one of them out')
    if not isinstance(options.apps, str):
        raise ConfigurationError(
            'with isolation="process" each process imports the apps: pass their name, "MODULE:APPS", instead of themselves'
        )
    for name, value in given.items():
        if value is not None:
            _whole(name, value)
    _positive(**given)
    from connect.execution.process_pool import PoolSettings, cores  # imported only for workers that have processes

    return PoolSettings(
        apps=options.apps,
        count=options.processes or cores(),
        recycle_after=options.recycle_after,
        signing_key=Secret(options.signing_key) if options.signing_key else None,
        signals=tuple({*signals.SHUTDOWN, *numbers}),
        traces=options.traces,
        stall_warning=options.stall_warning,
    )


def _http(http: str | None, status_page: bool) -> tuple[str, int] | None:
    if status_page and not http:
        raise ConfigurationError("status_page needs an address: pass http=HOST:PORT, such as 127.0.0.1:9090")
    if not http:
        return None
    from connect.watching.http import address  # imported only for workers that serve HTTP

    return address(http)


def _keyring(known: sdk.Apps, primary: str | None, fallback: str | None, env: str | None) -> Keyring:
    """A key given here is always sent; a client's own only in cloud mode, as the official client does."""
    keys = [
        _key(option, given, client if known.is_cloud else None)
        for option, given, client in (
            ("signing_key", primary, known.signing_key),
            ("signing_key_fallback", fallback, known.signing_key_fallback),
        )
    ]
    if env is None and any(key and key.is_branch for key in keys):
        raise ConfigurationError(
            "the signing key is for branch environments, but none is named: pass env=… or set INNGEST_ENV"
        )
    return Keyring(*keys)


def _key(option: str, given: str | None, client: str | None) -> SigningKey | None:
    """The key that the option gives, or else the client. Raises: ConfigurationError: it names the option or the variable."""
    if given:
        return SigningKey.parse(given, option)
    variable = f"INNGEST_{option.upper()}"
    is_from_variable = client == os.environ.get(variable)
    return SigningKey.parse(client, variable if is_from_variable else f"the client's {option}") if client else None


def _caution(known: sdk.Apps, signing_key: str | None, api_base_url: str | None) -> str | None:
    """A warning about a signing key that is set for a client in development mode; None: there is nothing to warn of."""
    if known.is_cloud or not (signing_key or known.signing_key) or (signing_key and api_base_url):
        return None
    if sdk.is_dev_variable_set():
        cause, cure = "INNGEST_DEV is set", "unset it for production, or unset INNGEST_SIGNING_KEY"
    else:
        cause, cure = "the client has is_production=False", "leave that out: INNGEST_DEV decides then"
    goes_to = without_passwords(api_base_url or known.api_origin)
    return f"there is a signing key, but {cause}, so this worker is in development mode and turns to {goes_to}: {cure}"


def _concurrency(asked: int | None, known: sdk.Apps) -> int | None:
    value = known.max_worker_concurrency if asked is None else asked
    if value is None:
        return None
    name = "max_worker_concurrency"
    if _whole(name, value) < 0:
        raise ConfigurationError(f"{name} is {value}: it must not be negative; 0 is no limit", name)
    return value


def _instance_id(asked: str | None) -> str:
    if asked is None:
        return socket.gethostname()
    if not asked.strip():
        raise ConfigurationError(
            "instance_id is empty: leave it out for the host's name, or pass one that survives restarts", "instance_id"
        )
    return asked


def _proxies(options: Options, origin: str) -> Proxies:
    """The proxies, of which those that will be used can be: for the API, and for a gateway beside it or at a given address.

    Raises: ConfigurationError: it names the variable or option, and shows no password.
    """
    found = Proxies.of(options.proxy)
    for url in (origin, _fixed_gateway(options) or f"ws{origin[4:]}"):
        found.find(url)
    return found


def _fixed_gateway(options: Options) -> str | None:
    """The address of the user's own, in place of the granted ones; None: there is none. Raises: ConfigurationError."""
    option, variable = "gateway_url", "INNGEST_CONNECT_GATEWAY_URL"
    fixed = options.gateway_url or os.environ.get(variable)
    try:
        return gateway_endpoint(fixed) if fixed else None
    except ValueError as error:
        source = option if options.gateway_url else variable
        raise ConfigurationError(f"{source}: {error}", option if source == option else "") from None


def _endpoint(options: Options, *, is_guarded: bool) -> Callable[[str], str]:
    """From the endpoint that the server grants to the one to dial: replaced, or rewritten, or as it is.

    *is_guarded*: a signing key is sent, to an https API. Then a granted address without encryption is refused, unless the user
    allows it. An address of the user's own is dialled as it is.
    """
    if url := _fixed_gateway(options):
        return lambda _: url
    rewrite = options.rewrite_gateway_endpoint
    endpoint = _guarded(rewrite) if rewrite else (lambda granted: granted)
    return _encrypted(endpoint) if is_guarded and not options.insecure_gateway else endpoint


def _encrypted(endpoint: Callable[[str], str]) -> Callable[[str], str]:
    def checked(granted: str) -> str:
        url = endpoint(granted)
        if url == granted and gateway_endpoint(url).startswith("ws:"):
            raise ProtocolError(
                f"the API is https, but grants a gateway without encryption, ws://{host_of(gateway_endpoint(url))}: tokens and "
                "payloads could be read on the way; pass insecure_gateway=True (--insecure-gateway) if that way is "
                "safe, or have the server grant a wss address"
            )
        return url

    return checked


def _guarded(rewrite: Callable[[str], str]) -> Callable[[str], str]:
    """*rewrite*, which is the user's: what goes wrong in it fails the attempt, and is not taken for a bug of the worker."""

    def rewritten(granted: str) -> str:
        try:
            return _text(rewrite(granted))
        except BaseException as error:  # a GeneratorExit, say, would end the attempt without a word
            pass_ctrl_c_on(error)
            told = peer_text(described(error))
            log.warning("rewrite_gateway_endpoint raised %s: this attempt fails", told, exc_info=error, extra=REPEATS)
            raise LinkLost(peer_text(error)) from error

    return rewritten


def _text(url: object) -> str:
    if not isinstance(url, str):
        raise TypeError(f"rewrite_gateway_endpoint returned a {type(url).__name__}, not an address")
    return url


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigurationError(f"{name} is {value!r}: it must be one of {', '.join(allowed)}", name)


def _signals(asked: Sequence[signal.Signals]) -> tuple[signal.Signals, ...]:
    for number in asked:
        if number not in signal.valid_signals():
            raise ConfigurationError(f"shutdown_signals has {number!r}: name members of signal.Signals")
        if number in _UNCATCHABLE:
            raise ConfigurationError(f"shutdown_signals has {number!r}, which no program can catch: SIGTERM can be")
    return tuple(asked)


def _positive(**values: float | None) -> None:
    for name, value in values.items():
        if value is not None and not _number(name, value) > 0:
            raise ConfigurationError(f"{name} is {value}: it must be more than 0", name)


def _whole(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigurationError(f"{name} is {value!r}: it must be a whole number", name)
    return value


def _number(name: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigurationError(f"{name} is {value!r}: it must be a number", name)
    return value
