"""The load gateway from outside: its process, and what it is told to do (the methods of `load.LoadGateway`)."""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from typing import Any, cast


class Load:
    """A load gateway that runs. One call at a time."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.origin = ""

    async def answer(self) -> Any:
        line = await cast(asyncio.StreamReader, self.process.stdout).readline()
        if not line:
            raise RuntimeError(f"the load gateway has ended, with exit code {await self.process.wait()}")
        return json.loads(line)

    async def call(self, method: str, *arguments: Any) -> Any:
        """What the method returns."""
        cast(asyncio.StreamWriter, self.process.stdin).write(json.dumps([method, *arguments]).encode() + b"\n")
        return await self.answer()


@contextlib.asynccontextmanager
async def load_gateway() -> AsyncIterator[Load]:
    """A load gateway of one's own, a process."""
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
