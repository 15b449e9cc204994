"""`demo`: a worker's life in about ten seconds, against the test gateway."""

import asyncio
import contextlib
import logging
from typing import Final

import tenacity
import typer
from rich.console import Console

from connect.cli import starting
from connect.cli.demo_report import Report
from connect.cli.demo_screen import Scene, Screen
from connect.cli.demo_timeline import Moment, Timeline
from connect.cli.sample_app import EVENTS, LONG, LONG_SLUG, SampleApp
from connect.gateway import Gateway, Run
from connect.worker import WorkerConnection, connect

RUNS: Final = 64
PACE: Final = 0.11
"""Seconds between two events."""
LAST: Final = 6
"""How many long runs are under way when the worker shuts down."""
LIMIT: Final = 60.0
"""Seconds that the demo may take; then it fails."""


def demo() -> None:
    """See a worker live through drains and lost connections, in about ten seconds. Needs no server.

    A test gateway sends it work, drains, and drops its socket. At the end
    a table counts every request. Exit code 1: a request was lost. Ctrl-C ends
    the demo early, with a table of what happened until then.
    """
    # The demo shows what goes wrong: keep the worker's warnings off standard error.
    logging.getLogger("connect").addHandler(logging.NullHandler())
    console = Console(highlight=False)
    starting.interrupt()
    report = asyncio.run(_perform(console))
    console.print(report)
    raise typer.Exit(report.exit_code)


async def _perform(console: Console) -> Report:
    live = Screen.fits(console)
    async with _gateway() as gateway:
        sample = SampleApp(gateway.url)
        worker = connect(
            [(sample.client, sample.functions)],
            instance_id="demo",
            shutdown_signals=[],
            retry=tenacity.AsyncRetrying(wait=tenacity.wait_fixed(0.6)),
        )
        timeline = Timeline(worker, (lambda _: None) if live else (lambda moment: _print(console, moment)))
        scene = Scene(worker, gateway, timeline, RUNS + LAST)
        interrupted = False
        try:
            async with asyncio.timeout(LIMIT), Screen(console, scene) if live else contextlib.nullcontext():
                await _Scenario(gateway, worker, timeline).perform()
        except asyncio.CancelledError:  # Ctrl-C
            interrupted = True
        return Report(gateway, worker, timeline, sample, interrupted=interrupted)


def _gateway() -> Gateway:
    return Gateway(
        heartbeat_interval="500ms",
        heartbeat_timeout=10.0,
        extend_lease_interval="500ms",
        groups=("gw-a", "gw-b"),
        time_scale=0.02,
        drain_window=5.0,
    )


def _print(console: Console, moment: Moment) -> None:
    console.print(str(moment), style="bold" if moment.state else "", soft_wrap=True, markup=False)


class _Scenario:
    """What the demo does to the worker, step by step."""

    def __init__(self, gateway: Gateway, worker: WorkerConnection, timeline: Timeline) -> None:
        self._gateway = gateway
        self._worker = worker
        self._timeline = timeline
        self._runs: list[Run] = []

    async def perform(self) -> None:
        async with self._worker:
            await self._gateway.wait_for_worker()
            self._timeline.note(f"events come in, one every {PACE * 1000:.0f} ms")
            customers = asyncio.create_task(self._send_events())
            await asyncio.sleep(1.6)
            await self._drain()
            await asyncio.sleep(1.8)
            await self._drop()
            await asyncio.sleep(1.8)
            await self._fail()
            await customers
            await self._all_done(but=LONG_SLUG)
            await self._shut_down()

    async def _send_events(self) -> None:
        for number in range(RUNS):
            self._runs += self._gateway.send_event(EVENTS[number % len(EVENTS)])
            await asyncio.sleep(PACE)

    async def _all_done(self, but: str = "") -> None:
        await asyncio.gather(*(run.done() for run in self._runs if run.slug != but))

    def _busy(self) -> int:
        return len(self._worker.status().in_flight)

    async def _drain(self) -> None:
        await self._gateway.wait_for_worker()
        self._timeline.incident("drain", f"the gateway drains, {self._busy()} in flight")
        await self._gateway.drain()

    async def _drop(self) -> None:
        connection = await self._gateway.wait_for_worker()
        self._timeline.incident("drop", f"the socket is cut, {self._busy()} in flight")
        connection.drop()

    async def _fail(self) -> None:
        connection = await self._gateway.wait_for_worker()
        self._timeline.incident("outage", f"socket and API cut, {self._busy()} in flight")
        self._gateway.starts.push(503, 503)
        connection.drop()

    async def _shut_down(self) -> None:
        last = [run for _ in range(LAST) for run in self._gateway.send_event("report/asked")]
        self._runs += last
        await self._gateway.until(
            lambda: all(self._gateway.ledger[run.requests[-1]].acked for run in last if run.requests)
        )
        await asyncio.sleep(LONG / 6)
        self._timeline.note(f"shutdown, {self._busy()} in flight")
        await self._worker.close(wait=True)
        await self._all_done()
