"""A user's module for the tests of frames: functions that fail, each in another way, and one that says what is left of them.

Each failure leaves a weak reference to its exception and to a local variable of a frame that its traceback leads through. The
garbage collector is off in the process that runs them.
"""

import asyncio
import concurrent.futures
import gc
import weakref
from collections.abc import Callable
from typing import Any, NoReturn

import inngest

REFERENCES: dict[str, weakref.ref[Any]] = {}


class Local:
    """What a frame holds."""


class FailedError(Exception):
    """Built-in exceptions take no weak references."""


class OddError(BaseException):
    """An exception that `except Exception` does not catch."""


class ExitError(SystemExit):
    pass


class StopError(StopIteration):
    pass


class CancelledError(asyncio.CancelledError):
    pass


class AgainError(inngest.RetryAfterError):
    pass


class FinalError(inngest.NonRetriableError):
    pass


def noted(kind: str, what: Any) -> Any:
    REFERENCES[f"{kind} {len(REFERENCES)} {type(what).__name__}"] = weakref.ref(what)
    return what


def fail(kind: str, error: BaseException | None = None) -> NoReturn:
    local = noted(kind, Local())
    raise noted(kind, error or FailedError(kind)) from None
    del local


def nested(kind: str) -> None:
    """The traceback of each of the three leads through this frame, which holds one of them."""
    local = noted(kind, Local())
    try:
        try:
            fail(kind)
        except FailedError as error:
            raise noted(kind, FailedError("a cause")) from error
    except FailedError as error:
        kept = error
        raise noted(kind, FailedError("the last")) from None
    del local, kept


def kept(kind: str) -> None:
    """A frame that holds the exception which it raises."""
    error = noted(kind, FailedError(kind))
    raise error


def grouped(kind: str) -> None:
    errors = []
    for _ in range(2):
        try:
            fail(kind)
        except FailedError as error:
            errors.append(error)
    raise ExceptionGroup("several", errors)


def deep(kind: str, level: int = 0) -> None:
    local = noted(kind, Local()) if level % 100 == 0 else None
    if level == 500:
        fail(kind)
    deep(kind, level + 1)
    del local


def endless(kind: str) -> None:
    local = noted(kind, Local())
    endless_calls()
    del local


def endless_calls() -> None:
    endless_calls()


def on_a_thread(kind: str) -> None:
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        future = pool.submit(fail, kind)
        future.result()


def unserialisable(kind: str) -> Any:
    return noted(kind, Local())


def holding(kind: str) -> None:
    """Exceptions that hold each other are kept, but not what the frames hold."""
    local = noted(kind, Local())
    first, second = FailedError("first"), FailedError("second")
    first.__cause__, second.__cause__ = second, first
    raise first
    del local


SHARED = FailedError("raised again and again")


def shared(kind: str) -> None:
    local = noted(kind, Local())
    raise SHARED
    del local


FAILURES: dict[str, Callable[[str], Any]] = {
    "plain": fail,
    "again": lambda kind: fail(kind, AgainError("later", 1000)),
    "final": lambda kind: fail(kind, FinalError("never")),
    "quiet": lambda kind: fail(kind, FinalError("never", quiet=True)),
    "odd": lambda kind: fail(kind, OddError("odd")),
    "exit": lambda kind: fail(kind, ExitError(3)),
    "nested": nested,
    "kept": kept,
    "grouped": grouped,
    "deep": deep,
    "endless": endless,
    "on a thread": on_a_thread,
    "unserialisable": unserialisable,
    "holding": holding,
    "shared": shared,
    "stop": lambda kind: fail(kind, StopError("stop")),
    "cancelled": lambda kind: fail(kind, CancelledError("cancelled")),
}


async def in_a_task(kind: str) -> None:
    async def work() -> None:
        fail(kind)

    local = noted(kind, Local())
    task = asyncio.create_task(work())
    await task
    del local


async def in_a_group(kind: str) -> None:
    async def work() -> None:
        await asyncio.sleep(0)
        fail(kind)

    local = noted(kind, Local())
    async with asyncio.TaskGroup() as group:
        group.create_task(work())
        group.create_task(work())
    del local


async def gathered(kind: str) -> None:
    tasks = [asyncio.create_task(asyncio.sleep(3600)), asyncio.create_task(in_a_task(kind))]
    try:
        await asyncio.gather(*tasks)
    finally:
        tasks[0].cancel()


async def too_slow(kind: str) -> None:
    local = noted(kind, Local())
    await asyncio.wait_for(asyncio.sleep(3600), 0.01)
    del local


async def in_to_thread(kind: str) -> None:
    await asyncio.to_thread(fail, kind)


AWAITED: dict[str, Callable[[str], Any]] = {
    "in a task": in_a_task,
    "in a group": in_a_group,
    "gathered": gathered,
    "too slow": too_slow,
    "in to_thread": in_to_thread,
}


class Meddler(inngest.MiddlewareSync):
    """Fails in the hook that the event names."""

    def __init__(self, client: inngest.Inngest, raw_request: Any) -> None:
        super().__init__(client, raw_request)
        self._hook = ""

    def transform_input(self, ctx: Any, function: Any, steps: Any) -> None:
        self._hook = str(ctx.event.data.get("hook", ""))
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
        if self._hook == hook:
            fail(hook)


HOOKS = ["transform_input", "before_execution", "after_execution", "transform_output", "before_response"]

client = inngest.Inngest(app_id="app", is_production=False, middleware=[Meddler])
functions: list[inngest.Function[Any]] = []


def _function(fn_id: str, **options: Any) -> Callable[[Any], Any]:
    def decorate(handler: Any) -> Any:
        trigger = inngest.TriggerEvent(event=fn_id)
        made = client.create_function(fn_id=fn_id, trigger=trigger, **{"retries": 0, **options})(handler)
        functions.append(made)
        return handler

    return decorate


def _kind(ctx: Any) -> str:
    return str(ctx.event.data.get("kind"))


def misbehave(kind: str) -> Any:
    local = noted(kind, Local())
    return FAILURES[kind](kind) if local else None


async def misbehave_async(kind: str) -> Any:
    local = noted(kind, Local())
    await asyncio.sleep(0)
    call = AWAITED.get(kind)
    return (await call(kind) if call else FAILURES[kind](kind)) if local else None


@_function("sync")
def in_sync(ctx: inngest.ContextSync) -> Any:
    local = noted(_kind(ctx), Local())
    return misbehave(_kind(ctx)) if local else None


@_function("async")
async def in_async(ctx: inngest.Context) -> Any:
    local = noted(_kind(ctx), Local())
    return await misbehave_async(_kind(ctx)) if local else None


@_function("step")
async def in_step(ctx: inngest.Context) -> Any:
    return await ctx.step.run("work", misbehave_async, _kind(ctx))


@_function("step-sync")
def in_step_sync(ctx: inngest.ContextSync) -> Any:
    return ctx.step.run("work", misbehave, _kind(ctx))


@_function("parallel")
async def in_parallel(ctx: inngest.Context) -> Any:
    def step(name: str) -> Callable[[], Any]:
        return lambda: ctx.step.run(name, misbehave_async, _kind(ctx))

    return await ctx.group.parallel((step("one"), step("two")))


@_function("parallel-sync")
def in_parallel_sync(ctx: inngest.ContextSync) -> Any:
    def step(name: str) -> Callable[[], Any]:
        return lambda: ctx.step.run(name, misbehave, _kind(ctx))

    return ctx.group.parallel((step("one"), step("two")))


async def after_failure(ctx: inngest.Context) -> None:
    local = noted("on_failure", Local())
    fail("on_failure")
    del local


@_function("on-failure", on_failure=after_failure)
async def with_on_failure(ctx: inngest.Context) -> None:
    fail("before on_failure")


@_function("endless")
async def never(ctx: inngest.Context) -> None:
    """Cancelled by the worker."""
    local = noted("endless", Local())
    task = asyncio.create_task(asyncio.sleep(3600))
    try:
        await task
    except asyncio.CancelledError as error:
        noted("cancelled", error) if type(error).__weakrefoffset__ else None
        raise
    finally:
        del local


@_function("begin")
async def begin(ctx: inngest.Context) -> None:
    """A machine under load may have it run twice."""
    if gc.isenabled():
        REFERENCES.clear()
        gc.collect()
        gc.disable()


@_function("left")
async def left(ctx: inngest.Context) -> list[str]:
    """What is left, after a while for the end of what is on its way."""
    for _ in range(20):
        found = [name for name, reference in REFERENCES.items() if reference() is not None]
        if not found:
            break
        await asyncio.sleep(0.02)
    return found


@_function("end")
async def end(ctx: inngest.Context) -> int:
    gc.enable()
    return len(REFERENCES)


apps = [(client, functions)]
