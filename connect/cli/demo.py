"""`demo`: a worker's life in about ten seconds, against the embedded gateway."""

import asyncio
import contextlib
import logging
from typing import Final

import tenacity
import typer
from rich.console import Console

from connect.cli.report import Report
from connect.cli.shop import EVENTS, LONG, LONG_SLUG, Shop
from connect.cli.stage import Scene, Stage
from connect.cli.tale import Moment, Tale
from connect.gateway import Gateway, Run
from connect.worker import WorkerConnection, connect

RUNS: Final = 64
PACE: Final = 0.11
"""Seconds between two events."""
LAST: Final = 6
"""Long runs that are under way when the worker shuts down."""
LIMIT: Final = 60.0
"""Seconds after which the demo has failed."""


def demo() -> None:
    """See a worker live through drains and lost connections, in about ten seconds. Needs no server.

    An embedded gateway sends it work, drains, and drops its socket; at the end
    every request is accounted for. Exit code 1 if one was lost. Ctrl-C ends it
    early, with an account of what was seen until then.
    """
    # What goes wrong here goes wrong on purpose, and is shown.
    logging.getLogger("connect").addHandler(logging.NullHandler())
    console = Console(highlight=False)
    report = asyncio.run(_perform(console))
    console.print(report)
    raise typer.Exit(report.exit_code)


async def _perform(console: Console) -> Report:
    live = Stage.fits(console)
    async with _gateway() as gateway:
        shop = Shop(gateway.url)
        worker = connect(
            [(shop.client, shop.functions)],
            instance_id="demo",
            shutdown_signals=[],
            retry=tenacity.AsyncRetrying(wait=tenacity.wait_fixed(0.6)),
        )
        tale = Tale(worker, (lambda _: None) if live else (lambda moment: _print(console, moment)))
        scene = Scene(worker, gateway, tale, RUNS + LAST)
        interrupted = False
        try:
            async with asyncio.timeout(LIMIT), Stage(console, scene) if live else contextlib.nullcontext():
                await _Play(gateway, worker, tale).perform()
        except asyncio.CancelledError:  # Ctrl-C
            interrupted = True
        return Report(gateway, worker, tale, shop, interrupted=interrupted)


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
    console.print(str(moment), style="bold" if moment.state else "", soft_wrap=True)


class _Play:
    """What is done to the worker, act by act."""

    def __init__(self, gateway: Gateway, worker: WorkerConnection, tale: Tale) -> None:
        self._gateway = gateway
        self._worker = worker
        self._tale = tale
        self._runs: list[Run] = []

    async def perform(self) -> None:
        async with self._worker:
            await self._gateway.wait_for_worker()
            self._tale.note(f"events come in, one every {PACE * 1000:.0f} ms")
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
        self._tale.incident("drain", f"the gateway drains, {self._busy()} in flight")
        await self._gateway.drain()

    async def _drop(self) -> None:
        connection = await self._gateway.wait_for_worker()
        self._tale.incident("drop", f"the socket is cut, {self._busy()} in flight")
        connection.drop()

    async def _fail(self) -> None:
        connection = await self._gateway.wait_for_worker()
        self._tale.incident("outage", f"socket and API cut, {self._busy()} in flight")
        self._gateway.starts.push(503, 503)
        connection.drop()

    async def _shut_down(self) -> None:
        last = [run for _ in range(LAST) for run in self._gateway.send_event("report/asked")]
        self._runs += last
        await self._gateway.until(
            lambda: all(self._gateway.ledger[run.requests[-1]].acked for run in last if run.requests)
        )
        await asyncio.sleep(LONG / 6)
        self._tale.note(f"shutdown, {self._busy()} in flight")
        await self._worker.close(wait=True)
        await self._all_done()
