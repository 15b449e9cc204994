"""Workers that share a host: each has an instance id of its own, or the log says that two have the same."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest
from rig import Apps

from connect import ConnectError
from connect.gateway import Gateway

HOST = socket.gethostname()
TAKEN = f"another worker on this host has the instance id {HOST} too"
WORKER = """
import inngest
client = inngest.Inngest(app_id="app")
@client.create_function(fn_id="echo", trigger=inngest.TriggerEvent(event="echo"))
async def echo(ctx): ...
apps = [(client, [echo])]
"""

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the names that ids are claimed by"),
    pytest.mark.usefixtures("quiet"),
]


def ids(gw: Gateway) -> list[str]:
    """What the server was told by the workers that are connected."""
    return [each.worker.instance_id for each in gw.connections]


def used(worker: Any) -> str:
    return str(worker.status().worker.instance_id)


async def end(worker: Any) -> None:
    await worker.close()
    with contextlib.suppress(ConnectError):
        await worker.task


async def test_workers_of_one_host_have_ids_of_their_own(
    gw: Gateway, start: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """One that starts again has its own once more, since the others hold theirs."""
    caplog.set_level("INFO", "connect")
    one, two, three = await start(), await start(isolation="none"), await start()
    await end(two)
    again = await start()
    assert [used(each) for each in (one, two, three, again)] == [HOST, f"{HOST}-2", f"{HOST}-3", f"{HOST}-2"]
    await gw.until(lambda: ids(gw) == [HOST, f"{HOST}-3", f"{HOST}-2"])
    assert f"another worker on this host has the instance id {HOST}: this one is {HOST}-3" in caplog.messages
    assert any(line.startswith(f"worker {HOST}-3 starts") for line in caplog.messages)


async def test_the_id_stays_through_reconnects_and_is_shown_everywhere(gw: Gateway, start: Any) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{probe.getsockname()[1]}"
    one, _ = await start(), await start(http=place)
    await end(one)
    [before] = gw.connections
    before.drop()
    await gw.until(lambda: ids(gw) == [f"{HOST}-2"] and before not in gw.connections)
    async with aiohttp.ClientSession(f"http://{place}") as session, session.get("/metrics") as metrics:
        assert f'instance_id="{HOST}-2"' in await metrics.text()


async def test_two_workers_with_one_given_id_are_warned_of(
    gw: Gateway, start: Any, caplog: pytest.LogCaptureFixture
) -> None:
    one, two = await start(), await start(instance_id=HOST)
    assert [TAKEN in line for line in caplog.messages] == [True]
    assert used(two) == HOST
    await end(one)
    await end(two)
    await start(instance_id=HOST)
    assert len(caplog.messages) == 1


async def test_other_servers_and_environments_have_ids_of_their_own(
    gw: Gateway, apps: Apps, start: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with Gateway() as other:
        there = start(api_base_url=other.url, instance_id=HOST, ready=False)
        workers = [await start(), await start(env="staging"), await there]
        await other.wait_for_worker()
        assert [used(each) for each in workers] == [HOST] * 3
        await end(workers[-1])
    assert not caplog.messages


async def test_an_id_is_free_once_its_worker_has_ended_however_it_ends(
    gw: Gateway, start: Any, start_process: Any, tmp_path: Any
) -> None:
    (tmp_path / "main.py").write_text(WORKER)
    command = start_process("-m", "connect", "run", "main:apps", INNGEST_DEV=gw.url)
    await gw.wait_for_worker(timeout=30)
    assert used(await start()) == f"{HOST}-2"
    command.signal(signal.SIGKILL)
    await asyncio.to_thread(command.ends)
    assert used(await start()) == HOST
    await gw.until(lambda: ids(gw) == [f"{HOST}-2", HOST])


async def test_a_start_that_fails_or_is_cancelled_frees_its_id(start: Any) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # nothing listens
        options = {"api_base_url": f"http://127.0.0.1:{closed.getsockname()[1]}", "ready": False}
        failing = await start(connect_timeout=0.01, **options)
        with contextlib.suppress(ConnectError):
            await failing.task
        cancelled = await start(**options)
        await asyncio.sleep(0)
        cancelled.task.cancel()
        await asyncio.wait([cancelled.task])
        last = await start(**options)
        await asyncio.sleep(0)
        assert [used(each) for each in (failing, cancelled, last)] == [HOST] * 3


@pytest.fixture
def child() -> Iterator[Any]:
    """Fork a child that does nothing until the end of the test."""
    children: list[int] = []

    def fork() -> None:
        children.append(os.fork())
        if not children[-1]:
            signal.pause()
            os._exit(0)

    yield fork
    for pid in children:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


async def test_a_fork_that_outlives_its_worker_does_not_hold_its_id(start: Any, child: Any) -> None:
    worker = await start()
    child()
    await end(worker)
    assert used(await start()) == HOST
