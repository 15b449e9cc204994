"""A request comes twice, cannot be acknowledged, or is very large (docs/faults.md)."""

from typing import Any

import inngest
import pytest

from connect import events
from connect.gateway import Gateway, Kind


@pytest.mark.usefixtures("quiet")
async def test_a_request_is_acknowledged_before_it_runs_and_once_more_when_it_comes_again(
    gw: Gateway, start: Any, held: Any
) -> None:
    gw.ack_timeout = 0.3
    await start()
    gw.faults.lose(Kind.WORKER_REQUEST_ACK)
    run = gw.start_run("app-hold")
    await gw.wait_for(Kind.WORKER_REQUEST_ACK)
    held.release.set()
    assert (await run.done()).output == "held"
    request = gw.ledger[run.requests[0]]
    assert (len(request.dispatched), held.calls, request.duplicates) == (2, 1, 0)


@pytest.mark.usefixtures("quiet")
async def test_a_request_that_was_answered_is_answered_the_same_when_it_comes_again(
    gw: Gateway, start: Any, held: Any
) -> None:
    await start()
    held.release.set()
    run = await gw.invoke("app-hold")
    await gw.wait_for(Kind.WORKER_REPLY_ACK)
    await gw.redeliver(run.requests[0], fresh_lease=True)
    await gw.wait_for(Kind.WORKER_REPLY_ACK, count=2)
    first, second = (frame.message for frame in gw.frames(Kind.WORKER_REPLY))
    assert first == second
    assert held.calls == 1


@pytest.mark.usefixtures("quiet")
async def test_a_request_whose_ack_could_not_be_written_was_never_accepted(
    gw: Gateway, start: Any, held: Any, break_write: Any
) -> None:
    worker = await start()
    break_write(Kind.WORKER_REQUEST_ACK)
    run = gw.start_run("app-hold")
    await worker.hears(events.Connected, 2)
    await held.running()
    held.release.set()
    assert (await run.done()).output == "held"
    order = [type(event) for event in worker.told if isinstance(event, events.Connected | events.RequestReceived)]
    assert order == [events.Connected, events.Connected, events.RequestReceived]
    assert held.calls == 1
    assert len(gw.frames(Kind.WORKER_REPLY)) == 1
    assert not gw.calls("flush")


@pytest.mark.usefixtures("quiet")
async def test_a_request_of_seven_mebibytes_is_read(gw: Gateway, start: Any, apps: Any) -> None:
    @apps.function("measure")
    async def measure(ctx: inngest.Context) -> int:
        return len(str(ctx.event.data["value"]))

    gw.payload_limit = 16 * 1024 * 1024
    worker = await start()
    size = 7 * 1024 * 1024 // 2  # it travels twice: as the event, and in the list of events
    assert (await gw.invoke("app-measure", {"value": "x" * size})).output == size
    assert max(frame.size for frame in gw.frames(Kind.GATEWAY_EXECUTOR_REQUEST)) > 7 * 1024 * 1024
    assert len(worker.heard(events.Connected)) == 1
