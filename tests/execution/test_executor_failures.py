"""A failure of user code is told to the server and to the log, and hurts nothing else."""

import asyncio
import json
import logging
import sys
import time
from typing import Any

import inngest
import pytest
from sdk_kit import Room, Status, hashed, invocation, make_apps

from connect.execution import Outcome

pytestmark = pytest.mark.oldest


def body(outcome: Outcome) -> Any:
    return json.loads(outcome.body)


def failures(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "connect.functions"]


@pytest.mark.parametrize("kind", ["sync", "async", "step"])
async def test_sys_exit_in_a_function_is_its_own_failure_and_no_others(
    room: Room, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    def leave_sync(ctx: inngest.ContextSync) -> None:
        sys.exit(3)

    async def leave(ctx: inngest.Context) -> None:
        sys.exit(3)

    async def leave_in_a_step(ctx: inngest.Context) -> None:
        await ctx.step.run("leave", sys.exit, 3)  # type: ignore[arg-type]

    async def wait(ctx: inngest.Context) -> str:
        await asyncio.sleep(0.05)
        return "waited"

    handler = {"sync": leave_sync, "async": leave, "step": leave_in_a_step}[kind]
    executor = room.executor(make_apps(leave=handler, wait=wait))
    bystander = room.start(executor, invocation("app-wait", request_id="r-2"))
    outcome = await room.run(executor, invocation("app-leave"))
    assert (outcome.status, outcome.no_retry) == (Status.ERROR, False)
    assert (body(outcome)["name"], body(outcome)["message"]) == ("FunctionExited", "the function called sys.exit(3)")
    assert "sys.exit" in body(outcome)["stack"]
    assert body(await bystander.outcome()) == "waited"
    assert len(failures(caplog)) == 1


class Odd(BaseException):
    """An exception, as of a test framework or another event loop, that `except Exception` does not catch."""


@pytest.mark.parametrize("kind", ["sync", "async", "step"])
async def test_an_exception_that_is_no_exception_is_its_functions_failure_too(
    room: Room, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise Odd("unheard of")

    def fail_sync(ctx: inngest.ContextSync) -> None:
        fail()

    async def fail_async(ctx: inngest.Context) -> None:
        fail()

    async def fail_in_a_step(ctx: inngest.Context) -> None:
        await ctx.step.run("fail", fail)  # type: ignore[arg-type]

    handler = {"sync": fail_sync, "async": fail_async, "step": fail_in_a_step}[kind]
    outcome = await room.run(room.executor(make_apps(fail=handler)), invocation("app-fail"))
    assert (outcome.status, outcome.no_retry, body(outcome)["name"]) == (Status.ERROR, False, "Odd")
    assert "request request-1 could not be run" in caplog.text
    assert "unheard of" in caplog.text


async def test_what_a_function_came_to_is_kept_although_the_cancel_was_under_way(room: Room) -> None:
    """The function blocks its loop, so the cancel arrives only after its last line."""

    calls = 0

    async def block(ctx: inngest.Context) -> str:
        nonlocal calls
        calls += 1
        execution.cancel()
        if room.kind == "caller":  # let the cancel come from the other loop to this one's door
            asyncio.run_coroutine_threadsafe(asyncio.sleep(0.02), room.away).result()
        time.sleep(0.01)  # noqa: ASYNC251
        return "done all the same"

    execution = room.start(room.executor(make_apps(block=block)), invocation("app-block"))
    outcome = await execution.outcome()
    assert (outcome.status, body(outcome)) == (Status.DONE, "done all the same")
    assert calls == 1


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_a_function_that_fails_is_logged_with_its_ids_and_traceback(
    room: Room, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    def fail_sync(ctx: inngest.ContextSync) -> None:
        raise LookupError("no such order")

    async def fail(ctx: inngest.Context) -> None:
        raise LookupError("no such order")

    executor = room.executor(make_apps(fail=fail if kind == "async" else fail_sync))
    await room.run(executor, invocation("app-fail", request_id="r-9"))
    [text] = failures(caplog)
    assert text == "app-fail failed (app app, run run-1, request r-9): LookupError: no such order"
    [record] = [record for record in caplog.records if "app-fail" in record.getMessage()]
    first, second, *rest = caplog.handler.format(record).splitlines()
    assert (first.endswith(text), second) == (True, "Traceback (most recent call last):"), (
        "one traceback, by the formatter"
    )
    assert sum("Traceback" in line for line in rest) == 0
    assert any('raise LookupError("no such order")' in line for line in rest)
    assert isinstance(record.exc_info and record.exc_info[1], LookupError), "what error trackers look at"
    assert record.levelno == logging.WARNING
    about = {name: getattr(record, name) for name in ("request_id", "run_id", "function")}
    assert about == {"request_id": "r-9", "run_id": "run-1", "function": "app-fail"}, "fields of the JSON log"


async def test_a_step_that_fails_is_logged_by_name(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise LookupError("no such order")

    async def steps(ctx: inngest.Context) -> None:
        await ctx.step.run("find it", fail)

    await room.run(room.executor(make_apps(steps=steps)), invocation("app-steps", step_id=hashed("find it")))
    [text] = failures(caplog)
    assert text.startswith("app-steps, step 'find it', failed (")
    assert 'raise LookupError("no such order")' in caplog.text


async def test_a_function_that_succeeds_is_not_logged_as_failed(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> dict[str, str]:
        return {"error": "none"}

    async def steps(ctx: inngest.Context) -> dict[str, str]:
        await ctx.step.run("work", work)
        return {"name": "x", "message": "x", "stack": "x"}

    executor = room.executor(make_apps(steps=steps))
    assert (await room.run(executor, invocation("app-steps"))).status == Status.NOT_COMPLETED
    memos = {hashed("work"): {"data": 1}}
    assert (await room.run(executor, invocation("app-steps", memos=memos))).status == Status.DONE
    assert not failures(caplog)
