"""What runs in a process of the pool, tried in this one."""

import asyncio
import json
import socket
import subprocess
import sys
from typing import Any, cast

import pytest

from connect.execution import pipe, sdk
from connect.execution.child import Child
from connect.execution.invocation import Invocation
from connect.execution.pipe import Message, Pipe


class Broken:
    """Apps that cannot even be asked to run a function."""

    async def run(self, invocation: Invocation) -> Any:
        raise LookupError("no span")

    def shutdown(self) -> None:
        """Nothing to do."""


async def test_what_cannot_be_run_is_answered(caplog: pytest.LogCaptureFixture) -> None:
    loop = asyncio.get_running_loop()
    messages: asyncio.Queue[Message] = asyncio.Queue()
    ours, theirs = socket.socketpair()
    worker, child = Pipe(messages.put_nowait, loop), Child(cast(sdk.Apps, Broken()), loop)
    await worker.open(ours)
    serving = asyncio.create_task(child.serve(theirs))
    worker.send((pipe.RUN, 1, "request-1", "run-1", "app", "app-work", None, b"{}", "", b"", ""))
    async with asyncio.timeout(10):
        assert await messages.get() == (pipe.READY,)
        kind, number, status, body, *_ = await messages.get()
    assert (kind, number, status, json.loads(body)["name"]) == (pipe.DONE, 1, 2, "LookupError")
    assert "no span" in caplog.text
    worker.close()
    await serving
    child.close()


def test_it_imports_nothing_that_only_a_worker_needs() -> None:
    """Each process of a pool would pay for it, at its start and in memory."""
    program = "import sys, connect.execution.child; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603
    assert "inngest" in done.stdout.split()
    assert not {"statemachine", "aiohttp", "tenacity", "connect.worker", "connect.link"} & set(done.stdout.split())
