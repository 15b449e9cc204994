"""The gateway stops reading: the worker keeps a limited number of bytes for it, and loses nothing once it reads again."""

import asyncio
import contextlib
from typing import Any

import inngest
import pytest
from rig import DOWN, Apps, Held, Running
from spoilt_network import Spoilt

from connect import events, requests, wire
from connect.gateway import Gateway, Kind
from connect.transport import channel

MIB = 1024 * 1024
RUNS = 24
FULL = 4 * MIB
MOST = FULL + 3 * MIB
"""Past the mark one reply more may wait; the transport has a copy of the one that it is at."""

pytestmark = pytest.mark.usefixtures("quiet", "small")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A channel is full sooner, so that a test need not move a gigabyte."""
    monkeypatch.setattr(channel, "FULL", FULL)


@pytest.fixture
def large(apps: Apps) -> Held:
    """`app-large` returns a mebibyte when the test lets it go."""
    held = Held(apps)

    @apps.function("large")
    async def large(ctx: inngest.Context) -> str:
        held.calls += 1
        held.started.set()
        await held.release.wait()
        return "x" * MIB

    return held


@pytest.fixture
def weigh(apps: Apps) -> None:
    """`app-weigh` returns the length of the text that it is given."""

    @apps.function("weigh")
    async def weigh(ctx: inngest.Context) -> int:
        return len(str(ctx.event.data["text"]))


def unsent(worker: Running) -> int:
    """Bytes that the worker keeps for its sockets: frames that wait, and what the transport has not sent."""
    channels = [link._channel for link in worker.connection._connection._links.alive]
    frames = sum(len(frame) for each in channels for frame, *_ in each._outgoing if not callable(frame))
    return frames + sum(each._socket._batch._transport.get_write_buffer_size() for each in channels)


def unacked(worker: Running) -> int:
    """Bytes of the requests that were read and whose ACK is not written."""
    requests = worker.connection._connection._requests.open()
    return sum(request.data.ByteSize() for request in requests if request.state == "acked")


async def stalled(gw: Gateway, start: Any, large: Held) -> tuple[Running, list[Any]]:
    """A worker on the test's loop that has far more to send than its gateway, which does not read, takes."""
    worker = await start(isolation="none")
    runs = [gw.start_run("app-large") for _ in range(RUNS)]
    await gw.wait_for(Kind.WORKER_REQUEST_ACK, count=RUNS)
    gw.connections[0].stall()
    large.release.set()
    return worker, runs


async def clogged(gw: Gateway, worker: Running) -> None:
    """Wait until a frame is stuck and the system's buffers are full too. Failed flushes trigger the check, and add frames."""
    [link] = worker.connection._connection._links.alive

    async def first_frame() -> Any:
        tries = len(gw.calls("flush")) + RUNS
        await gw.until(lambda: len(gw.calls("flush")) >= tries and link._channel.full, timeout=20)
        return link._channel._outgoing[0]

    while await first_frame() is not await first_frame():
        pass


async def completed(runs: list[Any]) -> list[Any]:
    async with asyncio.timeout(20):
        outputs = [(await run.done()).output for run in runs]
    assert {run.status for run in runs} == {"completed"}
    return outputs


async def test_replies_that_a_link_does_not_take_go_over_http(gw: Gateway, start: Any, large: Held) -> None:
    """They wait neither until the gateway reads nor until its silence is noticed."""
    worker, runs = await stalled(gw, start, large)
    await gw.wait_for(lambda record: record in gw.calls("flush"))
    assert unsent(worker) <= MOST
    await completed(runs)
    assert {gw.ledger[run.requests[0]].via for run in runs} == {"flush"}
    gw.connections[0].resume()
    await gw.wait_for(Kind.WORKER_REPLY)
    assert len(gw.connections) == 1


async def test_replies_that_are_not_taken_are_kept_once_and_delivered_when_it_reads(
    gw: Gateway, start: Any, large: Held
) -> None:
    gw.flushes.standing = DOWN
    worker, runs = await stalled(gw, start, large)
    await clogged(gw, worker)
    assert unsent(worker) <= MOST, "each flush that failed has put replies on a link that takes none"
    assert worker.status().outbox_bytes <= (RUNS + 1) * MIB
    gw.connections[0].resume()
    assert await completed(runs) == ["x" * MIB] * RUNS
    assert {gw.ledger[run.requests[0]].via for run in runs} == {"socket"}
    assert (large.calls, gw.ledger.summary()["lost"]) == (RUNS, 0)


@pytest.mark.usefixtures("weigh")
async def test_requests_whose_ack_cannot_be_written_are_left_with_the_gateway(
    gw: Gateway, start: Any, large: Held
) -> None:
    gw.flushes.standing = DOWN
    gw.payload_limit = 16 * MIB
    worker, runs = await stalled(gw, start, large)
    await clogged(gw, worker)
    more = [gw.start_run("app-weigh", {"text": "x" * MIB}) for _ in range(RUNS)]  # of two mebibytes each
    await gw.until(lambda: unacked(worker) >= 10 * MIB, timeout=20)  # it is asked whenever a flush has failed
    await clogged(gw, worker)
    assert unacked(worker) <= channel.READ_STOP * FULL + 3 * MIB
    assert unsent(worker) <= MOST
    assert worker.status().requests_received < 2 * RUNS
    gw.connections[0].resume()
    assert await completed(more) == [MIB] * RUNS
    await completed(runs)
    assert all(len(gw.ledger[run.requests[0]].acked) == 1 for run in more)
    assert gw.ledger.summary()["lost"] == 0
    assert len(gw.frames(Kind.WORKER_REQUEST_ACK)) == 2 * RUNS


async def test_a_request_whose_ack_is_stuck_when_its_link_ends_was_never_accepted(
    gw: Gateway, start: Any, held: Held, spoilt: Spoilt
) -> None:
    """It would otherwise never begin, and its lease would be extended over every later link, while another worker runs it."""
    worker, home, stuck = await start(), asyncio.get_running_loop(), asyncio.Event()

    async def before(kind: int) -> None:
        if kind == Kind.WORKER_REQUEST_ACK:
            home.call_soon_threadsafe(stuck.set)
            await asyncio.get_running_loop().create_future()

    spoilt.before.append(before)
    gw.start_run("app-hold")
    async with asyncio.timeout(5):
        await stuck.wait()
    gw.starts.standing = DOWN
    gw.connections[0].drop()
    await gw.until(lambda: not worker.status().in_flight)
    assert held.calls == 0


# -- what requests in flight may take ------------------------------------------------------------------------------------------


def taken(worker: Running) -> int:
    """Bytes that the worker counts for requests in flight."""
    return worker.connection._connection._requests._size


@pytest.mark.usefixtures("weigh")
async def test_a_request_whose_reply_waits_counts_without_its_payload(gw: Gateway, start: Any) -> None:
    worker = await start(isolation="none")
    gw.faults.lose(Kind.WORKER_REPLY, None)
    gw.flushes.standing = DOWN
    gw.start_run("app-weigh", {"text": "x" * MIB})
    await worker.hears(events.ReplyBuffered)
    assert taken(worker) == requests.REQUEST_BYTES
    gw.flushes.clear()
    await worker.hears(events.ReplyFlushed)
    await gw.until(lambda: taken(worker) == 0)


async def test_a_request_that_was_taken_away_counts_until_its_function_ends(
    gw: Gateway, start: Any, apps: Apps
) -> None:
    released = asyncio.Event()

    @apps.function("stubborn")
    async def stubborn(ctx: inngest.Context) -> None:
        while not released.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await released.wait()

    worker = await start(isolation="none")
    gw.start_run("app-stubborn", {"text": "x" * MIB})
    received = await worker.hears(events.RequestReceived)
    refused = wire.WorkerRequestExtendLeaseAckData(request_id=received.request_id)
    try:
        await gw.connections[0].send(Kind.WORKER_REQUEST_EXTEND_LEASE_ACK, refused)
        await worker.hears(events.LeaseLost)
        assert taken(worker) >= requests.COPIES * MIB
    finally:
        released.set()
    await asyncio.sleep(0.2)
    assert taken(worker) == 0
