"""Runs the user's functions with the `inngest` SDK.

The SDK's own request handler does it, so steps, retries, middleware and serialisers behave as they do anywhere else. The SDK has
no public interface for that; the official client uses the same internals. `connect.execution.sdk_internals` lists them, and only
this module and `function_guard` use them. If the installed release lacks one, loading apps raises an error that names it;
importing this package does not, so that `connect doctor` can still run.
"""

from __future__ import annotations  # some annotations name what an unsupported release of the SDK lacks

import asyncio
import inspect
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

import pydantic_core

from connect import wire
from connect.errors import ConfigurationError
from connect.execution import app_shape, failures, sdk_internals, tracebacks
from connect.execution.function_guard import Attempt, current_attempt, guarded, is_run_by_a_task, pass_ctrl_c_on
from connect.execution.function_watch import execution
from connect.execution.outcome import DONE, ERROR, NOT_COMPLETED, Outcome, failure
from connect.execution.thread_pool import ThreadPool
from connect.worker_info import AppInfo

if TYPE_CHECKING:
    import inngest

    from connect.execution.invocation import Invocation
    from connect.execution.span_interface import Spans
    from connect.execution.thread_waits import ThreadWaits
    from connect.status import ThreadStatus

App: TypeAlias = "tuple[inngest.Inngest, Sequence[inngest.Function[Any]]]"
AppsArgument: TypeAlias = "str | App | Sequence[App]"

_STATUSES: Final = {200: DONE, 206: NOT_COMPLETED}
"""Of the reply, by the status of the SDK's response; any other is an error."""


class Apps:
    """The user's apps, checked: their settings, what WORKER_CONNECT says of them, and `run`.

    All but `run` may be used from any thread. Raises: ConfigurationError: as `load`.
    """

    def __init__(self, apps: Sequence[App], signing_key: str | None = None) -> None:
        sdk_internals.check()
        _check(apps)
        first = apps[0][0]
        self.api_origin: str = first.api_origin
        self.env: str | None = first.env
        self.is_cloud: bool = first.is_production
        self.signing_key: str | None = first.signing_key or None
        self.signing_key_fallback: str | None = first.signing_key_fallback or None
        self.secrets: set[str] = _secrets(apps)
        self.framework: str = sdk_internals.Framework.CONNECT.value
        self.sdk_language: str = sdk_internals.LANGUAGE
        self.sdk_version: str = sdk_internals.VERSION
        self.capabilities: bytes = sdk_internals.Capabilities().model_dump_json().encode()
        self.max_worker_concurrency = _whole_number("INNGEST_CONNECT_MAX_WORKER_CONCURRENCY")
        self.configurations = [_configuration(client, functions) for client, functions in apps]
        limit = _whole_number("INNGEST_THREAD_POOL_MAX_WORKERS")
        self._threads = None if limit == 0 else ThreadPool(limit)
        self._apps = {client.app_id: _App(client, functions, signing_key) for client, functions in apps}
        self.spans: Spans | None = None

    @property
    def function_ids(self) -> frozenset[str]:
        """Every function id that a request may name."""
        return frozenset(function_id for app in self._apps.values() for function_id in app.functions)

    @property
    def infos(self) -> tuple[AppInfo, ...]:
        """What the worker's status says of each app."""
        versions = {each.app_name: each.app_version or None for each in self.configurations}
        return tuple(
            AppInfo(app_id, versions[app_id], tuple(sorted(app.functions))) for app_id, app in self._apps.items()
        )

    @property
    def thread_waits(self) -> ThreadWaits | None:
        """Of sync functions that wait for a thread; None: they run on the event loop."""
        return self._threads.waits if self._threads else None

    @property
    def threads(self) -> ThreadStatus | None:
        """The threads for sync functions; None: they run on the event loop."""
        return self._threads.waits.status if self._threads else None

    @property
    def busy(self) -> list[str]:
        """Request ids of the sync functions that still run on threads; they cannot be stopped."""
        return self._threads.busy if self._threads else []

    async def run(self, invocation: Invocation) -> Outcome:
        """Run a function: an async one on the loop that awaits this, a sync one on a thread.

        Cancelling stops an async function and raises CancelledError. A function that is sync, or has just ended, cannot be
        stopped: then this returns its outcome. Raises nothing else, whatever the function raises. A KeyboardInterrupt that may be
        Ctrl-C also ends the loop, once more turns of it are run.
        """
        if self.spans is None:
            return await self._run_safely(invocation)
        with self.spans.span(invocation) as span:
            outcome = await self._run_safely(invocation)
            span.note(outcome)
            return outcome

    async def _run_safely(self, invocation: Invocation) -> Outcome:
        try:
            return await self._run(invocation)
        except asyncio.CancelledError as error:
            if self._is_stopping():
                raise
            name, message = "CancelledError", "the function was cancelled by what it awaited, not by the worker"
            outcome = _refusal(name, message)
            failures.log_failure(invocation, outcome, name, message, error)
            tracebacks.empty(error)
            return outcome
        except BaseException as error:  # user code may raise any class, and each request must be answered
            if isinstance(error, GeneratorExit) and not is_run_by_a_task():
                raise  # this coroutine is closed
            pass_ctrl_c_on(error)
            outcome = _refusal(type(error).__name__, "the function could not be run; the worker's log says why")
            failures.log_broken(invocation, outcome, error)
            tracebacks.empty(error)
            return outcome

    async def _run(self, invocation: Invocation) -> Outcome:
        app = self._apps.get(invocation.app_name)
        if app is None:
            return _unknown(invocation, "AppNotFound", "this worker", "app", invocation.app_name, self._apps)
        is_async = app.functions.get(invocation.function_slug)
        if is_async is None:
            name = f"app {invocation.app_name!r}"
            return _unknown(invocation, "FunctionNotFound", name, "function", invocation.function_slug, app.functions)
        execution.set((invocation.function_slug, invocation.request_id, invocation.run_id))
        request, attempt = _request(invocation), Attempt()
        current_attempt.set(attempt)
        if is_async or self._threads is None:
            with attempt:
                return _ended(invocation, attempt, await _post(app.handler, request, attempt))

        def post_sync() -> Outcome:
            with attempt:
                return _ended(invocation, attempt, app.handler.post_sync(request))

        return await self._threads.run(invocation.request_id, post_sync)

    def _is_stopping(self) -> bool:
        task = asyncio.current_task()
        return bool(task and task.cancelling()) or bool(self._threads and self._threads.closed)

    def shutdown(self) -> None:
        """Start no more sync functions. Those that run go on, and are no longer waited for. From any thread."""
        if self._threads:
            self._threads.shutdown()


class _App:
    """One app: its request handler, and for each function id that a request may name whether that function is async."""

    def __init__(
        self, client: inngest.Inngest, functions: Sequence[inngest.Function[Any]], signing_key: str | None
    ) -> None:
        failures.log_instead_of(client.logger)
        self.handler = _handler(client, [guarded(function) for function in functions], signing_key)
        self.functions = {
            function_id: function.is_handler_async
            for function in functions
            for function_id in (function.id, function.on_failure_fn_id)
            if function_id
        }


def _unknown(invocation: Invocation, error: str, where: str, what: str, name: str, known: Iterable[str]) -> Outcome:
    message = f"{where} has no {what} {name!r}; it has {', '.join(sorted(known))}"
    outcome = failure(error, message)
    failures.log_failure(invocation, outcome, error, message, repeats=True)
    return outcome


def _refusal(name: str, message: str) -> Outcome:
    """The failure of the current attempt."""
    attempt = current_attempt.get(None) or Attempt()
    return replace(failure(name, message), attempt=attempt.number, max_attempts=attempt.most)


def _secrets(apps: Sequence[App]) -> set[str]:
    """The keys of the clients, also those that this worker does not use."""
    names = ("event_key", "signing_key", "signing_key_fallback")
    return {key for client, _ in apps for name in names if isinstance(key := getattr(client, name, None), str)}


def load(apps: AppsArgument, signing_key: str | None = None) -> Apps:
    """Check *apps*: a list of `(client, [functions])`, or one such pair; or the name, `"MODULE:APPS"`, of either or of a callable
    that returns either.

    *signing_key* is for clients that have none. Raises: ConfigurationError: the message says what is wrong with the apps.
    """
    if isinstance(apps, str):
        from connect.execution import app_lookup  # not imported at the start of a worker that is given its apps

        found = app_lookup.find(apps)
    elif wrong := app_shape.problem(apps, "apps"):
        raise ConfigurationError(": ".join(filter(None, wrong[:2])), option="apps")
    else:
        found = apps
    return Apps(cast(Sequence[App], [found] if app_shape.is_app(found) else found), signing_key)


def _check(apps: Sequence[App]) -> None:
    """Refuse misuse, in the official client's order and words. Raises: ConfigurationError."""
    first = apps[0][0]
    for client, functions in apps:
        sdk_internals.check_client(client)
        for what, one, other in (
            ("API base URL", client.api_origin, first.api_origin),
            ("env", client.env, first.env),
            ("mode", client.is_production, first.is_production),
            ("signing key", client.signing_key, first.signing_key),
        ):
            if one != other:
                raise ConfigurationError(f"inconsistent app config: {what}")
        for duplicate in _duplicates(function.id for function in functions):
            raise ConfigurationError(f"duplicate function id in app {client.app_id!r}: {duplicate!r}")
        for function in functions:
            _check_owner(client, function)
    for duplicate in _duplicates(client.app_id for client, _ in apps):
        raise ConfigurationError(f"duplicate app id: {duplicate!r}; put its functions into one list")


def _check_owner(client: inngest.Inngest, function: inngest.Function[Any]) -> None:
    owner = function.id.removesuffix(f"-{function.local_id}")
    if owner != client.app_id:
        problem = f"function {function.id!r} stands beside the client of app {client.app_id!r}"
        raise ConfigurationError(f"{problem}, but the client of app {owner!r} made it: put it beside that one")


def _duplicates(ids: Iterable[str]) -> list[str]:
    return [each for each, count in Counter(ids).items() if count > 1]


def _configuration(client: inngest.Inngest, functions: Sequence[inngest.Function[Any]]) -> wire.AppConfiguration:
    # The server selects its Connect driver by the scheme and does not use the host (PROTOCOL.md §4.6).
    configurations = sdk_internals.get_function_configs(
        "wss://connect", {function.id: function for function in functions}
    )
    if isinstance(configurations, Exception):
        raise ConfigurationError(f"the functions of app {client.app_id!r}: {configurations}") from configurations
    return wire.AppConfiguration(
        app_name=client.app_id,
        app_version=getattr(client, "app_version", None),  # from 0.5.18 on
        functions=pydantic_core.to_json(configurations, exclude_none=True),
    )


def _handler(
    client: inngest.Inngest, functions: list[inngest.Function[Any]], signing_key: str | None
) -> sdk_internals.CommHandler:
    options: dict[str, Any] = {
        "client": client,
        "framework": sdk_internals.Framework.CONNECT,
        "functions": functions,
        "streaming": sdk_internals.Streaming.DISABLE,
    }
    if "enable_unauthed_sync" in inspect.signature(sdk_internals.CommHandler).parameters:  # from 0.5.19 on
        options["enable_unauthed_sync"] = None
    own = client._signing_key
    # In cloud mode the handler cannot be made without a key, though requests over a link are not signed: lend the client one.
    client._signing_key = own or signing_key or None
    if client.is_production and not client._signing_key:
        client._signing_key = own
        cure = "set INNGEST_SIGNING_KEY, or INNGEST_DEV=1 for development"
        raise ConfigurationError(f"app {client.app_id!r} has no signing key: {cure}")
    try:
        return sdk_internals.CommHandler(**options)
    except TypeError as error:
        raise sdk_internals.mismatch(error) from error
    finally:
        client._signing_key = own


def _request(invocation: Invocation) -> sdk_internals.CommRequest:
    function, step = sdk_internals.query_names()
    query = {function: invocation.function_slug, step: invocation.step_id or sdk_internals.UNSPECIFIED_STEP_ID}
    # The last argument is what a middleware gets as `raw_request`; the trace context is in the invocation's headers.
    return sdk_internals.request(invocation.payload, invocation.headers, query, invocation)


async def _post(
    handler: sdk_internals.CommHandler, request: sdk_internals.CommRequest, attempt: Attempt
) -> sdk_internals.CommResponse:
    """The SDK's answer to *request*. A cancel that comes after the function has ended, but before the SDK has, is ignored."""
    while True:
        try:
            return await handler.post(request)
        except asyncio.CancelledError:
            if attempt.result is None:
                raise


def _ended(invocation: Invocation, attempt: Attempt, response: sdk_internals.CommResponse) -> Outcome:
    """The outcome of an execution, whose failures are logged."""
    outcome = _outcome(response, attempt)
    if outcome.has_failed:
        failures.log_response(invocation, attempt, response, outcome)
    return outcome


def _outcome(response: sdk_internals.CommResponse, attempt: Attempt) -> Outcome:
    body = response.body_bytes()
    if isinstance(body, Exception):
        return failure("OutputUnserializable", str(body))
    op, step = _reported(response)
    status = _STATUSES.get(response.status_code, ERROR)
    done = status == DONE
    return Outcome(
        status=status,
        body=body,
        # Either of them would turn a DONE into a failure (PROTOCOL.md §6.6).
        no_retry=response.no_retry and not done,
        retry_after=None if done else response.retry_after,
        sdk_version=response.sdk_version or "",
        request_version=response.request_version or 0,
        op=op,
        step=step,
        attempt=attempt.number,
        max_attempts=attempt.most,
    )


def _reported(response: sdk_internals.CommResponse) -> tuple[str, str]:
    """The opcode and the name of the step that was reported; of several, the first that failed, or else the first."""
    body = cast(Any, response.body)
    if response.status_code != 206 or not body:
        return "", ""
    op = next((each for each in body if each.get("error")), body[0])
    return str(op.get("op") or ""), str(op.get("displayName") or "")


def is_dev_variable_set() -> bool:
    """Whether `INNGEST_DEV` puts a client into development mode that was made without `is_production`."""
    return os.environ.get("INNGEST_DEV", "").strip().lower() not in ("", "0", "false")


def _whole_number(variable: str) -> int | None:
    text = os.environ.get(variable)
    if not text:
        return None
    if not text.strip().isdecimal():
        raise ConfigurationError(f"{variable} is {text!r}: it must be a whole number, 0 or more")
    return int(text)
