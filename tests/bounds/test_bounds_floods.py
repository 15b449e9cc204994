"""A gateway that sends without end takes neither the loop nor the worker."""

import asyncio
import time

import pytest

from connect import wire
from connect.errors import ProtocolError
from connect.wire import codec
from connect.wire.codec import Kind
from tests.bounds.hostile import MIB, Link, frame, hostile, raw, worker
from tests.transport.channel_kit import opened

UNKNOWN = "01JZZZZZZZZZZZZZZZZZZZZZZZ"
READY = wire.GatewayConnectionReadyData(heartbeat_interval="1s", extend_lease_interval="1s")
FLOODS = {
    "closing": frame(Kind.GATEWAY_CLOSING),
    "heartbeat": frame(Kind.GATEWAY_HEARTBEAT),
    "hello": frame(Kind.GATEWAY_HELLO),
    "ready": frame(Kind.GATEWAY_CONNECTION_READY, READY),
    "lease ACK": frame(
        Kind.WORKER_REQUEST_EXTEND_LEASE_ACK,
        wire.WorkerRequestExtendLeaseAckData(request_id=UNKNOWN, new_lease_id=UNKNOWN),
    ),
    "unknown kind": raw(bytes([8, 99])),
    "text": raw(b"x", 1),
    "ping": raw(b"", 9),
    "garbage of a mebibyte": raw(b"\xff" * (1 << 20)),
}
FRAMES = 25_000


async def test_reading_gives_everything_else_its_turn() -> None:
    """The frames of one read take a fifth of a second here; a timer that is due meanwhile does not wait for it."""
    async with opened() as near:
        near.received = []
        loop, worst = asyncio.get_running_loop(), 0.0
        near.receive = lambda frame: time.sleep(0.002) or near.received.append(frame)  # type: ignore[method-assign, func-returns-value]
        near.channel._received = near.receive
        near.far.write_raw(raw(b"") * 200)
        while len(near.received) < 200:
            due = loop.time() + 0.001
            await asyncio.sleep(0.001)
            worst = max(worst, loop.time() - due)
        assert worst < 0.2


async def test_a_flood_of_any_kind_ends_its_link_and_delays_nothing() -> None:
    floods = list(FLOODS.values())

    async def flood(link: Link) -> None:
        data = floods[len(peer.links) - 1] if len(peer.links) <= len(floods) else b""
        copies = max(1, 65_536 // max(1, len(data)))
        for _ in range(-(-FRAMES // copies) if copies > 1 else 100):
            await link.write(data * copies)
        if not data:
            done.set()

    async with hostile() as peer:
        done = asyncio.Event()
        peer.script = flood
        async with worker(peer) as running:
            async with asyncio.timeout(30):
                await peer.ready.wait()
            async with asyncio.timeout(45):
                slowest = await running.slowest(40, while_=lambda: not done.is_set())
            assert len(peer.links) == len(floods) + 1, "a flood did not end its link"
            assert slowest < 1.5
            assert await running.stop() < 5
            lost = [line for line in running.said if "lost the link" in line]
            assert all("floods the link: 20000 frames that mean nothing" in line for line in lost)


@pytest.mark.parametrize("field", [b"\x7b\x7c", b"\x78\x01", b"\x12\x00"])
@pytest.mark.parametrize("inside", [False, True])
def test_a_large_frame_of_small_fields_takes_no_time(field: bytes, inside: bool) -> None:
    """Protobuf holds the GIL for up to a second for each; the link is ended after five of them at the latest."""
    data = field * (7 * MIB)
    if inside:
        data = wire.ConnectMessage(kind=Kind.WORKER_REPLY_ACK, payload=data).SerializeToString()
    begun = time.thread_time()
    with pytest.raises(ProtocolError):
        codec.decode(data)
    assert time.thread_time() - begun < 0.08
