"""What a hostile API answers costs the worker neither memory nor time; measured on the worker's own process."""

import asyncio
import re
import subprocess
import sys
import zlib
from pathlib import Path

import aiohttp

from connect.gateway import Gateway

MIB = 1 << 20
BOUND = 24 * MIB
"""What a peer may add to the process at its peak."""

WORKER = """
import asyncio, resource, sys
import inngest, tenacity
from connect import connect

client = inngest.Inngest(app_id="app", api_base_url=sys.argv[1], is_production=False)


@client.create_function(fn_id="work", trigger=inngest.TriggerEvent(event="work"))
async def work(ctx):
    pass


resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
retry = tenacity.AsyncRetrying(wait=tenacity.wait_fixed(0.05))
asyncio.run(connect([(client, [work])], retry=retry).start())
"""


def _megabyte_of_zeros_compressed() -> bytes:
    """A thousandth of that; it may be repeated in one stream."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(bytes(MIB)) + packer.flush(zlib.Z_FULL_FLUSH)


GZIP = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
PIECE = _megabyte_of_zeros_compressed() * 100
FIELDS = b"".join(b"X-%d: y\r\n" % number for number in range(10_000))
ENDLESS: dict[str, tuple[str, bytes]] = {
    "200 OK\r\nContent-Encoding: gzip\r\n\r\n": (GZIP, PIECE),
    "500 No\r\nContent-Encoding: gzip\r\n\r\n": (GZIP, PIECE),
    "200 OK\r\nContent-Encoding: deflate\r\n\r\n": (b"", PIECE),
    "200 OK\r\n\r\n": (b"", bytes(MIB)),
    "200 OK\r\nContent-Length: 1000000000000\r\n\r\n": (b"", bytes(MIB)),
    "500 No\r\n\r\n": (b'{"error": "', b"x" * MIB),
    "200 OK\r\nTransfer-Encoding: chunked\r\n\r\n": (b"", b"1\r\nx\r\n" * 10_000),
    "200 OK\r\n": (b"", FIELDS),
    "200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n": (b"", FIELDS),
    "200 OK\r\nX-Long: ": (b"", b"x" * MIB),
    "200 ": (b"", b"x" * MIB),
}
"""Answers that never end: how each begins, and what is sent after that, once and then again and again."""


class HostileApi:
    """Answers start requests with each of ENDLESS in turn; then it lets the worker have a gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._left = list(ENDLESS.items())
        self.asked = asyncio.Event()
        self.borne: list[str] = []
        """The answers that were not hung up on within 5 s."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.asked.set()
        if self._left:
            head, (first, piece) = self._left.pop(0)
            writer.write(b"HTTP/1.1 " + head.encode() + first)
            if await self._is_borne(writer, piece):
                self.borne.append(head)
        else:
            async with (
                aiohttp.ClientSession() as session,
                session.post(f"{self._gateway.url}/v0/connect/start") as answer,
            ):
                writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + await answer.read())
        writer.close()

    async def _is_borne(self, writer: asyncio.StreamWriter, piece: bytes) -> bool:
        try:
            async with asyncio.timeout(5):
                while True:
                    writer.write(piece)
                    await writer.drain()
        except TimeoutError:
            return True
        except ConnectionError:
            return False


def peak(process: int) -> int:
    """The most memory that *process* ever had, in bytes."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    assert found
    return int(found[1]) * 1024


async def test_no_answer_of_an_api_costs_memory_or_time() -> None:
    """A gzip bomb took 4 GB and blocked the loop for 15 s; a body without end grew until the request timed out."""
    async with Gateway() as gateway:
        api = HostileApi(gateway)
        async with await asyncio.start_server(api.serve, "127.0.0.1", 0) as server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            worker = subprocess.Popen([sys.executable, "-c", WORKER, url], stderr=subprocess.DEVNULL)  # noqa: S603, ASYNC220
            try:
                async with asyncio.timeout(20):
                    await api.asked.wait()
                before = peak(worker.pid)
                await gateway.wait_for_worker(timeout=30)
                assert not api.borne
                assert peak(worker.pid) - before < BOUND
            finally:
                worker.kill()
                worker.wait()
