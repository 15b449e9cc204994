"""The names of headers as they go out, byte by byte."""

import asyncio
from typing import Any

from connect import wire
from tests.field.proxy_kit import listening


async def test_every_header_name_goes_out_in_lower_case(start: Any) -> None:
    """As HTTP/2 has them, and the official client: a peer may compare them by case."""
    heads: list[str] = []
    both = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        if heads[-1].startswith("GET"):
            both.set()
            return
        grant = wire.StartResponse(connection_id="1", gateway_endpoint=f"ws://127.0.0.1:{port}/v0/connect")
        body = grant.SerializeToString()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))

    async with listening(serve) as port:
        key = "signkey-test-" + "ab" * 32
        await start(ready=False, api_base_url=f"http://127.0.0.1:{port}", env="branch", signing_key=key)
        async with asyncio.timeout(5):
            await both.wait()
    names = [{line.partition(":")[0] for line in head.split("\r\n")[1:] if line} for head in heads[:2]]
    sent = {"host", "accept", "accept-encoding", "user-agent", "connection"}
    assert names[0] == {*sent, "content-type", "content-length", "authorization", "x-inngest-env"}
    assert names[1] == {*sent, "upgrade", "sec-websocket-version", "sec-websocket-key", "sec-websocket-protocol"}
