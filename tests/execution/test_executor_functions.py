"""User functions behave as in any SDK, on both loops: steps, retries, failures, middleware, serialisers."""

import asyncio
import contextvars
import datetime
import json
import logging
from typing import Any

import inngest
import pydantic
import pytest
from sdk_kit import VERSION, Room, Server, Status, hashed, invocation, make_apps, make_client, make_function

from connect.execution import Outcome, sdk

pytestmark = pytest.mark.oldest


def body(outcome: Outcome) -> Any:
    return json.loads(outcome.body)


async def test_a_function_without_steps_is_done_at_once(room: Room) -> None:
    async def add(ctx: inngest.Context) -> Any:
        return {"sum": ctx.event.data["a"] + ctx.event.data["b"], "attempt": ctx.attempt}  # type: ignore[operator]

    outcome = await room.run(room.executor(make_apps(add=add)), invocation("app-add", {"a": 1, "b": 2}, attempt=3))
    assert (outcome.status, body(outcome)) == (Status.DONE, {"sum": 3, "attempt": 3})
    assert (outcome.no_retry, outcome.retry_after) == (False, None)
    assert outcome.sdk_version == f"inngest-py:v{VERSION}"
    assert outcome.request_version > 0


@pytest.mark.parametrize("value", [None, 0, False, "", [], {}])
async def test_nothing_and_zero_are_results_too(room: Room, value: Any) -> None:
    async def give(ctx: inngest.Context) -> Any:
        return value

    outcome = await room.run(room.executor(make_apps(give=give)), invocation("app-give"))
    assert (outcome.status, body(outcome)) == (Status.DONE, value)


async def test_steps_run_once_each_and_are_remembered(room: Room) -> None:
    ran: list[str] = []

    async def work(name: str) -> str:
        ran.append(name)
        return name.upper()

    async def steps(ctx: inngest.Context) -> str:
        first = await ctx.step.run("first", work, "a")
        await ctx.step.sleep("nap", datetime.timedelta(minutes=5))
        second = await ctx.step.run("second", work, "b")
        return first + second

    executor = room.executor(make_apps(steps=steps))
    server = Server(lambda request: room.run(executor, request))
    outcome = await server.finish("app-steps")
    assert (outcome.status, body(outcome)) == (Status.DONE, "AB")
    assert ran == ["a", "b"]
    assert list(server.memos) == [hashed("first"), hashed("nap"), hashed("second")]


async def test_a_step_not_yet_run_is_reported_with_its_result(room: Room) -> None:
    async def work() -> int:
        return 7

    async def steps(ctx: inngest.Context) -> None:
        await ctx.step.run("first", work)

    outcome = await room.run(room.executor(make_apps(steps=steps)), invocation("app-steps"))
    assert outcome.status == Status.NOT_COMPLETED
    [op] = body(outcome)
    assert (op["id"], op["displayName"], op["data"]) == (hashed("first"), "first", 7)


async def test_parallel_steps_are_planned_and_then_run_one_by_one(room: Room) -> None:
    ran: list[str] = []

    async def work(name: str) -> str:
        ran.append(name)
        return name

    async def parallel(ctx: inngest.Context) -> list[str]:
        return list(
            await ctx.group.parallel(
                (lambda: ctx.step.run("left", work, "l"), lambda: ctx.step.run("right", work, "r")),
            )
        )

    executor = room.executor(make_apps(parallel=parallel))
    server = Server(lambda request: room.run(executor, request))
    outcome = await server.finish("app-parallel")
    assert (outcome.status, body(outcome)) == (Status.DONE, ["l", "r"])
    assert server.ops.count("StepPlanned") == 2
    assert ran == ["l", "r"]


async def test_a_step_that_fails_is_retried_and_then_goes_on(room: Room) -> None:
    tries = 0

    async def shaky() -> str:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise ValueError("not yet")
        return "at last"

    async def steps(ctx: inngest.Context) -> str:
        return await ctx.step.run("shaky", shaky)

    executor = room.executor(make_apps(steps=steps))
    outcome = await Server(lambda request: room.run(executor, request)).finish("app-steps")
    assert (outcome.status, body(outcome), tries) == (Status.DONE, "at last", 3)


async def test_a_step_that_fails_for_good_can_be_caught(room: Room) -> None:
    async def broken() -> None:
        raise ValueError("never")

    async def steps(ctx: inngest.Context) -> str:
        try:
            await ctx.step.run("broken", broken)
        except inngest.StepError as error:
            return f"caught {error.message}"
        return "not reached"

    executor = room.executor(make_apps(steps=steps))
    server = Server(lambda request: room.run(executor, request))
    outcome = await server.finish("app-steps")
    assert (outcome.status, body(outcome)) == (Status.DONE, "caught never")
    assert server.attempts == 5


async def test_a_failed_function_is_retried(room: Room) -> None:
    async def fail(ctx: inngest.Context) -> None:
        raise ValueError("broken")

    outcome = await room.run(room.executor(make_apps(fail=fail)), invocation("app-fail"))
    assert (outcome.status, outcome.no_retry, outcome.retry_after) == (Status.ERROR, False, None)
    assert (body(outcome)["name"], body(outcome)["message"]) == ("ValueError", "broken")


async def test_a_non_retriable_error_is_final(room: Room) -> None:
    async def fail(ctx: inngest.Context) -> None:
        raise inngest.NonRetriableError("never")

    outcome = await room.run(room.executor(make_apps(fail=fail)), invocation("app-fail"))
    assert (outcome.status, outcome.no_retry) == (Status.ERROR, True)


async def test_retry_after_is_a_date_that_the_server_reads(room: Room) -> None:
    when = datetime.datetime(2031, 2, 3, 4, 5, 6, tzinfo=datetime.UTC)

    async def step() -> None:
        raise inngest.RetryAfterError("busy", when)

    async def later(ctx: inngest.Context) -> None:
        await ctx.step.run("later", step)

    outcome = await room.run(room.executor(make_apps(later=later)), invocation("app-later"))
    assert (outcome.status, outcome.no_retry) == (Status.ERROR, False)
    assert outcome.retry_after is not None
    assert datetime.datetime.fromisoformat(outcome.retry_after) == when


async def test_on_failure_is_a_function_of_its_own(room: Room) -> None:
    client = make_client()

    async def main(ctx: inngest.Context) -> str:
        return "main"

    async def failed(ctx: inngest.Context) -> str:
        return f"saw {ctx.event.data['error']}"

    executor = room.executor(sdk.load([(client, [make_function(client, "f", main, on_failure=failed)])]))
    assert body(await room.run(executor, invocation("app-f"))) == "main"
    assert body(await room.run(executor, invocation("app-f-failure", {"error": "it"}))) == "saw it"


async def test_several_apps_keep_their_functions_apart(room: Room) -> None:
    one, two = make_client("one"), make_client("two")

    async def first(ctx: inngest.Context) -> str:
        return "of one"

    async def second(ctx: inngest.Context) -> str:
        return "of two"

    executor = room.executor(
        sdk.load([(one, [make_function(one, "f", first)]), (two, [make_function(two, "f", second)])])
    )
    assert body(await room.run(executor, invocation("one-f", app="one"))) == "of one"
    assert body(await room.run(executor, invocation("two-f", app="two"))) == "of two"


async def test_sync_functions_have_steps_too(room: Room) -> None:
    ran: list[str] = []

    def work(name: str) -> str:
        ran.append(name)
        return name

    def steps(ctx: inngest.ContextSync) -> list[str]:
        first = ctx.step.run("first", work, "a")
        rest = ctx.group.parallel((lambda: ctx.step.run("b", work, "b"), lambda: ctx.step.run("c", work, "c")))
        return [first, *rest]

    executor = room.executor(make_apps(steps=steps))
    outcome = await Server(lambda request: room.run(executor, request)).finish("app-steps")
    assert (outcome.status, body(outcome)) == (Status.DONE, ["a", "b", "c"])
    assert ran == ["a", "b", "c"]


async def test_a_sync_function_that_fails_is_an_error(room: Room) -> None:
    def fail(ctx: inngest.ContextSync) -> None:
        raise inngest.NonRetriableError("never")

    outcome = await room.run(room.executor(make_apps(fail=fail)), invocation("app-fail"))
    assert (outcome.status, outcome.no_retry, body(outcome)["message"]) == (Status.ERROR, True, "never")


async def test_a_result_that_is_no_json_is_an_error_that_says_so(room: Room) -> None:
    async def odd(ctx: inngest.Context) -> Any:
        return object()

    outcome = await room.run(room.executor(make_apps(odd=odd)), invocation("app-odd"))
    assert outcome.status == Status.ERROR
    assert "unserializable" in body(outcome)["message"]


class Order(pydantic.BaseModel):
    number: int


async def test_a_serialiser_carries_objects_through_steps(room: Room) -> None:
    client = make_client(serializer=inngest.PydanticSerializer())

    async def make() -> Order:
        return Order(number=5)

    async def order(ctx: inngest.Context) -> Order:
        made = await ctx.step.run("make", make, output_type=Order)
        assert isinstance(made, Order)
        return made

    executor = room.executor(sdk.load([(client, [make_function(client, "order", order, output_type=Order)])]))
    outcome = await Server(lambda request: room.run(executor, request)).finish("app-order")
    assert (outcome.status, body(outcome)) == (Status.DONE, {"number": 5})


class Traced(inngest.Middleware):
    """Middleware that notes what it sees of each request."""

    seen: list[dict[str, str]] = []  # noqa: RUF012

    def __init__(self, client: inngest.Inngest, raw_request: Any) -> None:
        super().__init__(client, raw_request)
        self.seen.append(dict(raw_request.headers))

    async def transform_output(self, result: Any) -> None:
        if isinstance(result.output, str):
            result.output = f"<{result.output}>"


async def test_middleware_sees_the_trace_and_shapes_the_output(room: Room) -> None:
    client = make_client(middleware=[Traced])

    async def hello(ctx: inngest.Context) -> str:
        return "hello"

    context = b'{"traceparent": "00-ab-cd-01", "tracestate": "a=b"}'
    Traced.seen.clear()
    executor = room.executor(sdk.load([(client, [make_function(client, "hello", hello)])]))
    outcome = await room.run(executor, invocation("app-hello", request_id="r-1", trace_context=context))
    assert (outcome.status, body(outcome)) == (Status.DONE, "<hello>")
    assert Traced.seen == [
        {"x-request-id": "r-1", "x-inngest-job-id": "job-1", "traceparent": "00-ab-cd-01", "tracestate": "a=b"}
    ]


class Faulty(inngest.Middleware):
    """Middleware whose constructor raises."""

    def __init__(self, client: inngest.Inngest, raw_request: object) -> None:
        raise RuntimeError("database password is hunter2")


async def test_an_exception_out_of_the_handler_is_retriable_and_tells_no_more_than_its_name(
    room: Room, caplog: pytest.LogCaptureFixture
) -> None:
    client = make_client(middleware=[Faulty])

    async def hello(ctx: inngest.Context) -> str:
        return "hello"

    executor = room.executor(sdk.load([(client, [make_function(client, "hello", hello)])]))
    outcome = await room.run(executor, invocation("app-hello", request_id="r-7"))
    assert (outcome.status, outcome.no_retry) == (Status.ERROR, False)
    assert set(body(outcome)) == {"name", "message"}
    assert body(outcome)["name"] == "RuntimeError"
    assert b"hunter2" not in outcome.body
    [record] = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert record.name == "connect.functions"
    assert (record.__dict__["request_id"], record.__dict__["function"]) == ("r-7", "app-hello")
    assert record.exc_info


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_context_variables_of_one_execution_are_not_seen_by_the_next(
    room: Room, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INNGEST_THREAD_POOL_MAX_WORKERS", "1")
    mark: contextvars.ContextVar[str] = contextvars.ContextVar("mark", default="clean")

    def note(name: Any) -> str:
        before = mark.get()
        mark.set(str(name))
        return before

    async def noting(ctx: inngest.Context) -> str:
        return note(ctx.event.data["name"])

    def noting_sync(ctx: inngest.ContextSync) -> str:
        return note(ctx.event.data["name"])

    executor = room.executor(make_apps(f=noting if kind == "async" else noting_sync))
    seen = [body(await room.run(executor, invocation("app-f", {"name": name}))) for name in "abc"]
    assert seen == ["clean"] * 3
    assert mark.get() == "clean"


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_functions_of_the_callers_loop_see_its_context_variables(caller: Room, kind: str) -> None:
    mark: contextvars.ContextVar[str] = contextvars.ContextVar("mark", default="none")
    mark.set("of the caller")

    async def look(ctx: inngest.Context) -> str:
        return mark.get()

    def look_sync(ctx: inngest.ContextSync) -> str:
        return mark.get()

    executor = caller.executor(make_apps(look=look if kind == "async" else look_sync))
    assert body(await caller.run(executor, invocation("app-look"))) == "of the caller"


async def test_a_hundred_at_once_each_get_their_own_outcome(room: Room) -> None:
    async def echo(ctx: inngest.Context) -> Any:
        await asyncio.sleep(0)
        return ctx.event.data["n"]

    executor = room.executor(make_apps(echo=echo))
    executions = [room.start(executor, invocation("app-echo", {"n": n}, request_id=f"r-{n}")) for n in range(100)]
    assert [body(await execution.outcome()) for execution in executions] == list(range(100))
    assert executor.stuck == []
