"""The stories of docs/lifecycle.md: each runs a real worker as a process, and returns its log.

`python -m tests.docs.stories [TITLE]` prints what the logs say now, to paste where a test finds the page behind.
"""

import contextlib
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from connect.gateway import Gateway, Kind, ThreadedGateway, in_thread
from tests.conftest import Command
from tests.docs.pages import DOCS, files

PAGE = DOCS / "lifecycle.md"
REPORT = "shop-report"


class World:
    """A gateway, and the page's worker as a process."""

    def __init__(self, gateway: ThreadedGateway, folder: Path) -> None:
        self.gateway = gateway
        self._folder = folder
        self.worker: Command

    def begin(self, *options: str, **env: str) -> None:
        """Start the worker."""
        arguments = ("-m", "connect", "run", "shop:apps", *options)
        self.worker = Command(*arguments, cwd=self._folder, env={"INNGEST_DEV": self.gateway.url, **env})

    def up(self, *options: str) -> None:
        """Start the worker, and wait until it takes work."""
        self.begin(*options)
        self.gateway.wait_for_worker(timeout=30)

    def busy(self, data: object = None) -> str:
        """Have the worker execute a report; the run's id."""
        since = self.gateway.call(lambda gw: gw.mark)
        run = self.gateway.call(lambda gw: gw.start_run(REPORT, data))
        self.gateway.run(lambda gw: gw.wait_for(Kind.WORKER_REQUEST_ACK, since=since))
        return run.id

    def done(self, run_id: str) -> None:
        """Wait until that run has ended."""
        self.gateway.run(lambda gw: next(run for run in gw.runs if run.id == run_id).done())

    def end(self) -> list[str]:
        """Wait until the worker has ended by itself; its whole log and its exit code."""
        code = self.worker.ends()
        return [*self.worker.text.splitlines(), f"exit code {code}"]

    def told(self) -> list[str]:
        """The worker's log up to here; what follows belongs to another story."""
        self.worker.signal()
        log = self.worker.text.splitlines()
        self.worker.ends()
        return log


def start(world: World) -> list[str]:
    world.up()
    world.worker.expect("→ ACTIVE")
    return world.told()


def deploy(world: World) -> list[str]:
    world.up()
    world.busy()
    world.worker.signal()
    return world.end()[3:]


def impatience(world: World) -> list[str]:
    world.up()
    world.busy({"seconds": 30})
    world.worker.signal()
    world.worker.expect("shutting down")
    world.worker.signal()
    return world.end()[3:]


def drain(world: World) -> list[str]:
    world.up()
    run = world.busy()
    world.gateway.run(lambda gw: gw.drain())
    world.worker.expect("→ DRAINING")
    world.worker.expect("→ ACTIVE")
    world.done(run)
    return world.told()[3:]


def loss(world: World) -> list[str]:
    world.up()
    run = world.busy()
    world.gateway.call(lambda gw: gw.connections[0].drop())
    world.worker.expect("→ RECONNECTING")
    world.worker.expect("→ ACTIVE")
    world.done(run)
    return world.told()[3:]


def outage(world: World) -> list[str]:
    world.up()
    world.worker.expect("→ ACTIVE")
    world.gateway.run(lambda gw: gw.stop())
    world.worker.expect("attempt 1")
    world.gateway.run(lambda gw: gw.start())
    world.worker.expect("→ ACTIVE")
    return world.told()[3:]


def silence(world: World) -> list[str]:
    world.up()
    world.gateway.call(lambda gw: gw.connections[0].mute())
    world.worker.expect("→ RECONNECTING")
    world.worker.expect("→ ACTIVE")
    return world.told()[3:]


def refusal(world: World) -> list[str]:
    world.gateway.call(lambda gw: setattr(gw, "signing_keys", ("cafe",)))
    key = {"INNGEST_SIGNING_KEY": "signkey-prod-deadbeef", "INNGEST_API_BASE_URL": world.gateway.url}
    world.begin(INNGEST_DEV="", **key)
    return world.end()


STORIES: dict[str, Callable[[World], list[str]]] = {
    "Start": start,
    "Deploy": deploy,
    "Second signal": impatience,
    "Drain": drain,
    "Lost link": loss,
    "Silence": silence,
    "Outage": outage,
    "Refusal": refusal,
}
"""By the heading under which the page tells them."""


@contextlib.contextmanager
def world(folder: Path) -> Iterator[World]:
    for name, text in files(PAGE).items():
        (folder / name).write_text(text)
    with in_thread(Gateway(heartbeat_interval="200ms", heartbeat_timeout=60.0, drain_window=5.0)) as gateway:
        made = World(gateway, folder)
        try:
            yield made
        finally:
            made.worker.kill()


def tell(title: str, folder: Path) -> list[str]:
    """Run the story; the worker's log."""
    with world(folder) as made:
        return STORIES[title](made)


if __name__ == "__main__":
    for each in sys.argv[1:] or STORIES:
        with tempfile.TemporaryDirectory() as name:
            sys.stdout.write(f"## {each}\n\n" + "\n".join(tell(each, Path(name))) + "\n\n")
