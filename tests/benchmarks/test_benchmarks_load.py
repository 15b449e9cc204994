"""The benchmarks' gateway keeps its window full, and counts what a worker does right and wrong."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from benchmarks.app import RESULT_BYTES
from benchmarks.load import LoadGateway
from connect import wire
from connect.wire import SDKResponseStatus as Status
from connect.wire import codec
from connect.wire.codec import Kind


@asynccontextmanager
async def raw_worker(gateway: LoadGateway, name: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    origin = await gateway.listen()
    try:
        async with aiohttp.ClientSession() as session:
            answer = await session.post(f"{origin}/v0/connect/start")
            endpoint = wire.StartResponse.FromString(await answer.read()).gateway_endpoint
            async with session.ws_connect(endpoint) as socket:
                assert await socket.receive_bytes() == b""
                hello = wire.WorkerConnectRequestData(instance_id=name)
                await socket.send_bytes(codec.encode(Kind.WORKER_CONNECT, hello))
                assert codec.decode(await socket.receive_bytes()).kind == Kind.GATEWAY_CONNECTION_READY
                assert await gateway.joins(name, 5.0)
                yield socket
    finally:
        gateway.close()


async def requested(socket: aiohttp.ClientWebSocketResponse) -> wire.GatewayExecutorRequestData:
    data = codec.decode(await socket.receive_bytes()).payload
    assert isinstance(data, wire.GatewayExecutorRequestData)
    return data


async def answer(
    socket: aiohttp.ClientWebSocketResponse, request_id: str, body: bytes = RESULT_BYTES, status: Status = Status.DONE
) -> None:
    """Reply to a request, and read the REPLY_ACK."""
    reply = wire.SDKResponse(request_id=request_id, status=status, body=body)
    await socket.send_bytes(codec.reply(reply.SerializeToString()))
    acked = codec.decode(await socket.receive_bytes()).payload
    assert isinstance(acked, wire.WorkerReplyAckData)
    assert acked.request_id == request_id


async def test_a_window_is_kept_full() -> None:
    gateway = LoadGateway()
    async with raw_worker(gateway, "w") as socket:
        gateway.drive("w", 2)
        first, second = await requested(socket), await requested(socket)
        assert first.request_id != second.request_id
        await socket.send_bytes(codec.ack(first))
        await answer(socket, first.request_id)
        third = await requested(socket)
        assert third.request_id not in (first.request_id, second.request_id)
        assert gateway.mark("w")["replies"] == 1


async def test_what_is_wrong_is_counted() -> None:
    gateway = LoadGateway()
    async with raw_worker(gateway, "w") as socket:
        gateway.drive("w", 3)
        requests = [await requested(socket) for _ in range(3)]
        stopping = asyncio.create_task(gateway.stop("w", 0.2))
        await asyncio.sleep(0)
        await socket.send_bytes(codec.ack(requests[0]))
        await answer(socket, requests[0].request_id, status=Status.ERROR)
        await answer(socket, requests[1].request_id, body=b"{}")
        await answer(socket, requests[1].request_id)
        assert await stopping == {
            "sent": 3,
            "acked": 1,
            "replied": 2,
            "not_done": 2,
            "not_asked": 1,
            "unanswered": 1,
            "flushed": 0,
            "reconnected": 0,
        }


async def test_a_lease_is_extended_and_a_heartbeat_answered() -> None:
    gateway = LoadGateway()
    async with raw_worker(gateway, "w") as socket:
        await gateway.hold("w", 1, 60.0, 0.0)
        held = await requested(socket)
        await socket.send_bytes(codec.encode(Kind.WORKER_HEARTBEAT))
        assert codec.decode(await socket.receive_bytes()).kind == Kind.GATEWAY_HEARTBEAT
        await asyncio.sleep(0.3)
        await socket.send_bytes(codec.extend_lease(held, held.lease_id))
        granted = codec.decode(await socket.receive_bytes()).payload
        assert isinstance(granted, wire.WorkerRequestExtendLeaseAckData)
        assert granted.request_id == held.request_id
        assert granted.new_lease_id > held.lease_id


async def test_frames_of_any_size_and_in_any_pieces_are_read() -> None:
    gateway = LoadGateway()
    async with raw_worker(gateway, "w") as socket:
        gateway.drive("w", 1)
        for size in (10, 1_000, 100_000, 4_000_000):
            request = await requested(socket)
            await answer(socket, request.request_id, body=b'"%s"' % (b"x" * size))
        assert gateway.mark("w")["replies"] == 4
