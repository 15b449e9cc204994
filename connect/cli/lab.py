"""`lab`: a worker, the test gateway and the live page with buttons, all on this machine."""

import asyncio
import os
import sys
from collections.abc import Callable
from typing import Annotated, Any

import tenacity
import typer

from connect.backoff import AT_ONCE_JITTER
from connect.cli import starting
from connect.cli.gateway import ExtendLease, Heartbeat, TimeScale
from connect.cli.sample_app import SampleApp
from connect.errors import ConnectError
from connect.gateway import Gateway, ThreadedGateway, in_thread
from connect.lab.controls import Controls, WorkerControl
from connect.log_format import printable, to_stderr
from connect.status import ConnectionState
from connect.watching.feed import Feed
from connect.watching.http import listen
from connect.watching.page import Page
from connect.worker import WorkerConnection, connect

_KEYS = (
    "INNGEST_SIGNING_KEY",
    "INNGEST_SIGNING_KEY_FALLBACK",
    "INNGEST_EVENT_KEY",
    "INNGEST_BASE_URL",
    "INNGEST_API_BASE_URL",
    "INNGEST_EVENT_API_BASE_URL",
    "INNGEST_CONNECT_GATEWAY_URL",
)
"""Variables that could make the worker, or the events that its functions send, go to another server than the lab's."""


def lab(
    apps: Annotated[
        str | None,
        typer.Argument(metavar="[MODULE:APPS]", help="As for run; default: a small shop.", show_default=False),
    ] = None,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="The page's port on loopback; 0 takes a free one.")
    ] = 8300,
    heartbeat: Heartbeat = "2s",
    extend_lease: ExtendLease = "4s",
    time_scale: TimeScale = 0.2,
) -> None:
    """Watch a worker live on a web page, and disturb it with buttons.

    The page shows its lifecycle on its own diagrams, with buttons to drain,
    drop, stall and refuse it, and to invoke functions. The lab brings its own
    gateway and touches no other server. Ctrl-C ends it.
    """
    settings = {"heartbeat_interval": heartbeat, "extend_lease_interval": extend_lease, "time_scale": time_scale}
    to_stderr("warning", "text")
    starting.interrupt()
    with in_thread(Gateway(**settings)) as gateway:  # type: ignore[arg-type]
        for name in _KEYS:
            os.environ.pop(name, None)
        os.environ["INNGEST_DEV"] = gateway.url
        try:
            asyncio.run(_live(gateway, apps, port))
        except KeyboardInterrupt:
            typer.echo("stopped")


class Workers:
    """Runs one worker after another, on the loop where this is made. The gateway and the page run on another loop."""

    def __init__(self, apps: Any, url: str) -> None:
        self._apps = apps
        self._url = url
        self._home = asyncio.get_running_loop()
        self._wanted = asyncio.Event()
        self._worker = self._make()  # raises on apps that cannot work, before anything is served
        self._task: asyncio.Task[None] | None = None

    def terminate(self) -> None:
        """Do what SIGTERM does: end gracefully; the second time, cancel user code."""
        self._home.call_soon_threadsafe(self._terminate)

    def restart(self) -> None:
        """Make a new worker, if the last one has ended."""
        self._home.call_soon_threadsafe(self._restart)

    async def run(self, follow: Callable[[WorkerConnection], object]) -> None:
        """Run workers for ever; call *follow* with each before it starts."""
        while True:
            follow(self._worker)
            self._task = asyncio.create_task(self._worker.start())
            try:
                await self._task
            except ConnectError as error:
                sys.stderr.write(f"the worker ended: {printable(str(error))}\n")
            except asyncio.CancelledError:
                if not self._task.cancelled() or self._is_ending():
                    raise
            self._task = None
            await self._wanted.wait()
            self._wanted.clear()
            self._worker = self._make()

    def _make(self) -> WorkerConnection:
        # Full jitter as in production, but at most three seconds: a person is watching.
        retry = tenacity.AsyncRetrying(wait=tenacity.wait_random_exponential(multiplier=0.5, max=3), sleep=_sleep)
        return connect(self._apps, api_base_url=self._url, shutdown_signals=[], retry=retry)

    def _terminate(self) -> None:
        if self._task and self._worker.is_closing:
            self._task.cancel()
        elif self._task:
            self._home.create_task(self._worker.close())

    def _restart(self) -> None:
        if self._worker.get_state() is ConnectionState.CLOSED:
            self._wanted.set()

    def _is_ending(self) -> bool:
        task = asyncio.current_task()
        return task is not None and task.cancelling() > 0


async def _sleep(seconds: float) -> None:
    """Sleep as a worker does, but replace a link sooner: there is one worker, and no fleet to spread."""
    await asyncio.sleep(seconds / 10 if seconds <= AT_ONCE_JITTER else seconds)


async def _live(gateway: ThreadedGateway, apps: str | None, port: int) -> None:
    workers = Workers(apps or _sample(gateway.url), gateway.url)
    feed, url = gateway.run(lambda it: _serve(it, port, workers))
    typer.echo(f"the lab is at {url}, Ctrl-C ends it")
    await workers.run(lambda worker: gateway.call(lambda _: feed.follow(worker)))


def _sample(url: str) -> Any:
    sample = SampleApp(url)
    return [(sample.client, sample.functions)]


async def _serve(gateway: Gateway, port: int, control: WorkerControl) -> tuple[Feed, str]:
    """Serve the page on the gateway's loop. Raises: ConfigurationError: the port is taken."""
    feed = Feed()
    controls = Controls(gateway, feed, control)
    page = Page(feed, lambda: {"world": controls.world()}, controls.token)
    server = await listen([*page.routes(), *controls.routes()], "127.0.0.1", port, "pass another --port")
    return feed, f"http://127.0.0.1:{server.port}/"
