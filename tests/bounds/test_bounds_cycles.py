"""Nothing of a request survives its end until the garbage collector runs: the collector counts objects, not their bytes."""

import asyncio
import gc
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import inngest
import pytest
from rig import DOWN, Apps, Running

from connect import events
from connect.execution import Invocation, Outcome
from connect.gateway import Answer, Gateway, Kind
from connect.request import Request
from statecharts import Stepper

OURS = (Request, Stepper, Invocation, Outcome)
SDKS = ("CommRequest", "ServerRequest", "Step", "StepSync", "Event", "CallResult")
ROUNDS = 2


@pytest.fixture
def uncollected() -> Iterator[None]:
    """The garbage collector is off."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def alive() -> Counter[str]:
    """How many objects there are of each kind that belongs to one request."""
    kinds = (type(each) for each in gc.get_objects())
    return Counter(kind.__name__ for kind in kinds if kind in OURS or (kind.__name__ in SDKS and _is_of_the_sdk(kind)))


def _is_of_the_sdk(kind: type) -> bool:
    return kind.__module__.startswith("inngest.")


async def nothing_more_than(before: Counter[str]) -> None:
    """Wait a while for the end of what is on its way; then nothing may be left."""
    for _ in range(40):
        if not alive() - before:
            return
        await asyncio.sleep(0.05)
    assert alive() - before == Counter()


@pytest.fixture
def several(apps: Apps) -> Apps:
    @apps.function("sync")
    def sync(ctx: inngest.ContextSync) -> Any:
        return ctx.step.run("step", lambda: "s")

    @apps.function("stepped")
    async def stepped(ctx: inngest.Context) -> Any:
        async def work() -> str:
            return "a"

        return await ctx.step.run("step", work)

    @apps.function("failing")
    async def failing(ctx: inngest.Context) -> None:
        raise inngest.NonRetriableError("no")

    @apps.function("endless")
    async def endless(ctx: inngest.Context) -> None:
        await asyncio.Event().wait()

    return apps


async def _delivered(gw: Gateway, worker: Running, slug: str) -> None:
    await gw.start_run(slug).done()


async def _flushed(gw: Gateway, worker: Running, slug: str) -> None:
    gw.faults.lose(Kind.WORKER_REPLY)
    await _delivered(gw, worker, slug)


async def _refused(gw: Gateway, worker: Running, slug: str) -> None:
    gw.faults.lose(Kind.WORKER_REPLY)
    gw.flushes.push(Answer(400))
    count = len(worker.heard(events.ReplyLost))
    gw.start_run(slug)
    await worker.hears(events.ReplyLost, count + 1)


async def _leaseless(gw: Gateway, worker: Running, slug: str) -> None:
    count = len(worker.heard(events.LeaseLost))
    run = gw.start_run("app-endless")
    # Extensions of requests that have ended meanwhile were sent before its ACK: none of them may be the one that is refused.
    await gw.until(lambda: bool(run.requests) and bool(gw.ledger[run.requests[0]].acked))
    gw.faults.nack()
    await worker.hears(events.LeaseLost, count + 1)


Life = Callable[[Gateway, Running, str], Awaitable[None]]
LIVES: list[tuple[Life, str]] = [
    *((_delivered, slug) for slug in ("app-echo", "app-sync", "app-stepped", "app-failing")),
    *((_flushed, slug) for slug in ("app-echo", "app-sync")),
    (_refused, "app-echo"),
    (_leaseless, "app-endless"),
]


@pytest.mark.parametrize("isolation", ["none", "thread"])
@pytest.mark.usefixtures("uncollected")
async def test_nothing_of_a_request_survives_its_end(
    gw: Gateway, several: Apps, start: Any, isolation: str, caplog: pytest.LogCaptureFixture
) -> None:
    worker = await start(isolation=isolation)
    await gw.start_run("app-echo").done()
    before = alive()
    for life, slug in LIVES:
        for _ in range(ROUNDS):
            await life(gw, worker, slug)
    caplog.clear()
    await nothing_more_than(before)


@pytest.mark.usefixtures("uncollected")
async def test_nothing_of_a_request_survives_a_lost_link(gw: Gateway, several: Apps, start: Any) -> None:
    worker = await start()
    await gw.start_run("app-echo").done()
    before = alive()
    for _ in range(ROUNDS):
        runs = [gw.start_run("app-echo") for _ in range(3)]
        gw.starts.push(DOWN)
        for connection in gw.connections:
            connection.drop()
        for run in runs:
            await run.done()
        await gw.wait_for_worker()
    await nothing_more_than(before)
    assert worker.status().outbox_replies == 0
