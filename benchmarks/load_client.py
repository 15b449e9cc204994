"""The load gateway's process, and the commands to it (the methods of `load.LoadGateway`)."""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from typing import Any, cast


class Load:
    """A load gateway that runs. Make one call at a time."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.origin = ""

    async def answer(self) -> Any:
        line = await cast(asyncio.StreamReader, self.process.stdout).readline()
        if not line:
            raise RuntimeError(f"the load gateway has ended, with exit code {await self.process.wait()}")
        return json.loads(line)

    async def call(self, method: str, *arguments: Any) -> Any:
        """Call *method* of the gateway, and return its result."""
        cast(asyncio.StreamWriter, self.process.stdin).write(json.dumps([method, *arguments]).encode() + b"\n")
        return await self.answer()


@contextlib.asynccontextmanager
async def load_gateway() -> AsyncIterator[Load]:
    """Run a load gateway in a process of its own while the block runs."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.load"), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    load = Load(process)
    load.origin = await load.answer()
    try:
        yield load
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()
