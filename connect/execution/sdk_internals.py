"""The internals of the `inngest` SDK that this worker uses, and a check that the installed release has them.

The SDK promises none of them, so each is checked: by importing it, by trying it on an object, or by a signature.
`connect.execution.sdk` uses them; docs/leaning.md lists them.
"""

from __future__ import annotations  # some annotations name what an unsupported release of the SDK lacks

import contextlib
import functools
import importlib.metadata
import inspect
import weakref
from typing import TYPE_CHECKING, Any, Final, Self, cast

import inngest

from connect.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

SUPPORTED: Final = "inngest>=0.5.0,<0.6"

_import_error: ImportError | None = None

try:
    from inngest._internal.comm_lib import CommHandler as CommHandler
    from inngest._internal.comm_lib import CommRequest as CommRequest
    from inngest._internal.comm_lib import CommResponse as CommResponse
    from inngest._internal.comm_lib import get_function_configs as get_function_configs
    from inngest._internal.const import LANGUAGE as LANGUAGE
    from inngest._internal.const import VERSION as VERSION
    from inngest._internal.const import Streaming as Streaming
    from inngest._internal.execution_lib import CallResult as CallResult
    from inngest._internal.server_lib import UNSPECIFIED_STEP_ID as UNSPECIFIED_STEP_ID
    from inngest._internal.server_lib import Capabilities as Capabilities
    from inngest._internal.server_lib import Framework as Framework
    from inngest._internal.server_lib import QueryParamKey as QueryParamKey
except ImportError as error:
    _import_error = error


def check() -> None:
    """Raises: ConfigurationError: the installed SDK lacks pieces that this worker needs; the message names each."""
    if names := list(_missing()):
        raise mismatch(", ".join(names)) from _import_error


def check_client(client: inngest.Inngest) -> None:
    """Check *client* for the attributes that only an instance has. Raises: ConfigurationError: it lacks one."""
    if names := [f"Inngest.{name}" for name in _OF_A_CLIENT if not hasattr(client, name)]:
        raise mismatch(", ".join(names))


def mismatch(what: object) -> ConfigurationError:
    """The error for pieces that are missing; *what* names them."""
    installed = importlib.metadata.version("inngest")
    return ConfigurationError(f"inngest {installed} lacks what this worker needs ({what}): install {SUPPORTED!r}")


def request(body: bytes, headers: dict[str, str], query: dict[str, str], raw: object) -> CommRequest:
    """A request for the SDK's handler. *raw*: what a middleware gets as `raw_request`."""
    return cast("CommRequest", _Request(body, headers, query, raw))


class _Untimed:
    """In place of the SDK's timings: a reply over a link has no header for them, and one of them takes a task and a timer each."""

    def __getattr__(self, name: str) -> Self:
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def to_header(self) -> str:
        return ""


_UNTIMED: Final = _Untimed()


class _Request:
    """What the handler reads of a CommRequest. All of it is made here: one that pydantic checks takes 15 µs for each execution."""

    is_connect = True
    public_path = serve_origin = serve_path = None
    request_url = ""
    timings = _UNTIMED

    def __init__(self, body: bytes, headers: dict[str, str], query: dict[str, str], raw: object) -> None:
        self.body = body
        self.headers = headers
        self.query_params = query
        self.raw_request = raw


@functools.cache
def query_names() -> tuple[str, str]:
    """The names, in a request's query, of the function and of the step that are asked for."""
    return QueryParamKey.FUNCTION_ID.value, QueryParamKey.STEP_ID.value


def free_of_cycles(ctx: object) -> None:
    """Replace the reference by which `ctx.step.ai` holds `ctx.step` by a weak one; without effect if this SDK has none.

    Such a cycle keeps the data of each event until the garbage collector runs, which counts objects and not their bytes.
    """
    with contextlib.suppress(AttributeError, TypeError):
        step: Any = ctx.step  # type: ignore[attr-defined]
        if step.ai._step is step:
            step.ai._step = weakref.proxy(step)


def max_attempts(ctx: Any) -> int:
    """How many attempts the server makes of what *ctx* is for; 0: this SDK does not tell."""
    with contextlib.suppress(AttributeError):
        return int(ctx.step._execution._request.ctx.max_attempts or 0)
    return 0


def _missing() -> Iterator[str]:
    """What the installed SDK lacks: the text of a failed import, or names of `PIECES`."""
    if _import_error:
        yield str(_import_error).partition(" (")[0]  # without the path of the file
    else:
        yield from (name for name, is_there in PIECES.items() if not _holds(is_there))


def _holds(is_there: Callable[[], object]) -> bool:
    """As `statecharts.library.holds`: the processes of a pool have no charts, and must not pay for the import of their library."""
    try:
        return bool(is_there())
    except Exception:
        return False


def _takes(function: Callable[..., object], given: Iterable[str], besides: Iterable[str] = ()) -> bool:
    """Whether *function* has the parameters *given*, and requires no others, except those of *besides*."""
    parameters = inspect.signature(function).parameters
    demanded = {
        each.name for each in parameters.values() if each.default is each.empty and each.kind is each.KEYWORD_ONLY
    }
    return set(given) <= set(parameters) and demanded <= {*given, *besides}


def _checks(owner: str, names: Iterable[str], has: Callable[[str], bool]) -> dict[str, Callable[[], object]]:
    return {f"{owner}.{name}": functools.partial(has, name) for name in names}


def _response_has(name: str) -> bool:
    """Whether a response has an attribute *name*: one of its class, or one that its constructor sets."""
    return hasattr(CommResponse, name) or name in inspect.signature(CommResponse).parameters


def _can_be_replaced(name: str) -> bool:
    """Whether a function object's method *name* can be replaced on that object alone."""
    function: inngest.Function[Any] = inngest.Function.__new__(inngest.Function)
    vars(function)[name] = replaced = object()
    return callable(getattr(inngest.Function, name)) and getattr(function, name) is replaced


def _key_can_be_lent() -> bool:
    """Whether a client's signing key is what its `_signing_key` is set to."""
    client = inngest.Inngest.__new__(inngest.Inngest)
    client._signing_key = "lent"
    return client.signing_key == "lent"


_OF_A_REQUEST: Final = ("body", "headers", "is_connect", "query_params", "raw_request")
_OF_A_RESPONSE: Final = (
    "body",
    "body_bytes",
    "no_retry",
    "request_version",
    "retry_after",
    "sdk_version",
    "status_code",
)
_OF_A_FUNCTION: Final = ("id", "is_handler_async", "local_id", "on_failure_fn_id")
_OF_THE_CLIENTS: Final = ("api_origin", "env", "signing_key_fallback")
_OF_A_CLIENT: Final = ("app_id", "is_production", "logger")

PIECES: Final[dict[str, Callable[[], object]]] = {
    "CommHandler()": lambda: _takes(
        CommHandler, ("client", "framework", "functions", "streaming"), ("enable_unauthed_sync",)
    ),
    "CommHandler.post": lambda: inspect.iscoroutinefunction(CommHandler.post),
    "CommHandler.post_sync": lambda: callable(CommHandler.post_sync),
    "CommRequest()": lambda: CommRequest(
        body=b"",
        headers={},
        is_connect=True,
        public_path=None,
        query_params={},
        raw_request=None,
        request_url="",
        serve_origin=None,
        serve_path=None,
    ),
    **_checks("CommRequest", _OF_A_REQUEST, lambda name: name in CommRequest.model_fields),
    **_checks("CommResponse", _OF_A_RESPONSE, _response_has),
    "CallResult(error)": lambda: _takes(CallResult, ("error",)),
    **_checks("CallResult", ("multi", "output"), lambda name: name in inspect.signature(CallResult).parameters),
    "Capabilities.model_dump_json": lambda: Capabilities().model_dump_json(),
    "Framework.CONNECT": lambda: Framework.CONNECT.value,
    "Function.call": lambda: _can_be_replaced("call") and inspect.iscoroutinefunction(inngest.Function.call),
    "Function.call_sync": lambda: _can_be_replaced("call_sync"),
    **_checks("Function", _OF_A_FUNCTION, functools.partial(hasattr, inngest.Function)),
    **_checks("Inngest", _OF_THE_CLIENTS, functools.partial(hasattr, inngest.Inngest)),
    "Inngest._signing_key": _key_can_be_lent,
    "QueryParamKey.FUNCTION_ID": lambda: QueryParamKey.FUNCTION_ID.value,
    "QueryParamKey.STEP_ID": lambda: QueryParamKey.STEP_ID.value,
    "Streaming.DISABLE": lambda: Streaming.DISABLE,
    "get_function_configs(url, functions)": lambda: inspect.signature(get_function_configs).bind("", {}),
}
"""Pieces that importing does not show: name, and a check that is true if the installed SDK has the piece."""
