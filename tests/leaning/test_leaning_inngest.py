"""What the bridge to the SDK needs of its internals: each piece is there, and a missing one is named."""

import asyncio
import functools
import gc
import importlib.util
import types
import weakref
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import inngest
import pytest

from connect.errors import ConfigurationError
from connect.execution import sdk, sdk_internals
from statecharts.library import holds
from tests.sdk_kit import VERSION, Status, invocation, make_apps, make_client, make_function

pytestmark = pytest.mark.oldest

INNGEST = f"inngest {VERSION}"

try:
    from inngest._internal import comm_lib, const, execution_lib, server_lib
except ImportError as error:
    pytest.fail(f"{INNGEST}: {error}; see docs/leaning.md", pytrace=False)

Take = Callable[[pytest.MonkeyPatch], None]


def nothing(*_: Any, **__: Any) -> None:
    """A function that takes any arguments and returns None."""


def without(owner: Any, name: str) -> Take:
    return lambda patch: patch.delattr(owner, name)


def instead(owner: Any, name: str, made: Any) -> Take:
    return lambda patch: patch.setattr(owner, name, made)


def other(name: str, **members: Any) -> Take:
    return instead(sdk_internals, name, type(name, (), {"__init__": nothing, **members}))


def demanding(self: Any, *, client: Any, framework: Any, functions: Any, streaming: Any, mode: Any) -> None:
    """A handler that needs one more argument."""


def read_elsewhere(client: Any) -> Any:
    return client._key


def fails_with(failure: Exception | None = None, multi: Any = None, output: Any = None) -> None:
    """A result that takes its error under another name."""


def fails_with_one(error: Exception | None = None, output: Any = None) -> None:
    """A result that has no others in it."""


def fails_without_output(error: Exception | None = None, multi: Any = None) -> None:
    """A result that has no output."""


def configured(functions: Any) -> None:
    """A function that makes configurations without an address."""


def wanting(name: str, names: tuple[str, ...]) -> dict[str, None]:
    return {each: None for each in names if each != name}


GONE: dict[str, Take] = {
    "CommHandler()": instead(comm_lib.CommHandler, "__init__", demanding),
    "CommHandler.post": instead(comm_lib.CommHandler, "post", nothing),
    "CommHandler.post_sync": without(comm_lib.CommHandler, "post_sync"),
    "CommRequest()": other("CommRequest", __init__=demanding, model_fields=dict.fromkeys(sdk_internals._OF_A_REQUEST)),
    **{
        f"CommRequest.{name}": other("CommRequest", model_fields=wanting(name, sdk_internals._OF_A_REQUEST))
        for name in sdk_internals._OF_A_REQUEST
    },
    **{
        f"CommResponse.{name}": other("CommResponse", **wanting(name, sdk_internals._OF_A_RESPONSE))
        for name in sdk_internals._OF_A_RESPONSE
    },
    "CallResult(error)": instead(sdk_internals, "CallResult", fails_with),
    "CallResult.multi": instead(sdk_internals, "CallResult", fails_with_one),
    "CallResult.output": instead(sdk_internals, "CallResult", fails_without_output),
    "Capabilities.model_dump_json": other("Capabilities"),
    "Framework.CONNECT": other("Framework"),
    "Function.call": instead(inngest.Function, "call", nothing),
    "Function.call_sync": instead(inngest.Function, "call_sync", property(nothing)),
    **{f"Function.{name}": without(inngest.Function, name) for name in sdk_internals._OF_A_FUNCTION},
    **{f"Inngest.{name}": without(inngest.Inngest, name) for name in sdk_internals._OF_THE_CLIENTS},
    "Inngest._signing_key": instead(inngest.Inngest, "signing_key", property(read_elsewhere)),
    "QueryParamKey.FUNCTION_ID": other("QueryParamKey", STEP_ID=SimpleNamespace(value="stepId")),
    "QueryParamKey.STEP_ID": other("QueryParamKey", FUNCTION_ID=SimpleNamespace(value="fnId")),
    "Streaming.DISABLE": other("Streaming"),
    "get_function_configs(url, functions)": instead(sdk_internals, "get_function_configs", configured),
}

IMPORTED = [
    *((comm_lib, name) for name in ("CommHandler", "CommRequest", "CommResponse", "get_function_configs")),
    *((const, name) for name in ("LANGUAGE", "VERSION", "Streaming")),
    (execution_lib, "CallResult"),
    *((server_lib, name) for name in ("UNSPECIFIED_STEP_ID", "Capabilities", "Framework", "QueryParamKey")),
]


async def hello(ctx: inngest.Context) -> str:
    return "hello"


def an_app() -> sdk.App:
    client = make_client()
    return client, [make_function(client, "hello", hello)]


def refusal(load: Callable[[], object]) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load()
    return str(caught.value)


def told(*pieces: str) -> str:
    return f"{INNGEST} lacks what this worker needs ({', '.join(pieces)}): install {sdk_internals.SUPPORTED!r}"


@pytest.mark.parametrize("piece", sdk_internals.PIECES)
def test_the_installed_sdk_has(piece: str) -> None:
    assert holds(sdk_internals.PIECES[piece]), f"{INNGEST} has no {piece} as it was; see docs/leaning.md"


@pytest.mark.parametrize("piece", sdk_internals.PIECES)
def test_an_sdk_without_a_piece_is_refused_by_its_name(piece: str, monkeypatch: pytest.MonkeyPatch) -> None:
    app = an_app()
    GONE[piece](monkeypatch)
    assert refusal(lambda: sdk.load([app])) == told(piece)


@pytest.mark.parametrize(("module", "name"), IMPORTED, ids=lambda each: getattr(each, "__name__", each))
def test_an_sdk_without_a_name_is_refused_by_it(
    module: types.ModuleType, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert hasattr(module, name), f"{INNGEST} has no {module.__name__}.{name}; see docs/leaning.md"
    monkeypatch.delattr(module, name)
    spec = importlib.util.spec_from_file_location("internals_anew", sdk_internals.__file__)
    assert spec
    assert spec.loader
    anew = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(anew)
    assert refusal(anew.check) == told(f"cannot import name {name!r} from {module.__name__!r}")


@pytest.mark.parametrize("name", sdk_internals._OF_A_CLIENT)
def test_a_client_without_an_attribute_is_refused_by_its_name(name: str) -> None:
    app = an_app()
    assert name in vars(app[0]), f"{INNGEST} has no Inngest.{name}; see docs/leaning.md"
    delattr(app[0], name)
    assert refusal(lambda: sdk.load([app])) == told(f"Inngest.{name}")


def test_functions_with_slots_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their `call` could not be replaced on a copy."""
    members: dict[str, Any] = dict.fromkeys(sdk_internals._OF_A_FUNCTION)
    slotted = type("Function", (), {"__slots__": (), "call": hello, "call_sync": nothing, **members})
    monkeypatch.setattr(inngest, "Function", slotted)
    assert refusal(sdk_internals.check) == told("Function.call", "Function.call_sync")


def test_everything_that_is_missing_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for piece in ("CommHandler.post_sync", "Streaming.DISABLE"):
        GONE[piece](monkeypatch)
    assert refusal(sdk_internals.check) == told("CommHandler.post_sync", "Streaming.DISABLE")


@pytest.mark.parametrize("is_async", [True, False])
async def test_the_sdk_calls_what_a_function_object_has_under_call(is_async: bool) -> None:
    """The worker replaces `call` on a copy of the user's function; without that, `sys.exit()` would end the worker."""

    async def leaves(ctx: inngest.Context) -> None:
        raise SystemExit(3)

    def leaves_sync(ctx: inngest.ContextSync) -> None:
        raise SystemExit(3)

    outcome = await make_apps(leaves=leaves if is_async else leaves_sync).run(invocation("app-leaves"))
    assert b"FunctionExited" in outcome.body, f"{INNGEST} does not call `call` of the function object it was given"


async def test_an_error_that_says_less_is_still_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The log line of a failure needs only the key `stack` of the SDK's answer."""

    async def fails(ctx: inngest.Context) -> None:
        raise ValueError("no")

    apps = make_apps(fails=fails)
    [handler] = [each.handler for each in apps._apps.values()]
    post = type(handler).post

    async def curt(request: Any) -> Any:
        response = await post(handler, request)
        assert {"name", "message", "stack"} <= set(response.body), f"{INNGEST} words errors in another way"
        response.body = {"stack": response.body["stack"]}
        return response

    monkeypatch.setattr(handler, "post", curt)
    outcome = await apps.run(invocation("app-fails"))
    assert outcome.status == Status.ERROR
    assert b"ValueError" in outcome.body


async def test_how_many_attempts_there_are_is_told_or_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Releases before 0.5.19 may not tell."""

    async def hello(ctx: inngest.Context) -> None: ...

    apps = make_apps(hello=hello)
    outcome = await apps.run(invocation("app-hello", attempt=2))
    knows = "max_attempts" in server_lib.ServerRequest.model_fields["ctx"].annotation.model_fields
    assert (outcome.attempt, outcome.max_attempts) == (3, 4 if knows else 0), f"{INNGEST} tells it elsewhere"
    assert sdk_internals.max_attempts(object()) == 0


async def test_the_sdk_logs_what_it_refuses_where_it_is_dropped(caplog: pytest.LogCaptureFixture) -> None:
    async def odd(ctx: inngest.Context) -> Any:
        return {1}

    apps = make_apps(odd=odd)
    await apps.run(invocation("app-odd"))
    assert {each.name for each in caplog.records} == {"connect.functions"}, f"{INNGEST} logs it elsewhere, too"


async def test_a_steps_cycles_are_cut() -> None:
    steps = []

    async def notes(ctx: inngest.Context) -> None:
        steps.append(weakref.ref(ctx.step))

    apps = make_apps(notes=notes)
    gc.collect()
    gc.disable()
    try:
        await apps.run(invocation("app-notes"))
        await asyncio.sleep(0.01)  # the SDK's own task ends a little later
        assert steps[0]() is None, f"{INNGEST} holds a step in a cycle that is not cut: its event's data lives on"
    finally:
        gc.enable()


async def test_the_sdk_takes_no_task_for_its_timings() -> None:
    """One task at most runs the function. A second one would time how long the loop is blocked, for a header that no reply has."""
    made: list[str] = []

    def make(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        made.append(coroutine.__qualname__)
        return asyncio.Task(coroutine, loop=loop, **options)

    apps = make_apps(hello=hello)
    asyncio.get_running_loop().set_task_factory(make)
    outcome = await apps.run(invocation("app-hello"))
    assert outcome.body == b'"hello"'
    assert len(made) <= 1, f"{INNGEST} makes tasks of its own for an execution: {made}"


def test_the_sdk_brings_pydantic_core() -> None:
    assert importlib.util.find_spec("pydantic_core"), f"{INNGEST} no longer comes with pydantic-core"


def test_every_piece_can_be_taken_away_here() -> None:
    assert GONE.keys() == sdk_internals.PIECES.keys()


def test_a_check_costs_next_to_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each start makes it, so it constructs no client, which would load the machine's certificates."""
    monkeypatch.setattr(inngest.Inngest, "__init__", functools.partial(pytest.fail, "a client was made"))
    sdk_internals.check()
