"""A user's module for the tests of bounds: functions that raise or return whatever the event names, in each place where user
code runs.
"""

import asyncio
import concurrent.futures
import json
from collections.abc import Callable
from typing import Any, NoReturn

import inngest


class Odd(BaseException):
    """An exception that `except Exception` does not catch."""


class UnprintableError(Exception):
    """An exception without a text."""

    def __str__(self) -> NoReturn:
        raise Odd("no text")

    __repr__ = __str__


class LockedError(Exception):
    """An exception that cannot be pickled."""

    def __init__(self) -> None:
        super().__init__("locked")
        self.call: Callable[[], None] = lambda: None


def _with_a_cycle() -> Exception:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    return first


def _deep(level: int = 0) -> int:
    return _deep(level + 1) + 1


def _holding_itself() -> list[Any]:
    whole: list[Any] = []
    whole.append(whole)
    return whole


def _raise(error: BaseException) -> NoReturn:
    raise error


def _not_an_exception() -> NoReturn:
    raise 1  # type: ignore[misc]  # noqa: B016


RAISED: dict[str, Callable[[], BaseException]] = {
    "KeyboardInterrupt": KeyboardInterrupt,
    "SystemExit": lambda: SystemExit(3),
    "GeneratorExit": GeneratorExit,
    "CancelledError": asyncio.CancelledError,
    "CancelledError of a thread": concurrent.futures.CancelledError,
    "Odd": lambda: Odd("odd"),
    "BaseExceptionGroup": lambda: BaseExceptionGroup("several", [KeyboardInterrupt(), Odd("odd")]),
    "StopIteration": lambda: StopIteration(1),
    "StopAsyncIteration": StopAsyncIteration,
    "MemoryError": MemoryError,
    "unprintable": UnprintableError,
    "locked": LockedError,
    "cycle": _with_a_cycle,
}
DONE: dict[str, Callable[[], Any]] = {
    "recursion": _deep,
    "not an exception": _not_an_exception,
    "an object": object,
    "itself": _holding_itself,
}
HUGE: dict[str, Callable[[], Any]] = {
    "a huge error": lambda: _raise(ValueError("x" * 9_000_000)),
    "a huge result": lambda: "x" * 9_000_000,
}
ENDING = ["KeyboardInterrupt", "SystemExit", "GeneratorExit", "CancelledError", "StopIteration", "Odd"]
"""Those of `RAISED` that could end what runs user code."""


def misbehave(kind: str) -> Any:
    """Raise, or return, what *kind* names."""
    if kind in RAISED:
        _raise(RAISED[kind]())
    return {**DONE, **HUGE}[kind]()


def _kind(ctx: inngest.Context | inngest.ContextSync) -> str:
    return str(ctx.event.data.get("kind"))


class Meddler(inngest.MiddlewareSync):
    """Raises in the hook that the event names, what the event names."""

    def __init__(self, client: inngest.Inngest, raw_request: Any) -> None:
        super().__init__(client, raw_request)
        self._data = json.loads(raw_request.payload)["event"]["data"]
        self._meddle("construct")

    def transform_input(self, ctx: Any, function: Any, steps: Any) -> None:
        self._meddle("transform_input")

    def before_execution(self) -> None:
        self._meddle("before_execution")

    def after_execution(self) -> None:
        self._meddle("after_execution")

    def transform_output(self, result: Any) -> None:
        self._meddle("transform_output")

    def before_response(self) -> None:
        self._meddle("before_response")

    def _meddle(self, hook: str) -> None:
        if self._data.get("hook") == hook:
            misbehave(str(self._data["kind"]))


client = inngest.Inngest(app_id="app", is_production=False, middleware=[Meddler])

HOOKS = ["construct", "transform_input", "before_execution", "after_execution", "transform_output", "before_response"]


def _function(fn_id: str) -> Callable[[Any], inngest.Function[Any]]:
    return client.create_function(fn_id=fn_id, trigger=inngest.TriggerEvent(event=fn_id), retries=0)


@_function("sync")
def in_sync(ctx: inngest.ContextSync) -> Any:
    return misbehave(_kind(ctx))


@_function("async")
async def in_async(ctx: inngest.Context) -> Any:
    return misbehave(_kind(ctx))


@_function("awaited")
async def in_awaited(ctx: inngest.Context) -> Any:
    async def later() -> Any:
        await asyncio.sleep(0)
        return misbehave(_kind(ctx))

    return await later()


@_function("step")
async def in_step(ctx: inngest.Context) -> Any:
    async def work() -> Any:
        await asyncio.sleep(0)
        return misbehave(_kind(ctx))

    return await ctx.step.run("work", work)


@_function("step-sync")
def in_step_sync(ctx: inngest.ContextSync) -> Any:
    return ctx.step.run("work", misbehave, _kind(ctx))


@_function("hook")
async def in_hook(ctx: inngest.Context) -> str:
    return "unharmed"


@_function("hook-sync")
def in_hook_sync(ctx: inngest.ContextSync) -> str:
    return "unharmed"


@_function("wait")
async def wait(ctx: inngest.Context) -> str:
    """A bystander."""
    await asyncio.sleep(float(str(ctx.event.data.get("seconds", 1))))
    return "waited"


apps = [(client, [in_sync, in_async, in_awaited, in_step, in_step_sync, in_hook, in_hook_sync, wait])]
