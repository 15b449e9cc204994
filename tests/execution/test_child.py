"""What runs in a process of the pool, tried in this one."""

import asyncio
import json
import socket
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
