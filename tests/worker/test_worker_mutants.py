"""Each test here kills mutants of the charts that no other test of the worker kills.

See docs/mutation.md.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import inngest
import pytest
from rig import DOWN, DRAINING, PATIENT, Apps, Held, at_work, closed, endings, patient, reaches, reported

from connect import events
from connect.gateway import Gateway, Kind, Opened
from connect.link import Link

STAGES: dict[str, Callable[[Gateway], None]] = {
    "STARTING": lambda gw: gw.starts.hold(),
    "OPENING": lambda gw: gw.sockets.hold(),
    "GREETING": lambda gw: gw.faults.lose(Kind.GATEWAY_HELLO),
    "REGISTERING": lambda gw: gw.faults.lose(Kind.GATEWAY_CONNECTION_READY),
}
"""How the gateway keeps a handshake from leaving each of its stages."""


def deadlines_of_links() -> int:
    """How many deadlines of links the running loop has scheduled."""
    scheduled: list[asyncio.TimerHandle] = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
    callbacks = [handle._callback for handle in scheduled if not handle.cancelled()]  # type: ignore[attr-defined]
    return sum(getattr(callback, "__func__", None) is Link._stage_timed_out for callback in callbacks)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """An event that is set as soon as a link has begun its start request."""
    begun, post = asyncio.Event(), Link.post_start

    def post_start(link: Link) -> None:
        post(link)
        begun.set()

    monkeypatch.setattr(Link, "post_start", post_start)
    return begun


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.usefixtures("quiet")
async def test_every_stage_of_a_handshake_has_one_deadline_and_takes_it_along(
    gw: Gateway, start: Any, asked: asyncio.Event, stage: str
) -> None:
    STAGES[stage](gw)
    worker = await start(ready=False, isolation="none", retry=patient(), deadlines=PATIENT)
    async with asyncio.timeout(5):
        await asked.wait()
    moves = list(STAGES).index(stage)
    if moves:
        await worker.hears(events.Moved, moves)
    assert [link.states for link in worker.status().links] == [("HANDSHAKE", stage)]
    assert deadlines_of_links() == 1
    await worker.close()
    await closed(worker)
    assert deadlines_of_links() == 0


FAILURES: dict[str, Callable[[Gateway], object]] = {
    "no grant": lambda gw: gw.starts.push(500),
    "no socket": lambda gw: gw.sockets.push(503),
    "functions refused": lambda gw: gw.faults.lose(Kind.GATEWAY_HELLO),
    "socket lost": lambda gw: gw.faults.cut(Kind.GATEWAY_HELLO),
    "a second hello": lambda gw: (gw.faults.repeat(Kind.GATEWAY_HELLO), gw.faults.lose(Kind.GATEWAY_CONNECTION_READY)),
    "ready before hello": lambda gw: gw.faults.lose(Kind.GATEWAY_HELLO),
    "a drain": lambda gw: gw.faults.lose(Kind.GATEWAY_HELLO),
    "a bug": lambda _: None,
}
SAID = {
    "functions refused": Kind.SYNC_FAILED,
    "ready before hello": Kind.GATEWAY_CONNECTION_READY,
    "a drain": Kind.GATEWAY_CLOSING,
}
"""What the gateway says where it should have said hello."""


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.usefixtures("quiet")
async def test_a_handshake_that_fails_is_over(
    gw: Gateway, start: Any, breaks: Any, caplog: pytest.LogCaptureFixture, failure: str
) -> None:
    """However it fails, the next attempt has a link of its own, and the failed one does nothing more."""
    worker = await start(retry=patient(), deadlines=PATIENT)
    FAILURES[failure](gw)
    if failure == "a bug":
        breaks(Link, "send_worker_connect")
    gw.connections[0].drop()
    if failure in SAID:
        await gw.wait_for(lambda record: isinstance(record, Opened), count=2)
        await gw.connections[-1].send(SAID[failure])
    await worker.hears(events.Reconnecting)
    assert {link.states for link in worker.status().links} <= {("CLOSED",)}
    assert len(gw.calls("start")) == 2
    if failure == "a bug":
        reported(caplog)


@pytest.mark.parametrize("event", ["lost", "beat", "error_execution"])
async def test_a_link_that_was_up_and_is_lost_is_over(
    gw: Gateway, start: Any, breaks: Any, caplog: pytest.LogCaptureFixture, event: str
) -> None:
    """A link that is dropped, silent or broken moves to CLOSED and nowhere else."""
    gw.heartbeat_interval = "50ms" if event == "beat" else "200ms"
    if event == "error_execution":
        breaks(Link, "send_heartbeat")
    worker = await start(deadlines=PATIENT)
    if event == "lost":
        gw.connections[0].drop()
    if event == "beat":
        gw.connections[0].mute()
    await worker.hears(events.Connected, 2)
    first = worker.heard(events.Connected)[0].connection_id
    moves = [(move.event, move.target) for move in worker.heard(events.Moved) if move.connection_id == first]
    assert moves[-1] == (event, ("CLOSED",))
    if event == "error_execution":
        reported(caplog)


@pytest.mark.parametrize("missing", [0, 1, 2])
async def test_an_answered_heartbeat_makes_up_for_all_before_it(gw: Gateway, start: Any, missing: int) -> None:
    """After an answer it takes three unanswered heartbeats again to lose the link."""
    gw.heartbeat_interval = "200ms"
    if missing:
        gw.faults.lose(Kind.GATEWAY_HEARTBEAT, count=missing)
    gw.faults.delay(Kind.GATEWAY_HEARTBEAT, 0.0)
    gw.faults.lose(Kind.GATEWAY_HEARTBEAT, count=None)
    worker = await start()
    link = gw.connections[0]
    lost = await worker.hears(events.Disconnected)
    assert "three heartbeats" in lost.reason
    assert len(gw.frames(Kind.WORKER_HEARTBEAT, connection=link)) == missing + 1 + 3


@pytest.mark.parametrize("stopping", [False, True])
@pytest.mark.usefixtures("quiet")
async def test_a_reply_that_waits_for_its_next_flush_does_not_wait_once_a_link_is_up(
    gw: Gateway, start: Any, held: Held, stopping: bool
) -> None:
    """A start request that was answered shows that the API is back, also to a worker that stops."""
    worker = await start(retry=patient(), deadlines=PATIENT)
    await at_work(gw, held)
    if stopping:
        await worker.close()
        await reaches(worker, DRAINING)
    gw.flushes.standing = DOWN
    gw.starts.hold()
    gw.connections[0].drop()
    await worker.hears(events.Disconnected)
    held.release.set()
    await worker.hears(events.FlushFailed)
    gw.flushes.clear()
    gw.starts.release()
    await worker.hears(events.ReplyFlushed)


@pytest.mark.usefixtures("quiet")
async def test_a_link_that_is_retired_and_settled_is_over(gw: Gateway, start: Any) -> None:
    """It closes by itself; no other part of the worker has to close it."""
    worker = await start(deadlines=PATIENT)
    await gw.drain()
    await worker.hears(events.Connected, 2)
    first = worker.heard(events.Connected)[0].connection_id
    await gw.until(lambda: 1 in endings(gw))
    moves = [(move.event, move.target) for move in worker.heard(events.Moved) if move.connection_id == first]
    assert moves[-1] == ("settled", ("CLOSED",))


@pytest.mark.usefixtures("quiet")
async def test_a_buffered_reply_goes_out_again_for_a_redelivery_and_is_remembered_once_it_is_confirmed(
    gw: Gateway, held: Held, start: Any
) -> None:
    worker = await start(retry=patient())
    gw.faults.lose(Kind.WORKER_REPLY_ACK, count=2)
    gw.flushes.standing = DOWN
    held.release.set()
    run = await gw.invoke("app-hold")
    await gw.wait_for(Kind.WORKER_REPLY, count=2)  # the second because the flush had failed; the next one is far away
    for times in (1, 2):
        await gw.redeliver(run.requests[0])
        await gw.wait_for(Kind.WORKER_REPLY_ACK, count=times)
    replies = [frame.message for frame in gw.frames(Kind.WORKER_REPLY)]
    assert (len(replies), replies.count(replies[0]), held.calls) == (4, 4, 1)
    assert not worker.heard(events.LeaseLost)
    assert not worker.heard(events.ReplyFlushed)


@pytest.mark.parametrize("by", ["shutdown_timeout", "second signal"])
async def test_the_time_for_a_function_that_ignores_being_cancelled_is_limited(
    gw: Gateway, apps: Apps, start: Any, by: str
) -> None:
    """Otherwise such a function keeps the worker as long as it likes: without its reply `handlers_ended` never comes."""
    running, release = asyncio.Event(), asyncio.Event()

    @apps.function("deaf")
    async def deaf(ctx: inngest.Context) -> None:
        running.set()
        while not release.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await release.wait()

    limit = 0.05 if by == "shutdown_timeout" else None
    worker = await start(isolation="none", shutdown_timeout=limit, flush_timeout=0.05)
    gw.start_run("app-deaf")
    async with asyncio.timeout(5):
        await running.wait()
    await worker.close()
    await gw.wait_for(Kind.WORKER_PAUSE)
    if by == "second signal":
        worker.task.cancel()
    try:
        await closed(worker)
    finally:
        release.set()
    assert len(worker.heard(events.ReplyLost)) == 1
