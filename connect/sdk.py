"""The bridge to the `inngest` SDK: the one file that touches its internals.

The SDK's own request handler runs the user's functions, so steps, retries, middleware and serialisers behave as they do anywhere
else. It has no public door for a worker (the official client uses the same internals), so what is needed of it is named here and
nowhere else; a release without it is refused with a clear error.
"""

import asyncio
import concurrent.futures
import importlib
import importlib.metadata
import inspect
import json
import os
import platform
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeAlias

import inngest
import psutil
import pydantic_core

from connect import wire
from connect.errors import ConfigurationError
from connect.executors import Invocation, Outcome
from connect.replies import failure

SUPPORTED: Final = "inngest>=0.5.0,<0.6"

try:
    from inngest._internal import comm_lib, const, errors, server_lib
except ImportError as error:
    raise ConfigurationError(
        f"inngest {importlib.metadata.version('inngest')} lacks what this worker needs ({error}): install {SUPPORTED}"
    ) from error

App: TypeAlias = tuple[inngest.Inngest, Sequence[inngest.Function[Any]]]
AppsArgument: TypeAlias = str | Sequence[App]


class Apps:
    """The user's apps, checked: what the connection says of them, and running their functions.

    Everything but `run` may be asked from any thread. *Raises* on construction: ConfigurationError.
    """

    def __init__(self, apps: Sequence[App]) -> None:
        _check(apps)
        first = apps[0][0]
        self.api_origin: str = first.api_origin
        self.env: str | None = first.env
        self.is_cloud: bool = first._mode is server_lib.ServerKind.CLOUD
        self.signing_key: str | None = first.signing_key
        self.signing_key_fallback: str | None = first.signing_key_fallback
        self.framework: str = server_lib.Framework.CONNECT.value
        self.sdk_language: str = const.LANGUAGE
        self.sdk_version: str = const.VERSION
        self.capabilities: bytes = server_lib.Capabilities().model_dump_json().encode()
        self.max_worker_concurrency = _whole_number("INNGEST_CONNECT_MAX_WORKER_CONCURRENCY")
        self.configurations = [_configuration(client, functions) for client, functions in apps]
        self._handlers = {client.app_id: _handler(client, functions) for client, functions in apps}
        self._pool = _Pool(_whole_number("INNGEST_THREAD_POOL_MAX_WORKERS"))

    async def run(self, invocation: Invocation) -> Outcome:
        """Run the function on the loop that this is awaited on; a sync function runs on a thread.

        Cancelling stops an async function. A sync one cannot be stopped: then this returns its outcome, late. Never raises else.
        """
        handler = self._handlers.get(invocation.app_name)
        if handler is None:
            known = ", ".join(sorted(self._handlers))
            return failure("AppNotFound", f"this worker has no app {invocation.app_name!r}; it has {known}")
        try:
            return await self._run(handler, invocation)
        except Exception as error:
            handler._client.logger.exception("the SDK's request handler raised on request %s", invocation.request_id)
            return failure(type(error).__name__, str(error))

    async def _run(self, handler: comm_lib.CommHandler, invocation: Invocation) -> Outcome:
        request = _request(invocation)
        function = handler._get_function(invocation.function_slug)
        if isinstance(function, inngest.Function) and not function.is_handler_async and self._pool.threads != 0:
            return _outcome(await self._pool.run(lambda: handler.post_sync(request)))
        return _outcome(await handler.post(request))

    def shutdown(self) -> None:
        """No sync function is started any more; one that runs is left to itself."""
        self._pool.shutdown()


class _Pool:
    """Threads for sync functions, made when the first one comes. `threads` None: as many as Python thinks fit; 0: none at all."""

    def __init__(self, threads: int | None) -> None:
        self.threads = threads
        self._executor: concurrent.futures.ThreadPoolExecutor | None = None
        self._closed = False

    async def run(self, work: Callable[[], comm_lib.CommResponse]) -> comm_lib.CommResponse:
        if self._executor is None:
            self._executor = concurrent.futures.ThreadPoolExecutor(self.threads, thread_name_prefix="inngest")
        running = self._executor.submit(work)
        waiter = asyncio.wrap_future(running)
        while True:
            try:
                return await asyncio.shield(waiter)
            except asyncio.CancelledError:
                # `cancel` succeeds only where no thread has taken it up yet.
                if self._closed or running.cancel():
                    raise

    def shutdown(self) -> None:
        self._closed = True
        if self._executor:
            self._executor.shutdown(wait=False, cancel_futures=True)


def load(apps: AppsArgument) -> Apps:
    """Check *apps*, or find them: `"MODULE:APPS"` names a list of `(client, [functions])`, one such pair, or what returns either.

    Raises: ConfigurationError: it says what is wrong with them.
    """
    return Apps(_named(apps) if isinstance(apps, str) else apps)


def _named(name: str) -> Sequence[App]:
    module_name, _, attribute = name.partition(":")
    if not module_name or not attribute:
        raise ConfigurationError(f"{name!r} names no apps: write MODULE:APPS, for instance main:apps")
    if "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and module_name.split(".")[: len(error.name.split("."))] == error.name.split("."):
            raise ConfigurationError(f"no module {module_name!r} in {os.getcwd()} or on the path") from None
        raise ConfigurationError(f"cannot import {module_name!r}: {error}") from error
    except Exception as error:
        raise ConfigurationError(f"cannot import {module_name!r}: {type(error).__name__}: {error}") from error
    if not hasattr(module, attribute):
        raise ConfigurationError(f"module {module_name!r} has no {attribute!r}")
    found = getattr(module, attribute)
    found = found() if inspect.isfunction(found) else found
    return [found] if isinstance(found, tuple) else found


def _check(apps: Sequence[App]) -> None:
    """Misuse, in the official client's order and words."""
    if not isinstance(apps, list | tuple):
        raise ConfigurationError(f"apps is {type(apps).__name__}: pass a list of (client, [functions])")
    if not apps:
        raise ConfigurationError("no apps provided")
    for app in apps:
        _check_shape(app)
    first = apps[0][0]
    for client, functions in apps:
        for what, one, other in (
            ("API base URL", client.api_origin, first.api_origin),
            ("env", client.env, first.env),
            ("mode", client._mode, first._mode),
            ("signing key", client.signing_key, first.signing_key),
        ):
            if one != other:
                raise ConfigurationError(f"inconsistent app config: {what}")
        for twice in _twice(function.id for function in functions):
            raise ConfigurationError(f"duplicate function id in app {client.app_id!r}: {twice!r}")
    for twice in _twice(client.app_id for client, _ in apps):
        raise ConfigurationError(f"duplicate app id: {twice!r}; put its functions into one list")


def _twice(ids: Iterable[str]) -> list[str]:
    return [each for each, count in Counter(ids).items() if count > 1]


def _check_shape(app: object) -> None:
    if isinstance(app, inngest.Inngest):
        raise ConfigurationError(
            f"app {app.app_id!r} came without functions, and this SDK's client does not know its own: "
            "pass (client, [functions])"
        )
    match app:
        case (inngest.Inngest(), list() | tuple() as functions) if all(
            isinstance(f, inngest.Function) for f in functions
        ):
            return
    raise ConfigurationError(f"{app!r} is no app: pass (client, [functions]), each made by client.create_function")


def _configuration(client: inngest.Inngest, functions: Sequence[inngest.Function[Any]]) -> wire.AppConfiguration:
    # The scheme is what selects the Connect driver on the server; the host is not used (PROTOCOL.md §4.6).
    configurations = comm_lib.get_function_configs("wss://connect", {function.id: function for function in functions})
    if isinstance(configurations, Exception):
        raise ConfigurationError(f"the functions of app {client.app_id!r}: {configurations}") from configurations
    return wire.AppConfiguration(
        app_name=client.app_id,
        app_version=client.app_version,
        functions=pydantic_core.to_json(configurations, exclude_none=True),
    )


def _handler(client: inngest.Inngest, functions: Sequence[inngest.Function[Any]]) -> comm_lib.CommHandler:
    options: dict[str, Any] = {
        "client": client,
        "framework": server_lib.Framework.CONNECT,
        "functions": list(functions),
        "streaming": const.Streaming.DISABLE,
    }
    if "enable_unauthed_sync" in inspect.signature(comm_lib.CommHandler).parameters:  # from 0.5.19 on
        options["enable_unauthed_sync"] = None
    try:
        return comm_lib.CommHandler(**options)
    except errors.Error as error:
        cure = "set INNGEST_SIGNING_KEY, or INNGEST_DEV=1 for development"
        raise ConfigurationError(f"app {client.app_id!r}: {str(error) or type(error).__name__}: {cure}") from None


def _request(invocation: Invocation) -> comm_lib.CommRequest:
    query = server_lib.QueryParamKey
    return comm_lib.CommRequest(
        body=invocation.payload,
        headers=invocation.headers,
        is_connect=True,
        public_path=None,
        query_params={
            query.FUNCTION_ID.value: invocation.function_slug,
            query.STEP_ID.value: invocation.step_id or server_lib.UNSPECIFIED_STEP_ID,
        },
        # What a middleware gets as `raw_request`: the trace context is in its headers.
        raw_request=invocation,
        request_url="",
        serve_origin=None,
        serve_path=None,
    )


def _outcome(response: comm_lib.CommResponse) -> Outcome:
    body = response.body_bytes()
    if isinstance(body, Exception):
        return failure("OutputUnserializable", str(body))
    statuses = wire.SDKResponseStatus
    status = {200: statuses.DONE, 206: statuses.NOT_COMPLETED}.get(response.status_code, statuses.ERROR)
    done = status == statuses.DONE
    return Outcome(
        status=status,
        body=body,
        # On a DONE either of them would turn the success into a failure (PROTOCOL.md §6.6).
        no_retry=response.no_retry and not done,
        retry_after=None if done else response.retry_after,
        sdk_version=response.sdk_version or "",
        request_version=response.request_version or 0,
    )


def headers_for(*, request_id: str, job_id: str, user_trace_ctx: bytes) -> dict[str, str]:
    """What the request handler and middleware read: ids, and the user's W3C trace context where there is one (§6.3)."""
    headers = {"x-request-id": request_id, "x-inngest-job-id": job_id}
    try:
        context = json.loads(user_trace_ctx or b"{}")
    except ValueError:
        context = None
    if isinstance(context, dict):
        headers |= {key: context[key] for key in ("traceparent", "tracestate") if isinstance(context.get(key), str)}
    return {key: text for key, text in headers.items() if text}


def system_attributes() -> wire.SystemAttributes:
    """This machine, as the dashboard shows it."""
    return wire.SystemAttributes(
        cpu_cores=psutil.cpu_count() or 1, mem_bytes=psutil.virtual_memory().total, os=platform.system().lower()
    )


def _whole_number(variable: str) -> int | None:
    text = os.environ.get(variable)
    if not text:
        return None
    try:
        return int(text)
    except ValueError:
        raise ConfigurationError(f"{variable} is {text!r}: it must be a whole number") from None
