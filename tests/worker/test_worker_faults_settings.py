"""A setting is lost, or is sent where it was never set (docs/faults.md)."""

import asyncio
import threading
from typing import Any

import pytest
from rig import PATIENT

from connect import ConfigurationError, connect, events, wire
from connect.gateway import Gateway, Kind


async def test_no_key_is_needed_in_development(gw: Gateway, start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("INNGEST_SIGNING_KEY", raising=False)
    await start()
    assert ["authorization" in call.headers for call in gw.calls("start")] == [False]
    assert (await gw.invoke("app-echo", {"value": 1})).output == 1


@pytest.mark.usefixtures("quiet")
async def test_a_branch_environment_is_named_everywhere(gw: Gateway, start: Any) -> None:
    worker = await start(signing_key=f"signkey-branch-{'ab' * 16}", env="my-branch", deadlines=PATIENT)
    gw.faults.cut(Kind.WORKER_REPLY)
    await gw.invoke("app-echo", {"value": 1})
    await worker.hears(events.ReplyFlushed)
    assert {call.headers.get("x-inngest-env") for call in gw.calls("start") + gw.calls("flush")} == {"my-branch"}
    hello = gw.frames(Kind.WORKER_CONNECT)[0].message
    assert isinstance(hello, wire.WorkerConnectRequestData)
    assert hello.environment == "my-branch"


@pytest.mark.parametrize("limit", [None, 7])
async def test_concurrency_is_sent_only_where_it_is_set(gw: Gateway, start: Any, limit: int | None) -> None:
    await start(max_worker_concurrency=limit)
    hello = gw.connections[0].worker
    assert hello.HasField("max_worker_concurrency") is (limit is not None)
    assert hello.max_worker_concurrency == (limit or 0)


async def test_system_attributes_are_always_sent(gw: Gateway, start: Any) -> None:
    await start()
    system = gw.connections[0].worker.system_attributes
    assert system.cpu_cores > 0
    assert system.mem_bytes > 0
    assert system.os


async def test_a_worker_without_apps_is_not_made() -> None:
    with pytest.raises(ConfigurationError, match="no apps provided"):
        connect([])


async def test_a_worker_runs_off_the_main_thread(gw: Gateway, apps: Any) -> None:
    """It has its default signals, for which only the main thread may set handlers."""
    made = connect([(apps.client, apps.functions)])
    ended: list[BaseException | None] = []

    def body() -> None:
        try:
            asyncio.run(made.start())
            ended.append(None)
        except BaseException as error:
            ended.append(error)

    thread = threading.Thread(target=body, name="not main")
    thread.start()
    try:
        await gw.wait_for_worker(timeout=5)
        assert (await gw.invoke("app-echo", {"value": 1})).output == 1
    finally:
        await made.close(wait=True)
        await asyncio.to_thread(thread.join, 5)
    assert ended == [None]
