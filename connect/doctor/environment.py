"""Checks before the worker dials: the installed SDK, the signing keys in the environment, the settings."""

import importlib.metadata
import logging
import os
import platform
import re
import socket
from typing import Final

import inngest

from connect import origins
from connect.configuration import Configuration, resolve
from connect.doctor.context import Context
from connect.doctor.findings import Seen, Skipped, Wrong, wrong
from connect.errors import ConfigurationError
from connect.execution import sdk, sdk_http, sdk_internals
from connect.options import Options
from connect.redaction import logger
from connect.secrets import SigningKey
from connect.transport.websocket import open_session

KEYS: Final = ("INNGEST_SIGNING_KEY", "INNGEST_SIGNING_KEY_FALLBACK")
SECRET: Final = (*KEYS, "INNGEST_EVENT_KEY")
"""Variables whose values are never shown."""


async def sdk_version(_: Context) -> Seen:
    """Check that the installed SDK is a supported release, and has the internals that the worker uses. Raises: Wrong."""
    try:
        sdk_internals.check()
    except ConfigurationError as error:
        raise wrong(error) from None
    installed = importlib.metadata.version("inngest")
    if not _supported(installed):
        raise Wrong(
            f"inngest {installed} is installed, and this worker supports {sdk_internals.SUPPORTED.removeprefix('inngest')}",
            f"pip install '{sdk_internals.SUPPORTED}'",
        )
    return Seen(f"inngest {installed} has what the worker needs, on Python {platform.python_version()}")


def _supported(installed: str) -> bool:
    low, high = (_release(text) for text in sdk_internals.SUPPORTED.removeprefix("inngest>=").split(",<"))
    return low <= _release(installed) < high


def _release(version: str) -> list[int]:
    """The leading numbers of *version*."""
    return [int(number) for number in re.findall(r"\d+", version)[:3]]


async def settings(context: Context) -> Seen:
    """Resolve the settings from the environment, the options and the apps, as a worker does. Raises: Wrong, Skipped."""
    try:
        sdk_internals.check()
    except ConfigurationError:
        raise Skipped(because="SDK") from None
    arguments = context.arguments
    try:
        apps = _stand_in() if arguments.apps is None else arguments.apps
        asked = Options(
            apps,
            instance_id=_instance_id(),
            api_base_url=arguments.api_base_url,
            env=arguments.env,
            gateway_url=arguments.gateway_url,
            insecure_gateway=arguments.insecure_gateway,
            proxy=arguments.proxy,
        )
        context.configuration = resolve(asked)
    except ConfigurationError as error:
        raise wrong(error) from None
    context.secrets |= {ring.bearer.reveal() for ring in context.configuration.keyring.apart() if ring.bearer}
    context.origin_source = _origin_source(context)
    resolved = context.configuration
    session = open_session(context.trace_config(), proxies=resolved.proxies)
    context.session = await context.cleanup.enter_async_context(session)
    environment = f"; environment {resolved.env!r}" if resolved.env else ""
    proxy = resolved.proxies.find(resolved.origin)
    way = f" through {proxy}" if proxy else ""
    found = f"{_mode(resolved)}; API at {resolved.origin.rstrip('/')} ({context.origin_source}){way}{environment}"
    return Seen(found, resolved.caution or "")


def _stand_in() -> sdk.App:
    """An app for a check without MODULE:APPS: a client with the environment's settings, and one function, which is never synced."""

    async def nothing(_: inngest.Context) -> None: ...

    try:
        client = inngest.Inngest(app_id="doctor", logger=_quiet())
    except Exception as error:
        if cause := sdk_http.explain(error):
            raise ConfigurationError(cause) from None
        raise ConfigurationError(f"the SDK refuses these settings: {error}") from error
    return client, [
        client.create_function(fn_id="nothing", trigger=inngest.TriggerEvent(event="doctor/nothing"))(nothing)
    ]


def _quiet() -> logging.Logger:
    quiet = logger("connect.doctor")
    quiet.addHandler(logging.NullHandler())
    return quiet


def _instance_id() -> str:
    """An id that is not the worker's: the server keeps settings by instance, such as the capacity, and the worker's must stay."""
    return f"{socket.gethostname()}-doctor"


def _mode(resolved: Configuration) -> str:
    mode = "cloud mode" if resolved.apps.is_cloud else "development mode"
    if resolved.apps.is_cloud is sdk.is_dev_variable_set():
        return f"{mode} (set in the client)"
    return f"{mode} (INNGEST_DEV is {'not set' if resolved.apps.is_cloud else 'set'})"


def _origin_source(context: Context) -> str:
    if context.arguments.api_base_url:
        return "--api-base-url"
    return origins.source(context.configuration.origin).removesuffix(" api_base_url")


async def keys(_: Context) -> Seen:
    """Check the form of the signing keys in the environment. Raises: Wrong, Skipped."""
    given = [name for name in KEYS if os.environ.get(name)]
    if sdk.is_dev_variable_set():
        raise Skipped("development mode: no key is sent")
    try:
        for name in given:
            SigningKey.parse(os.environ[name], name)
    except ConfigurationError as error:
        raise wrong(error) from None
    if not given:
        raise Skipped("no key in the environment")
    return Seen(f"{' and '.join(given)} {'have' if given[1:] else 'has'} the form of a signing key")


def secrets() -> set[str]:
    """The secrets in the environment."""
    return {text for name in SECRET if (text := os.environ.get(name, ""))}
