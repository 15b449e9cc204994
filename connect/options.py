"""Options: what `connect()` was asked for, resolved and checked once, before anything is dialled."""

import asyncio
import importlib.metadata
import os
import random
import signal
import socket
import sys
import time
import urllib.parse
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import tenacity

from connect.deadlines import Deadlines
from connect.errors import ConfigurationError
from connect.execution import Executor, sdk
from connect.requests import OnLeaseLost
from connect.secrets import Keyring, Secret, SigningKey, without_passwords
from connect.transport.api import gateway_endpoint
from connect.transport.registration import Registration
from connect.watching.http import address
from statecharts import library

if TYPE_CHECKING:
    from connect.execution.processes import Plan

Isolation = Literal["thread", "none", "process"]

DEFAULT_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_UNCATCHABLE: Final = {getattr(signal, name, None) for name in ("SIGKILL", "SIGSTOP")}
OUTBOX_LIMIT: Final = 256 * 1024 * 1024
"""Bytes of unconfirmed replies."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Everything a worker needs to know. All times are seconds; the parameters of `connect()` say what each means."""

    apps: sdk.Apps
    origin: str
    env: str | None
    keyring: Keyring
    caution: str | None
    """What is to be said at the start, at WARNING."""
    registration: Registration
    endpoint: Callable[[str], str]
    shutdown_signals: tuple[signal.Signals, ...]
    connect_timeout: float | None
    shutdown_timeout: float | None
    flush_timeout: float
    retry: tenacity.AsyncRetrying | None
    isolation: Isolation
    processes: "Plan | None"
    executor: Executor | None
    on_lease_lost: OnLeaseLost
    outbox_limit: int
    http: tuple[str, int] | None
    status_page: bool
    traces: bool
    deadlines: Deadlines
    rng: random.Random
    sleep: Callable[[float], Awaitable[None]]


def resolve(
    apps: sdk.AppsArgument,
    *,
    instance_id: str | None,
    rewrite_gateway_endpoint: Callable[[str], str] | None,
    shutdown_signals: Sequence[signal.Signals] | None,
    max_worker_concurrency: int | None,
    signing_key: str | None,
    signing_key_fallback: str | None,
    api_base_url: str | None,
    env: str | None,
    gateway_url: str | None,
    connect_timeout: float | None,
    shutdown_timeout: float | None,
    flush_timeout: float,
    retry: tenacity.AsyncRetrying | None,
    isolation: Isolation,
    processes: int | None,
    recycle_after: int | None,
    executor: Executor | None,
    on_lease_lost: OnLeaseLost,
    outbox_limit: int,
    http: str | None,
    status_page: bool,
    traces: bool,
    deadlines: Deadlines,
) -> Options:
    """Check and complete what `connect()` was given: an option first, then the client's value, then the environment.

    Raises: ConfigurationError: it says which option, and what to change.
    """
    _check_charts()
    _one_of("isolation", isolation, ("thread", "none", "process"))
    numbers = DEFAULT_SIGNALS if shutdown_signals is None else _signals(shutdown_signals)
    plan = _plan(apps, isolation, processes, recycle_after, executor, signing_key, numbers, traces)
    known = sdk.load(apps, signing_key)
    environment = env or known.env
    _one_of("on_lease_lost", on_lease_lost, ("cancel", "finish"))
    _positive(connect_timeout=connect_timeout, flush_timeout=flush_timeout, outbox_limit=outbox_limit)
    if shutdown_timeout is not None and _number("shutdown_timeout", shutdown_timeout) < 0:
        raise ConfigurationError(
            f"shutdown_timeout is {shutdown_timeout}: it must not be negative, and None is no limit"
        )
    if retry is not None:
        _check_policy(retry)
    keyring = _keyring(known, signing_key, signing_key_fallback, environment)
    return Options(
        apps=known,
        origin=_origin(api_base_url or known.api_origin, keyring),
        env=environment,
        keyring=keyring,
        caution=_caution(known, signing_key, api_base_url),
        registration=Registration(
            instance_id=_instance_id(instance_id),
            apps=known.configurations,
            capabilities=known.capabilities,
            framework=known.framework,
            sdk_language=known.sdk_language,
            sdk_version=known.sdk_version,
            system=sdk.system_attributes(),
            environment=environment,
            max_worker_concurrency=_concurrency(max_worker_concurrency, known),
            started_at=time.time(),
        ),
        endpoint=_endpoint(gateway_url, rewrite_gateway_endpoint),
        shutdown_signals=numbers,
        connect_timeout=connect_timeout,
        shutdown_timeout=shutdown_timeout,
        flush_timeout=flush_timeout,
        retry=retry,
        isolation=isolation,
        processes=plan,
        executor=executor,
        on_lease_lost=on_lease_lost,
        outbox_limit=outbox_limit,
        http=_http(http, status_page),
        status_page=status_page,
        traces=traces,
        deadlines=deadlines,
        rng=random.Random(),  # noqa: S311 - spreads retries, guards nothing
        sleep=asyncio.sleep if retry is None else _sleep_of(retry),
    )


def _check_charts() -> None:
    try:
        library.check()
    except library.LackingError as error:
        raise ConfigurationError(str(error)) from error


def _plan(
    apps: sdk.AppsArgument,
    isolation: Isolation,
    processes: int | None,
    recycle_after: int | None,
    executor: Executor | None,
    signing_key: str | None,
    numbers: Iterable[int],
    traces: bool,
) -> "Plan | None":
    """What the processes are to be; None: there are none."""
    if isolation != "process":
        for name, value in (("processes", processes), ("recycle_after", recycle_after)):
            if value is not None:
                raise ConfigurationError(f'{name} is {value}, but isolation is {isolation!r}: pass isolation="process"')
        return None
    if sys.platform == "win32":
        raise ConfigurationError('isolation="process" needs a POSIX system: use "thread", and run several workers')
    if executor is not None:
        raise ConfigurationError('executor and isolation="process" exclude each other: leave one of them out')
    if not isinstance(apps, str):
        raise ConfigurationError(
            'with isolation="process" each process imports the apps: pass their name, "MODULE:APPS", instead of themselves'
        )
    for name, value in (("processes", processes), ("recycle_after", recycle_after)):
        if value is not None:
            _whole(name, value)
    _positive(processes=processes, recycle_after=recycle_after)
    from connect.execution.processes import Plan, cores  # most workers have none

    return Plan(
        apps=apps,
        count=processes or cores(),
        recycle_after=recycle_after,
        signing_key=Secret(signing_key) if signing_key else None,
        signals=tuple({signal.SIGINT, signal.SIGTERM, *numbers}),
        traces=traces,
    )


def _http(http: str | None, status_page: bool) -> tuple[str, int] | None:
    if status_page and not http:
        raise ConfigurationError("status_page needs an address: pass http=HOST:PORT, such as 127.0.0.1:9090")
    return address(http) if http else None


def _keyring(known: sdk.Apps, primary: str | None, fallback: str | None, env: str | None) -> Keyring:
    """A key given here is always sent; a client's own only in cloud mode, as the official client does."""
    if known.is_cloud:
        primary = primary or known.signing_key
        fallback = fallback or known.signing_key_fallback
    keys = [
        SigningKey.parse(text, name) if text else None
        for text, name in ((primary, "signing_key"), (fallback, "signing_key_fallback"))
    ]
    if env is None and any(key and key.is_branch for key in keys):
        raise ConfigurationError(
            "the signing key is for branch environments, but none is named: pass env=… or set INNGEST_ENV"
        )
    return Keyring(*keys)


def _caution(known: sdk.Apps, signing_key: str | None, api_base_url: str | None) -> str | None:
    """What is odd about a signing key for a client in development mode; None: nothing."""
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
    if _whole("max_worker_concurrency", value) < 0:
        raise ConfigurationError(f"max_worker_concurrency is {value}: it must not be negative, and None is no limit")
    return value


def _instance_id(asked: str | None) -> str:
    if asked is None:
        return socket.gethostname()
    if not asked.strip():
        raise ConfigurationError(
            "instance_id is empty: leave it out for the host's name, or pass one that survives restarts"
        )
    return asked


def _origin(text: str, keyring: Keyring) -> str:
    try:
        parts = urllib.parse.urlsplit(text)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is none, or half an IPv6 address
        is_address = False
    if not is_address:
        raise ConfigurationError(
            f"api_base_url {without_passwords(text)!r} is no http or https address: write http://HOST:PORT or https://HOST"
        )
    if keyring.bearer and "@" in parts.netloc:
        raise ConfigurationError(
            "the API address has a user name or password in it, which cannot be sent beside a signing key: leave it out"
        )
    return text


def _endpoint(gateway_url: str | None, rewrite: Callable[[str], str] | None) -> Callable[[str], str]:
    """From the endpoint that the server grants to the one to dial: replaced, or rewritten, or as it is."""
    fixed = gateway_url or os.environ.get("INNGEST_CONNECT_GATEWAY_URL")
    if fixed:
        try:
            url = gateway_endpoint(fixed)
        except ValueError as error:
            raise ConfigurationError(f"gateway_url (or INNGEST_CONNECT_GATEWAY_URL): {error}") from None
        return lambda _: url
    return rewrite or (lambda granted: granted)


def _check_policy(retry: tenacity.AsyncRetrying) -> None:
    if not isinstance(retry, tenacity.AsyncRetrying):
        kind = type(retry).__name__
        raise ConfigurationError(f"retry is a {kind}, which sleeps in everybody's way: pass a tenacity.AsyncRetrying")
    if unknown := [name for name in ("sleep", "stop", "wait") if not hasattr(retry, name)]:
        installed = importlib.metadata.version("tenacity")
        raise ConfigurationError(
            f"retry: a policy of tenacity {installed} has no {', '.join(unknown)}: leave retry out"
        )
    if retry.stop is not tenacity.stop_never:
        raise ConfigurationError(
            "retry has a stop condition, but a worker never gives up: leave `stop` out of the policy"
        )


def _sleep_of(retry: tenacity.AsyncRetrying) -> Callable[[float], Awaitable[None]]:
    async def sleep(seconds: float) -> None:
        waited = retry.sleep(seconds)
        if waited is not None:
            await waited

    return sleep


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigurationError(f"{name} is {value!r}: it must be one of {', '.join(allowed)}")


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
            raise ConfigurationError(f"{name} is {value}: it must be more than 0")


def _whole(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigurationError(f"{name} is {value!r}: it must be a whole number")
    return value


def _number(name: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigurationError(f"{name} is {value!r}: it must be a number")
    return value
