"""The gateway drives runs step by step: what a request holds, and what each kind of reply leads to (PROTOCOL.md §6.2, 6.6)."""

import asyncio
import hashlib
import json
import math
from typing import Any

import pytest
from raw_worker import RawWorker, function

from connect.gateway import Gateway, Kind, Retry, Unheard
from connect.wire import AppConfiguration, GatewayExecutorRequestData, SDKResponseStatus

NOT_COMPLETED, ERROR = SDKResponseStatus.NOT_COMPLETED, SDKResponseStatus.ERROR


def hashed(name: str) -> str:
    return hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest()


def op(kind: str, step: str, **fields: Any) -> dict[str, Any]:
    return {
        "op": kind,
        "id": hashed(step),
        "displayName": step,
        "name": step,
        "userland": {"id": step, "index": None},
    } | fields


class Playing:
    """A raw worker that answers executions as the test says."""

    def __init__(self, worker: RawWorker) -> None:
        self.worker = worker

    async def asked(self) -> tuple[GatewayExecutorRequestData, dict[str, Any]]:
        request = await self.worker.expect(Kind.GATEWAY_EXECUTOR_REQUEST)
        await self.worker.ack(request)
        return request, json.loads(request.request_payload)

    async def answers(self, body: Any, status: int = SDKResponseStatus.DONE, **fields: Any) -> dict[str, Any]:
        request, payload = await self.asked()
        await self.worker.reply(request, body, status, **fields)
        return payload


@pytest.fixture
async def playing(worker: RawWorker) -> Playing:
    configs = [function("app-fn", retries=1), function("app-other", retries=0)]
    await worker.join(apps=[AppConfiguration(app_name="app", functions=json.dumps(configs).encode())])
    return Playing(worker)


async def test_the_first_request_is_that_of_a_new_run(gw: Gateway, playing: Playing) -> None:
    run = gw.start_run("app-fn", {"x": 1})
    request, payload = await playing.asked()
    assert payload["event"]["name"] == "test/app-fn"
    assert payload["event"]["data"] == {"x": 1}
    assert payload["events"] == [payload["event"]]
    assert (payload["steps"], payload["version"], payload["use_api"]) == ({}, -1, False)
    context = payload["ctx"]
    assert (context["attempt"], context["max_attempts"], context["step_id"]) == (0, 2, "step")
    assert (context["run_id"], context["request_id"]) == (run.id, request.request_id)
    assert context["stack"] == {"current": 0, "stack": []}
    assert json.loads(request.system_trace_ctx)["traceparent"].startswith("00-")
    assert request.user_trace_ctx == b"{}"


async def test_steps_are_memoized_in_order_under_their_hashed_ids(gw: Gateway, playing: Playing) -> None:
    run = gw.start_run("app-fn")
    await playing.answers([op("StepRun", "a", data={"n": 1})], NOT_COMPLETED)
    await playing.answers([op("StepRun", "b", data=None)], NOT_COMPLETED)
    payload = await playing.answers("done")
    assert payload["steps"] == {hashed("a"): {"data": {"n": 1}}, hashed("b"): {"data": None}}
    assert payload["ctx"]["stack"] == {"current": 2, "stack": [hashed("a"), hashed("b")]}
    assert payload["version"] == 2, "the version that the worker replied with"
    await run.done()
    assert (run.status, run.output, run.attempts, len(run.requests)) == ("completed", "done", 1, 3)
    assert {name: step.data for name, step in run.steps.items()} == {"a": {"n": 1}, "b": None}


async def test_planned_steps_are_executed_one_by_one_and_discovered_together(gw: Gateway, playing: Playing) -> None:
    run = gw.start_run("app-fn")
    await playing.answers([op("StepPlanned", "a"), op("StepPlanned", "b")], NOT_COMPLETED)
    requests = [await playing.asked() for _ in range(2)]
    for name, (request, payload) in zip("ab", requests, strict=True):
        assert request.step_id == payload["ctx"]["step_id"] == hashed(name)
        assert payload["ctx"]["disable_immediate_execution"]
        await playing.worker.reply(request, [op("StepRun", name, data=name)], NOT_COMPLETED)
    payload = await playing.answers("done")
    assert payload["ctx"]["step_id"] == "step"
    assert set(payload["steps"]) == {hashed("a"), hashed("b")}
    assert (await run.done()).status == "completed"


async def test_a_failing_step_is_retried_and_then_memoized_as_an_error(gw: Gateway, playing: Playing) -> None:
    run = gw.start_run("app-fn")
    error = {"name": "ValueError", "message": "no"}
    for attempt in range(2):
        payload = await playing.answers([op("StepError", "a", error=error)], NOT_COMPLETED)
        assert payload["ctx"]["attempt"] == attempt
    payload = await playing.answers("handled")
    assert payload["steps"] == {hashed("a"): {"error": error}}
    assert payload["ctx"]["attempt"] == 0
    await run.done()
    assert (run.output, run.attempts, run.steps["a"].error) == ("handled", 2, error)


@pytest.mark.parametrize(
    ("kind", "fields"), [("StepFailed", {}), ("StepError", {"no_retry": True})], ids=["StepFailed", "no_retry"]
)
async def test_a_final_step_error_is_not_retried(gw: Gateway, playing: Playing, kind: str, fields: Any) -> None:
    gw.start_run("app-fn")
    await playing.answers([op(kind, "a", error={"message": "no"})], NOT_COMPLETED, **fields)
    payload = await playing.answers("handled")
    assert payload["steps"] == {hashed("a"): {"error": {"message": "no"}}}


async def test_an_error_is_retried_as_often_as_the_function_says(gw: Gateway, playing: Playing) -> None:
    run = gw.start_run("app-fn")
    error = {"name": "E", "message": "m"}
    assert (await playing.answers(error, ERROR))["ctx"]["attempt"] == 0
    assert (await playing.answers(error, ERROR))["ctx"]["attempt"] == 1
    await run.done()
    assert (run.status, run.error, run.attempts) == ("failed", error, 2)


async def test_no_retry_is_final_and_plain_text_an_error_too(gw: Gateway, playing: Playing) -> None:
    run = gw.start_run("app-fn")
    await playing.answers("boom", ERROR, no_retry=True)
    await run.done()
    assert (run.status, run.error, run.attempts) == ("failed", {"name": "Error", "message": "boom"}, 1)


async def test_no_retry_turns_a_success_into_a_failure(gw: Gateway, playing: Playing) -> None:
    run = gw.start_run("app-fn")
    await playing.answers("fine", no_retry=True)
    assert ((await run.done()).status, run.error["name"]) == ("failed", "NonRetriableError")


@pytest.mark.parametrize("retry_after", ["3600", "2999-01-01T00:00:00Z", "Fri, 01 Jan 2999 00:00:00 GMT", "nonsense"])
async def test_retry_after_is_honoured_shortened(gw: Gateway, playing: Playing, retry_after: str) -> None:
    run = gw.start_run("app-fn")
    await playing.answers({"message": "m"}, ERROR, retry_after=retry_after)
    await playing.answers("fine")
    assert (await run.done()).attempts == 2


async def test_waits_are_scaled_by_the_time_scale(gw: Gateway, playing: Playing) -> None:
    gw.time_scale = 0.001
    gw.start_run("app-fn")
    first, _ = await playing.asked()
    await playing.worker.reply(first, {"message": "m"}, ERROR, retry_after="60")
    replied = gw.frames(Kind.WORKER_REPLY)[0].at
    await playing.answers("fine")
    assert gw.frames(Kind.GATEWAY_EXECUTOR_REQUEST)[1].at - replied >= 0.06


async def test_a_sleep_is_memoized_as_null(gw: Gateway, playing: Playing) -> None:
    gw.start_run("app-fn")
    await playing.answers([op("Sleep", "nap", name="2999-01-01T00:00:00.000Z")], NOT_COMPLETED)
    assert (await playing.answers("up"))["steps"] == {hashed("nap"): None}


async def test_a_wait_ends_with_its_event_or_with_null(gw: Gateway, playing: Playing) -> None:
    run = gw.start_run("app-fn")
    await playing.answers([op("WaitForEvent", "none", name="test/late", opts={"timeout": "7d"})], NOT_COMPLETED)
    request, payload = await playing.asked()
    assert payload["steps"] == {hashed("none"): None}
    gw.time_scale = 1.0
    wait = op("WaitForEvent", "one", name="test/came", opts={"timeout": "1h"})
    await playing.worker.reply(request, [wait], NOT_COMPLETED)
    await gw.until(lambda: run.waiting_for == "test/came")
    assert gw.send_event("test/came", {"y": 2}) == []
    event = (await playing.answers("done"))["steps"][hashed("one")]
    assert (event["name"], event["data"]) == ("test/came", {"y": 2})


@pytest.mark.parametrize("fails", [False, True])
async def test_an_invoked_function_leaves_its_output_or_its_error(gw: Gateway, playing: Playing, fails: bool) -> None:
    run = gw.start_run("app-fn")
    opts = {"function_id": "app-other", "payload": {"data": {"z": 1}}}
    await playing.answers([op("InvokeFunction", "call", opts=opts)], NOT_COMPLETED)
    request, payload = await playing.asked()
    assert (request.function_slug, payload["event"]["data"]) == ("app-other", {"z": 1})
    await playing.worker.reply(request, {"message": "m"} if fails else 9, ERROR if fails else SDKResponseStatus.DONE)
    payload = await playing.answers("done")
    assert payload["steps"][hashed("call")] == ({"error": {"message": "m"}} if fails else {"data": 9})
    await run.done()


async def test_an_unknown_function_is_an_error_of_the_step_that_invokes_it(gw: Gateway, playing: Playing) -> None:
    gw.start_run("app-fn")
    await playing.answers([op("InvokeFunction", "call", opts={"function_id": "nobody"})], NOT_COMPLETED)
    error = (await playing.answers("done"))["steps"][hashed("call")]["error"]
    assert "'nobody'" in error["message"]


@pytest.mark.parametrize("body", [[], [{"op": "Unheard"}]])
async def test_a_report_that_leads_nowhere_fails_the_run(gw: Gateway, playing: Playing, body: Any) -> None:
    run = gw.start_run("app-fn")
    await playing.answers(body, NOT_COMPLETED)
    assert (await run.done()).status == "failed"


async def test_an_event_starts_the_functions_that_it_triggers(gw: Gateway, playing: Playing) -> None:
    [run] = gw.send_event("test/app-other", {"q": 1})
    assert (await playing.answers("ok"))["event"]["data"] == {"q": 1}
    assert ((await run.done()).slug, run.output) == ("app-other", "ok")


async def test_a_retry_is_announced_with_its_delay(gw: Gateway, playing: Playing) -> None:
    gw.time_scale = 0.001
    run = gw.start_run("app-fn")
    await playing.answers({"name": "ValueError", "message": "no"}, ERROR)
    await playing.answers({"name": "ValueError", "message": "no"}, ERROR)
    await run.done()
    [retry] = [record for record in gw.log if isinstance(record, Retry)]
    assert (retry.slug, retry.run_id, retry.attempt, retry.attempts, retry.delay) == ("app-fn", run.id, 2, 2, 0.03)


async def test_an_event_without_a_listener_is_noted(gw: Gateway, playing: Playing) -> None:
    gw.send_event("shop/nobody")
    waiting = gw.start_run("app-fn")
    await playing.answers([op("WaitForEvent", "wait", name="shop/awaited", opts={"timeout": "60s"})], NOT_COMPLETED)
    await gw.until(lambda: waiting.waiting_for == "shop/awaited")
    gw.send_event("shop/awaited")
    gw.send_event("test/app-fn")
    assert [record.event for record in gw.log if isinstance(record, Unheard)] == ["shop/nobody"]


async def test_events_are_taken_over_http_as_the_sdks_send_them(gw: Gateway, playing: Playing) -> None:
    event = {"name": "test/app-other", "data": {"q": 2}}
    async with playing.worker.session.post(f"{gw.url}/e/key", json=[event]) as answer:
        assert len((await answer.json())["ids"]) == 1
    assert (await playing.answers("ok"))["event"]["data"] == {"q": 2}


async def test_what_is_too_big_for_a_request_is_left_to_the_api(gw: Gateway, playing: Playing) -> None:
    run = gw.start_run("app-fn", "e" * 600)
    await playing.answers([op("StepRun", "a", data="s" * 2000)], NOT_COMPLETED)
    gw.payload_limit = 2500
    await asyncio.sleep(0)
    request, _ = await playing.asked()
    await playing.worker.reply(request, [op("StepRun", "b", data=1)], NOT_COMPLETED)
    _, payload = await playing.asked()
    assert (payload["steps"], payload["use_api"], payload["ctx"]["use_api"]) == ({}, True, True)
    async with playing.worker.session.get(f"{gw.url}/v0/runs/{run.id}/actions") as answer:
        assert set(await answer.json()) == {hashed("a"), hashed("b")}
    async with playing.worker.session.get(f"{gw.url}/v0/runs/{run.id}/batch") as answer:
        assert (await answer.json())[0]["data"] == "e" * 600
    async with playing.worker.session.get(f"{gw.url}/v0/runs/nothing/batch") as answer:
        assert answer.status == 404


async def test_a_worker_gets_the_same_from_the_api_as_within_a_request(gw: Gateway, playing: Playing) -> None:
    """Whatever JSON says, and Python besides: NaN, integers of any size, depth, half of a surrogate pair, the order of keys."""
    nested = json.loads("[" * 100 + "]" * 100)
    odd = {"z": [math.nan, math.inf, -math.inf], "i": 10**300, "deep": nested, "text": "\ud800 ü \u2028", "a": 1e-7}
    run = gw.start_run("app-fn", odd)
    await playing.answers([op("StepRun", "a", data=odd)], NOT_COMPLETED)
    request, inline = await playing.asked()
    gw.payload_limit = 100
    await playing.worker.reply(request, [op("StepRun", "b", data=1)], NOT_COMPLETED)
    _, cut = await playing.asked()
    assert (cut["steps"], cut["events"]) == ({}, [])

    async def from_the_api(what: str) -> Any:
        async with playing.worker.session.get(f"{gw.url}/v0/runs/{run.id}/{what}") as answer:
            return await answer.json()

    assert repr((await from_the_api("actions"))[hashed("a")]) == repr(inline["steps"][hashed("a")])
    assert repr(await from_the_api("batch")) == repr(inline["events"])


@pytest.mark.parametrize("context", [b"", b"null", b"\xff"])
async def test_trace_contexts_can_be_anything(gw: Gateway, playing: Playing, context: bytes) -> None:
    gw.system_trace_ctx = gw.user_trace_ctx = context
    gw.start_run("app-fn")
    request, _ = await playing.asked()
    assert (request.system_trace_ctx, request.user_trace_ctx) == (context, context)


@pytest.mark.parametrize("body", ["", "no json", "7", '["echo"]', '{"data": {}}'])
async def test_what_is_no_event_is_refused(gw: Gateway, playing: Any, body: str) -> None:
    async with playing.worker.session.post(f"{gw.url}/e/key", data=body) as answer:
        assert answer.status == 400
