"""A request that is alone waits for no turn of the loop in which others could be written with it; many are written together."""

from typing import Any

import pytest
from rig import Held

from connect import wire
from connect.gateway import Gateway, Kind
from connect.transport.channel import Channel, Frame
from connect.transport.websocket import WebSocket

pytestmark = pytest.mark.usefixtures("quiet")

WORK = {int(Kind.WORKER_REQUEST_ACK), int(Kind.WORKER_REPLY)}


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """For each ACK and reply, whether it was to be written at once."""
    told: list[bool] = []
    send = Channel.send

    def noted(channel: Channel, frame: Frame, written: Any, kept: int = 0, *, now: bool = False) -> None:
        if isinstance(frame, bytes) and wire.ConnectMessage.FromString(frame).kind in WORK:
            told.append(now)
        send(channel, frame, written, kept, now=now)

    monkeypatch.setattr(Channel, "send", noted)
    return told


@pytest.mark.parametrize("isolation", ["none", "thread"])
async def test_a_request_that_is_alone_is_acknowledged_and_answered_at_once(
    gw: Gateway, start: Any, apps: Any, isolation: str, at_once: list[bool]
) -> None:
    await start(isolation=isolation)
    for value in range(3):  # the REPLY_ACK of one comes before the next
        assert (await gw.invoke("app-echo", {"value": value})).output == value
    assert at_once == [True] * 6


async def test_many_requests_are_answered_by_few_writes(
    gw: Gateway, start: Any, held: Held, at_once: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    await start(isolation="none")
    runs = [gw.start_run("app-hold") for _ in range(40)]
    await gw.wait_for(Kind.WORKER_REQUEST_ACK, count=40)
    writes: list[int] = []
    write = WebSocket.send_together

    async def counted(socket: WebSocket, frames: Any) -> None:
        writes.append(len(frames))
        await write(socket, frames)

    monkeypatch.setattr(WebSocket, "send_together", counted)
    held.release.set()
    for run in runs:
        await run.done()
    assert at_once.count(True) <= 2, "the first ACK, and the last reply"
    assert sum(writes) == 40
    assert len(writes) <= 10
