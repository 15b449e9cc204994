"""Code that blocks the functions' event loop is named, and sync functions that wait for a thread are counted."""

import asyncio
import logging
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from rig import Apps, Held, at_work, finish

from connect import events
from connect.gateway import Gateway

SHORT = 0.05
"""Seconds that a function may block the loop here."""
MODULE = """
import threading, time
import inngest

client = inngest.Inngest(app_id="app", is_production=False)
free = threading.Event()

def made(name):
    return client.create_function(fn_id=name, trigger=inngest.TriggerEvent(event=name), retries=0)

@made("block")
async def block(ctx):
    time.sleep(0.3)

@made("hold")
def hold(ctx):
    free.wait(10)

@made("free")
async def let_go(ctx):
    free.set()

apps = [(client, [block, hold, let_go])]
"""


def warned(caplog: pytest.LogCaptureFixture, words: str) -> list[logging.LogRecord]:
    return [record for record in caplog.records if words in record.getMessage()]


async def until(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - waits begin and end without any news
            await asyncio.sleep(0.01)


def freeze() -> None:
    time.sleep(0.2)


@pytest.mark.parametrize("isolation", ["thread", "none"])
async def test_a_function_that_blocks_is_named_with_its_stack(
    apps: Apps, gw: Gateway, start: Any, caplog: pytest.LogCaptureFixture, isolation: str
) -> None:
    """Wherever in the function, and in whatever task of it."""

    @apps.function("body")
    async def body(ctx: Any) -> None:
        freeze()

    @apps.function("step")
    async def step(ctx: Any) -> None:
        async def one() -> None:
            freeze()

        await ctx.step.run("one", one)

    @apps.function("task")
    async def task(ctx: Any) -> None:
        async def own() -> None:
            freeze()

        await asyncio.create_task(own())

    worker = await start(isolation=isolation, stall_warning=SHORT)
    for count, name in enumerate(("body", "step", "task"), 1):
        run = await gw.invoke(f"app-{name}")
        blocked = await worker.hears(events.LoopBlocked, count)
        [record] = warned(caplog, f"app-{name} has blocked the event loop for 0.")
        assert (record.levelname, record.function, record.run_id) == ("WARNING", f"app-{name}", run.id)  # type: ignore[attr-defined]
        assert record.getMessage().splitlines()[-2].endswith(", in freeze")
        assert "site-packages" not in record.getMessage()
        assert (blocked.function_slug, blocked.run_id) == (f"app-{name}", run.id)
    assert worker.status().loop_blocks == 3


async def test_every_block_is_counted_and_one_a_minute_is_logged(
    apps: Apps, gw: Gateway, start: Any, caplog: pytest.LogCaptureFixture
) -> None:
    @apps.function("often")
    async def often(ctx: Any) -> None:
        for _ in range(3):
            freeze()
            await asyncio.sleep(2 * SHORT)

    worker = await start(stall_warning=SHORT)
    await gw.invoke("app-often")
    await worker.hears(events.LoopBlocked, 3)
    assert len(warned(caplog, "has blocked")) == 1
    assert worker.status().loop_blocks == 3


async def test_code_of_the_host_is_not_blamed_on_a_function(
    held: Held, gw: Gateway, start: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The loop is its host's, here this test's: a function that waits meanwhile has done nothing."""
    worker = await start(stall_warning=SHORT)
    run = await at_work(gw, held)
    freeze()
    blocked = await worker.hears(events.LoopBlocked)
    await finish(held, run)
    assert blocked.function_slug == ""
    [record] = warned(caplog, "by code that runs in none of them")
    assert "in freeze" in record.getMessage()
    assert not warned(caplog, "app-hold")


async def test_nothing_is_watched_while_no_function_runs_and_no_thread_is_left(
    apps: Apps, held: Held, gw: Gateway, start: Any
) -> None:
    def watching() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name == "connect-watch"]

    worker = await start(stall_warning=SHORT)
    assert not watching()
    run = await at_work(gw, held)
    [thread] = watching()
    await finish(held, run)
    await asyncio.sleep(2 * SHORT)
    waits = [_switches(thread)]
    await asyncio.sleep(2 * SHORT)
    assert [_switches(thread)] == waits
    await worker.close(wait=True)
    assert not watching()
    off = await start(stall_warning=0)
    await gw.invoke("app-echo")
    assert not watching()
    assert off.status().loop_blocks == 0


def _switches(thread: threading.Thread) -> str:
    """How often that thread has run so far, as Linux counts it."""
    lines = Path(f"/proc/{os.getpid()}/task/{thread.native_id}/status").read_text().splitlines()
    return next(line for line in lines if line.startswith("voluntary_ctxt_switches"))


async def test_sync_functions_that_wait_for_a_thread_are_counted_and_warned_of(
    apps: Apps, gw: Gateway, start: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INNGEST_THREAD_POOL_MAX_WORKERS", "2")
    free = threading.Event()

    @apps.function("slow")
    def slow(ctx: Any) -> None:
        free.wait(10)

    worker = await start(stall_warning=SHORT)
    runs = [gw.start_run("app-slow") for _ in range(5)]
    await until(lambda: worker.status().threads.waiting == 3)
    await until(lambda: warned(caplog, "wait for a thread"))
    free.set()
    await asyncio.gather(*(run.done() for run in runs))
    [record] = warned(caplog, "wait for a thread")
    assert record.getMessage().startswith("3 sync functions wait for a thread, the longest for 0.")
    assert "all 2 threads are busy" in record.getMessage()
    threads = worker.status().threads
    assert (threads.threads, threads.waiting, threads.waited) == (2, 0, 3)


async def test_processes_tell_what_blocks_and_what_waits_in_them(
    gw: Gateway, start: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "blocking_apps.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("INNGEST_THREAD_POOL_MAX_WORKERS", "1")
    worker = await start(
        "blocking_apps:apps", isolation="process", processes=1, api_base_url=gw.url, stall_warning=SHORT
    )
    run = await gw.invoke("app-block")
    blocked = await worker.hears(events.LoopBlocked)
    assert (blocked.function_slug, blocked.run_id) == ("app-block", run.id)
    assert "blocking_apps.py" in blocked.stack
    runs = [gw.start_run("app-hold") for _ in range(3)]
    await until(lambda: worker.status().threads.waiting == 2)
    await gw.invoke("app-free")
    await asyncio.gather(*(run.done() for run in runs))
    await until(lambda: worker.status().threads.waiting == 0)
    status = worker.status()
    assert (status.loop_blocks, status.threads.threads, status.threads.waited) == (1, 1, 2)
    assert [(each.loop_blocks, each.threads) for each in status.processes] == [(1, status.threads)]
    await worker.close(wait=True)
    assert "app-block has blocked the event loop" in capfd.readouterr().err
