"""What is around a worker before it dials: the SDK, the settings, the keys."""

import importlib.metadata
import logging
import os
import platform
import re
import socket
from typing import Final

import inngest

from connect.configuration import Configuration, resolve
from connect.doctor.case import Case
from connect.doctor.findings import Seen, Skipped, Wrong, wrong
from connect.errors import ConfigurationError
from connect.execution import sdk, sdk_internals
from connect.options import Options
from connect.secrets import SigningKey

KEYS: Final = ("INNGEST_SIGNING_KEY", "INNGEST_SIGNING_KEY_FALLBACK")
SECRET: Final = (*KEYS, "INNGEST_EVENT_KEY")
"""Variables whose text is never shown."""

_ORIGINS: Final = ("INNGEST_API_BASE_URL", "INNGEST_BASE_URL", "INNGEST_DEV")
_DEFAULTS: Final = ("https://api.inngest.com", "http://127.0.0.1:8288")


async def sdk_version(_: Case) -> Seen:
    """Whether the installed SDK has what this worker needs of its internals, and is one that it knows."""
    try:
        sdk_internals.check()
    except ConfigurationError as error:
        raise wrong(error) from None
    installed = importlib.metadata.version("inngest")
    if not _supported(installed):
        raise Wrong(
            f"inngest {installed} is installed, and this worker knows {sdk_internals.SUPPORTED.removeprefix('inngest')}",
            f"pip install '{sdk_internals.SUPPORTED}'",
        )
    return Seen(f"inngest {installed} has what the worker needs, on Python {platform.python_version()}")


def _supported(installed: str) -> bool:
    low, high = (_release(text) for text in sdk_internals.SUPPORTED.removeprefix("inngest>=").split(",<"))
    return low <= _release(installed) < high


def _release(version: str) -> list[int]:
    """Its leading numbers."""
    return [int(number) for number in re.findall(r"\d+", version)[:3]]


async def settings(case: Case) -> Seen:
    """What a worker would make of the environment, the options and the apps. Raises: Wrong, Skipped."""
    try:
        sdk_internals.check()
    except ConfigurationError:
        raise Skipped(because="SDK") from None
    plan = case.plan
    try:
        apps = _stand_in() if plan.apps is None else plan.apps
        asked = Options(
            apps,
            instance_id=_instance_id(),
            api_base_url=plan.api_base_url,
            env=plan.env,
            gateway_url=plan.gateway_url,
        )
        case.options = resolve(asked)
    except ConfigurationError as error:
        raise wrong(error) from None
    case.secrets |= {ring.bearer.reveal() for ring in case.options.keyring.apart() if ring.bearer}
    case.origin_from = _origin_from(case)
    settled = case.options
    environment = f"; environment {settled.env!r}" if settled.env else ""
    told = f"{_mode(settled)}; API at {settled.origin.rstrip('/')} ({case.origin_from}){environment}"
    return Seen(told, settled.caution or "")


def _stand_in() -> sdk.App:
    """A client as the environment makes it, and what every app has to have: one function, which nobody will hear of."""

    async def nothing(_: inngest.Context) -> None: ...

    try:
        client = inngest.Inngest(app_id="doctor", logger=_quiet())
    except Exception as error:
        raise ConfigurationError(f"the SDK refuses these settings: {error}") from error
    return client, [
        client.create_function(fn_id="nothing", trigger=inngest.TriggerEvent(event="doctor/nothing"))(nothing)
    ]


def _quiet() -> logging.Logger:
    logger = logging.getLogger("connect.doctor")
    logger.addHandler(logging.NullHandler())
    return logger


def _instance_id() -> str:
    """Not the worker's own: what the server notes of an instance, such as its capacity, is left alone."""
    return f"{socket.gethostname()}-doctor"


def _mode(settled: Configuration) -> str:
    mode = "cloud mode" if settled.apps.is_cloud else "development mode"
    if settled.apps.is_cloud is sdk.is_dev_variable_set():
        return f"{mode} (the client says so)"
    return f"{mode} (INNGEST_DEV is {'not set' if settled.apps.is_cloud else 'set'})"


def _origin_from(case: Case) -> str:
    if case.plan.api_base_url:
        return "--api-base-url"
    origin = case.options.origin.rstrip("/")
    for name in _ORIGINS:
        if origin and os.environ.get(name, "").strip().rstrip("/") == origin:
            return name
    return "the default" if origin in _DEFAULTS else "the client's"


async def keys(_: Case) -> Seen:
    """The form of the keys in the environment. Raises: Wrong, Skipped."""
    given = [name for name in KEYS if os.environ.get(name)]
    if sdk.is_dev_variable_set():
        raise Skipped("development mode: none is sent")
    try:
        for name in given:
            SigningKey.parse(os.environ[name], name)
    except ConfigurationError as error:
        raise wrong(error) from None
    if not given:
        raise Skipped("none in the environment")
    return Seen(f"{' and '.join(given)} {'have' if given[1:] else 'has'} the form of a signing key")


def secrets() -> set[str]:
    """The secret texts of the environment."""
    return {text for name in SECRET if (text := os.environ.get(name, ""))}
