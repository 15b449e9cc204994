"""What a request costs between the worker and a process, counted: both sides run here, on one loop and with a real pipe."""

import asyncio
import os
import random
import socket
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any, cast

import pytest
from sdk_kit import Status, invocation

from connect import Deadlines
from connect.execution import process, sdk
from connect.execution.child import Child
from connect.execution.invocation import Invocation
from connect.execution.outcome import Outcome
from connect.execution.process import Process
from connect.execution.process_pool import PoolSettings, ProcessPool
from connect.execution.process_setup import ProcessSetup

SETUP = ProcessSetup(
    number=1,
    apps="main:apps",
    signing_key=None,
    parent=os.getpid(),
    path=[],
    python_path=None,
    levels={},
    signals=[],
    json_logs=False,
    traces=False,
)


class Idle:
    """Apps that execute nothing, and note what they are given."""

    def __init__(self) -> None:
        self.given: list[Invocation] = []
        self.asked = asyncio.Event()

    async def run(self, given: Invocation) -> Outcome:
        self.given.append(given)
        self.asked.set()
        return Outcome(Status.DONE, b"1")

    def shutdown(self) -> None:
        """Nothing to do."""


class Started:
    """What `subprocess` returns for a process; it never exits."""

    pid = 1

    def wait(self) -> None:
        threading.Event().wait()


class Pair:
    """A process as the worker sees it, and what runs in it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.apps = Idle()
        ours, self._theirs = socket.socketpair()
        monkeypatch.setattr(process, "_spawn", lambda _: (Started(), ours))
        self.process = Process(SETUP, 0, None, 1.0, lambda _: None, lambda _: None)
        self.child = Child(cast(sdk.Apps, self.apps), asyncio.get_running_loop())
        self.writes = Counter[str]()

    async def open(self) -> None:
        self._serving = asyncio.create_task(self.child.serve(self._theirs))
        await self.process.ready
        for name, end in (("worker", self.process._pipe), ("process", self.child._pipe)):
            transport = cast(asyncio.Transport, end._transport)
            end._transport = cast(asyncio.Transport, Counted(transport, lambda name=name: self.writes.update([name])))

    async def run(self, count: int, payload: bytes | None = None) -> None:
        """Run so many at once."""
        self.writes.clear()
        request = invocation("app-work", payload=payload)
        outcomes = await asyncio.gather(*(self.process.run(request) for _ in range(count)))
        assert [each.body for each in outcomes] == [b"1"] * count

    async def close(self) -> None:
        self.process.close()
        await self._serving
        self.process.ended.cancel()


class Counted:
    """A transport whose writes are counted."""

    def __init__(self, transport: asyncio.Transport, note: Callable[[], object]) -> None:
        self._transport = transport
        self._note = note

    def write(self, data: bytes) -> None:
        self._note()
        self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


@pytest.fixture
async def pair(monkeypatch: pytest.MonkeyPatch) -> Any:
    made = Pair(monkeypatch)
    await made.open()
    yield made
    await made.close()


async def test_a_request_alone_is_one_write_each_way(pair: Pair) -> None:
    for _ in range(3):
        await pair.run(1)
        assert pair.writes == {"worker": 1, "process": 1}


async def test_a_request_alone_waits_for_no_turn_of_either_loop(pair: Pair) -> None:
    """It is written where it is given, and its outcome where the function ends."""
    given = asyncio.create_task(pair.process.run(invocation("app-work")))
    await asyncio.sleep(0)
    assert pair.writes == {"worker": 1}
    await pair.apps.asked.wait()
    assert pair.writes == {"worker": 1, "process": 1}
    await given


async def test_many_at_once_are_two_writes_each_way(pair: Pair) -> None:
    """The first goes alone, so that the process begins."""
    await pair.run(64)
    assert pair.writes["worker"] == 2
    assert pair.writes["process"] <= 3


async def test_many_that_are_larger_are_joined_up_to_a_size(pair: Pair) -> None:
    await pair.run(64, payload=bytes(2048))
    assert pair.writes["worker"] <= 4


async def test_the_connection_comes_with_the_invocation(pair: Pair) -> None:
    await pair.process.run(invocation("app-work"), "00-trace")
    assert [each.connection for each in pair.apps.given] == ["00-trace"]


class Ready:
    """A process that answers at once."""

    in_flight = 0

    def __init__(self) -> None:
        self.given = 0

    async def run(self, _given: Invocation, _connection: str) -> Outcome:
        self.given += 1
        return Outcome(Status.DONE, b"1")


async def test_one_request_at_a_time_wakes_one_process_and_lets_the_others_sleep() -> None:
    plan = PoolSettings("main:apps", count=3, recycle_after=None, signing_key=None, signals=(), traces=False)
    pool = ProcessPool(plan, Deadlines(), random.Random(1), asyncio.sleep)
    processes = [Ready(), Ready(), Ready()]
    for each in processes:
        pool.put_in_service(cast(Process, each))
    for _ in range(5):
        await pool.execute(invocation("app-work"))
    assert [each.given for each in processes] == [5, 0, 0]
