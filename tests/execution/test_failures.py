"""Each failure is one record, with function and run: also what the SDK, or the worker itself, refuses."""

import asyncio
import logging
from typing import Any

import inngest
import pytest
from sdk_kit import Status, hashed, invocation, make_apps, make_client, make_function

from connect.execution import Invocation, Outcome, sdk

pytestmark = pytest.mark.oldest


async def hello(ctx: inngest.Context) -> str:
    return "hello"


async def odd(ctx: inngest.Context) -> Any:
    return {1}


async def odd_step(ctx: inngest.Context) -> None:
    async def work() -> Any:
        return object()

    await ctx.step.run("work", work)


async def cancelled(ctx: inngest.Context) -> None:
    raise asyncio.CancelledError


async def quiet(ctx: inngest.Context) -> None:
    raise inngest.NonRetriableError("nothing to do", quiet=True)


async def final(ctx: inngest.Context) -> None:
    raise inngest.NonRetriableError("no such order")


async def fails(ctx: inngest.Context) -> None:
    raise LookupError("no such order")


async def step_fails(ctx: inngest.Context) -> None:
    async def work() -> None:
        raise LookupError("no such order")

    await ctx.step.run("work", work)


APPS = {each.__name__: each for each in (hello, odd, odd_step, cancelled, quiet, final, fails, step_fails)}
STEP_FAILED = {hashed("work"): {"error": {"name": "LookupError", "message": "no such order", "stack": "…"}}}

REFUSED = {
    "output that is not JSON": (invocation("app-odd"), "OutputUnserializableError", "TypeError"),
    "output of a step that is not JSON": (invocation("app-odd_step"), "OutputUnserializableError", "TypeError"),
    "a step that it does not have": (invocation("app-step_fails", step_id=hashed("x")), "StepUnexpectedError", None),
    "a function that it does not have": (invocation("app-other"), "FunctionNotFound", None),
    "an app that there is not": (invocation("app-hello", app="other"), "AppNotFound", None),
    "a payload that is no JSON": (invocation("app-hello", payload=b"{"), "", None),
    "a payload that is no request": (invocation("app-hello", payload=b"{}"), "", None),
    "cancelled by what it awaits": (invocation("app-cancelled"), "CancelledError", "CancelledError"),
}


async def run(request: Invocation, caplog: pytest.LogCaptureFixture) -> tuple[Outcome, logging.LogRecord]:
    """The outcome, and the one record of its failure, at DEBUG or above."""
    caplog.set_level("DEBUG", "connect")
    outcome = await make_apps(**APPS).run(request)
    [record] = [record for record in caplog.records if record.name.startswith(("connect", "inngest"))]
    assert record.name == "connect.functions"
    return outcome, record


@pytest.mark.parametrize(("request_", "name", "why"), REFUSED.values(), ids=REFUSED)
async def test_what_is_refused_is_logged_once_and_with_its_ids(
    caplog: pytest.LogCaptureFixture, request_: Invocation, name: str, why: str | None
) -> None:
    outcome, record = await run(request_, caplog)
    assert outcome.status == Status.ERROR
    assert f"{request_.function_slug} failed (app " in record.getMessage()
    assert name in record.getMessage()
    about = {key: record.__dict__[key] for key in ("function", "run_id", "request_id")}
    assert about == {"function": request_.function_slug, "run_id": "run-1", "request_id": "request-1"}
    assert record.levelno == logging.WARNING, "it will be tried again"
    assert (record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else None) in (why, name)


async def test_the_sdk_still_logs_what_is_none_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    """The same client may serve functions over HTTP, in the same process."""
    client = make_client()
    [app] = sdk.load([(client, [make_function(client, "hello", hello)])])._apps.values()
    await app.handler.post(sdk._request(invocation("app-hello", payload=b"{")))
    assert [record.name for record in caplog.records] == [client.logger.name]


async def test_a_client_may_have_a_logger_of_another_library() -> None:
    class Other:
        error = info = debug = warning = exception = critical = log = print

    client = make_client(logger=Other())
    sdk.load([(client, [make_function(client, "hello", hello)])])


@pytest.mark.parametrize(
    ("request_", "level"),
    [
        (invocation("app-fails", attempt=0), "WARNING"),
        (invocation("app-fails", attempt=2), "WARNING"),
        (invocation("app-fails", attempt=3), "ERROR"),
        (invocation("app-step_fails", attempt=0), "WARNING"),
        (invocation("app-step_fails", attempt=3), "ERROR"),
        (invocation("app-step_fails", memos=STEP_FAILED), "WARNING"),
        (invocation("app-odd", attempt=3), "ERROR"),
        (invocation("app-cancelled", attempt=3), "ERROR"),
        (invocation("app-final"), "ERROR"),
        (invocation("app-quiet"), "DEBUG"),
    ],
)
async def test_only_what_is_final_is_an_error(
    caplog: pytest.LogCaptureFixture, request_: Invocation, level: str
) -> None:
    outcome, record = await run(request_, caplog)
    if outcome.max_attempts or outcome.no_retry:  # releases before 0.5.19 may not tell how many there are
        assert record.levelname == level
    assert record.exc_info
