"""The server is away, and comes back: how soon the worker takes work again, and what becomes of the replies meanwhile.

The issue asks for a second. A busy machine gets twenty: the waits of before took up to a minute.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from connect import events
from connect.backoff import OFTEN
from connect.delivery.outbox import FLUSHES_AT_ONCE
from connect.errors import ServerUnreachable
from connect.gateway import Gateway, Kind, in_thread
from connect.transport.api import Api
from tests.field.proxy_kit import listening

SOON = 20.0
COUNT = 200
SHOP = """
import inngest
client = inngest.Inngest(app_id="shop")
@client.create_function(fn_id="greet", trigger=inngest.TriggerEvent(event="greet"))
async def greet(ctx): return "hello"
apps = [(client, [greet])]
"""


async def until(holds: Callable[[], bool]) -> None:
    """To look at all events at each of two hundred would take longer than this."""
    async with asyncio.timeout(SOON):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def delivered(gw: Gateway) -> list[str]:
    """The requests whose replies have come, by either way."""
    frames = [frame.message for frame in gw.frames() if frame.kind == Kind.WORKER_REPLY]
    return [message.request_id for message in [*frames, *(call.message for call in gw.calls("flush"))]]


def test_a_restarted_dev_server_has_its_worker_back_and_the_log_says_how_long_it_took(
    tmp_path: Path, start_process: Any
) -> None:
    (tmp_path / "shop.py").write_text(SHOP)
    with in_thread(Gateway()) as gateway:
        worker = start_process("-m", "connect", "run", "shop:apps", INNGEST_DEV=gateway.url)
        gateway.wait_for_worker(timeout=30)
        gateway.run(lambda gw: gw.stop())
        assert "(no server is reached), the next one comes in 0." in worker.expect("attempt 2 to connect failed")
        back = time.monotonic()
        gateway.run(lambda gw: gw.start())
        gateway.wait_for_worker(timeout=30)
        assert time.monotonic() - back < SOON
        worker.expect("to connect succeeded, ")
        worker.expect("RECONNECTING → ACTIVE")
        assert gateway.invoke("shop-greet").output == "hello"
        worker.signal()
        assert worker.ends() == 0


@pytest.mark.usefixtures("quiet")
async def test_two_hundred_replies_of_an_outage_are_delivered_soon_in_order_and_each_once(
    gw: Gateway, start: Any, apps: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest first, some at a time, before a link is ready or beside it."""
    released = [asyncio.Event() for _ in range(COUNT)]
    now, most, flush = 0, 0, Api.flush

    async def counted(api: Api, reply: bytes) -> None:
        nonlocal now, most
        now, most = now + 1, max(most, now + 1)
        try:
            await flush(api, reply)
        finally:
            now -= 1

    monkeypatch.setattr(Api, "flush", counted)

    @apps.function("wait")
    async def wait(ctx: Any) -> Any:
        await released[ctx.event.data["number"]].wait()

    worker = await start(retry=None, isolation="none", max_worker_concurrency=COUNT)
    runs = [gw.start_run("app-wait", {"number": number}) for number in range(COUNT)]
    await until(lambda: len(worker.heard(events.RequestReceived)) == COUNT)
    await gw.stop()
    for number, event in enumerate(released):
        event.set()
        await worker.hears(events.ReplyBuffered, number + 1)
    failed = len(worker.heard(events.FlushFailed))
    await until(lambda: len(worker.heard(events.FlushFailed)) > failed)
    await gw.start()
    await until(lambda: not worker.status().outbox_replies)
    ages = {run.requests[0]: number for number, run in enumerate(runs)}
    assert Counter(delivered(gw)) == Counter(ages.keys())
    flushed = [ages[call.message.request_id] for call in gw.calls("flush")]
    assert flushed[0] == 0
    assert all(abs(age - place) < FLUSHES_AT_ONCE for place, age in enumerate(flushed))
    assert most <= FLUSHES_AT_ONCE


async def test_behind_a_proxy_that_cannot_reach_the_server_it_is_tried_as_often(start: Any) -> None:
    """The proxy says 503 as long as nothing listens there; an ailing server would be left alone for a minute."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n")

    async with listening(refuse) as port:
        away = {"api_base_url": "https://api.example", "proxy": f"http://127.0.0.1:{port}"}
        worker = await start(ready=False, retry=None, **away)
        await worker.hears(events.Reconnecting, 2)
        for told in worker.heard(events.Reconnecting):
            assert isinstance(told.error, ServerUnreachable)
            assert OFTEN[0] <= told.delay <= OFTEN[1]
