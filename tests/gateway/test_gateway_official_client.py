"""The official client, unmodified, runs its functions against the test gateway."""

import asyncio
import gc
import time
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import inngest
import pytest
from inngest.connect import ConnectionState, connect

from connect.gateway import Gateway, Kind


@pytest.fixture(autouse=True)
def forget_leaked_sockets() -> Iterator[None]:
    """Collect the socket of the start request, which the official worker leaves open on a closed loop."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
async def client(gw: Gateway) -> AsyncIterator[inngest.Inngest]:
    client = inngest.Inngest(
        app_id="app", api_base_url=gw.url, event_api_base_url=gw.url, event_key="key", is_production=False
    )
    yield client
    await client._http_client._http_client.aclose()  # it has no public way to let go of the sockets it sent events over


@asynccontextmanager
async def working(gw: Gateway, client: inngest.Inngest, *functions: inngest.Function[Any]) -> AsyncIterator[Any]:
    connection = connect([(client, list(functions))], instance_id="official", shutdown_signals=[])
    task = asyncio.create_task(connection.start())
    try:
        await gw.wait_for_worker()
        yield connection
    finally:
        await connection.close(wait=True)
        await task


async def test_steps_in_sequence_in_parallel_and_on_threads(gw: Gateway, client: inngest.Inngest) -> None:
    @client.create_function(fn_id="sequence", trigger=inngest.TriggerEvent(event="test/sequence"))
    async def sequence(ctx: inngest.Context) -> object:
        doubled = await ctx.step.run("double", lambda: ctx.event.data["n"] * 2)
        await ctx.step.sleep("nap", 60_000)
        again = [await ctx.step.run("again", lambda n=n: n) for n in range(2)]
        nobody = await ctx.step.wait_for_event("wait", event="test/never", timeout=1000)
        return [doubled, again, nobody]

    @client.create_function(fn_id="parallel", trigger=inngest.TriggerEvent(event="test/parallel"))
    async def parallel(ctx: inngest.Context) -> object:
        steps = tuple(lambda n=n: ctx.step.run(f"part {n}", lambda: n * n) for n in range(3))
        parts = await ctx.group.parallel(steps)
        return await ctx.step.run("sum", lambda: sum(parts))

    @client.create_function(fn_id="threaded", trigger=inngest.TriggerEvent(event="test/threaded"))
    def threaded(ctx: inngest.ContextSync) -> object:
        return ctx.step.run("slow", lambda: time.sleep(0.01) or "slept")

    @client.create_function(fn_id="caller", trigger=inngest.TriggerEvent(event="test/caller"))
    async def caller(ctx: inngest.Context) -> object:
        sent = await ctx.step.send_event("send", inngest.Event(name="test/threaded"))
        return [len(sent), await ctx.step.invoke("call", function=threaded)]

    async with working(gw, client, sequence, parallel, threaded, caller):
        run = await gw.invoke("app-sequence", {"n": 21})
        assert run.output == [42, [0, 1], None]
        assert list(run.steps) == ["double", "nap", "again", "again:1", "wait"]
        run = await gw.invoke("app-parallel")
        assert (run.output, run.steps["part 2"].data, run.attempts) == (5, 4, 1)
        run = await gw.invoke("app-threaded")
        assert run.output == "slept"
        run = await gw.invoke("app-caller")
        assert run.output == [1, "slept"]
        many = await asyncio.gather(*(gw.invoke("app-sequence", {"n": n}) for n in range(50)))
        assert [run.output[0] for run in many] == [2 * n for n in range(50)]
        await asyncio.gather(*(run.done() for run in gw.runs))
    assert {run.status for run in gw.runs} == {"completed"}
    summary = gw.ledger.summary()
    assert (summary["lost"], summary["accepted"], summary["duplicates"]) == (0, summary["requests"], 0)


async def test_failures_of_functions_and_steps(gw: Gateway, client: inngest.Inngest) -> None:
    failed: list[object] = []

    @client.create_function(fn_id="flaky", retries=2, trigger=inngest.TriggerEvent(event="test/flaky"))
    async def flaky(ctx: inngest.Context) -> object:
        if ctx.attempt < 2:
            raise ValueError(f"attempt {ctx.attempt}")
        return ctx.attempt

    @client.create_function(fn_id="step-error", retries=1, trigger=inngest.TriggerEvent(event="test/step-error"))
    async def step_error(ctx: inngest.Context) -> object:
        async def fail() -> None:
            raise ValueError(f"attempt {ctx.attempt}")

        with pytest.raises(inngest.StepError, match="attempt 1"):
            await ctx.step.run("fail", fail)
        return "handled"

    @client.create_function(fn_id="retried-step", trigger=inngest.TriggerEvent(event="test/retried"))
    async def retried_step(ctx: inngest.Context) -> object:
        async def once() -> str:
            if ctx.attempt == 0:
                raise inngest.RetryAfterError("later", 3_600_000)
            return "second"

        return await ctx.step.run("once", once)

    async def on_failure(ctx: inngest.Context) -> object:
        failed.append(ctx.event.data["function_id"])
        return ctx.event.data["error"]

    @client.create_function(
        fn_id="hopeless", on_failure=on_failure, trigger=inngest.TriggerEvent(event="test/hopeless")
    )
    async def hopeless(ctx: inngest.Context) -> object:
        raise inngest.NonRetriableError("never")

    async with working(gw, client, flaky, step_error, retried_step, hopeless):
        run = await gw.invoke("app-flaky")
        assert (run.status, run.output, run.attempts) == ("completed", 2, 3)
        run = await gw.invoke("app-step-error")
        assert (run.output, run.attempts) == ("handled", 2)
        run = await gw.invoke("app-retried-step")
        assert (run.output, run.attempts) == ("second", 2)
        run = await gw.invoke("app-hopeless")
        assert (run.status, run.error["message"], run.attempts) == ("failed", "never", 1)
        assert run.on_failure is not None
        assert (run.on_failure.status, failed) == ("completed", ["app-hopeless"])
        assert run.on_failure.output["message"] == "never"


async def test_a_run_under_way_survives_a_drain(gw: Gateway, client: inngest.Inngest) -> None:
    release = asyncio.Event()

    @client.create_function(fn_id="fn", trigger=inngest.TriggerEvent(event="test/fn"))
    async def fn(ctx: inngest.Context) -> object:
        await release.wait()
        return "survived"

    async with working(gw, client, fn) as connection:
        run = gw.start_run("app-fn")
        await gw.wait_for(Kind.WORKER_REQUEST_ACK)
        await gw.drain()
        await gw.wait_for(Kind.GATEWAY_CONNECTION_READY, count=2)
        release.set()
        assert (await asyncio.wait_for(run.done(), 5)).output == "survived"
        await asyncio.wait_for(connection.wait_for_state(ConnectionState.ACTIVE), 5)
