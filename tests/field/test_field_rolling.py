"""Workers restarted one after the other: no event finds none that takes work, and the service manager knows when to go on."""

import asyncio
import contextlib
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import inngest
import pytest
from notify_kit import NotifySocket
from rig import QUICK, Apps, Held, quick_retry

from connect import ConnectionState, WorkerConnection, connect
from connect.cli.service_manager import ServiceManager
from connect.gateway import Gateway, Run, in_thread
from connect.worker import run_beside

WORKERS = 3
LASTS = 0.03
"""Seconds that a function takes."""


class Stream:
    """An event every few milliseconds, each for function `app-work`; `calls` counts how often it has run for each run."""

    def __init__(self, gw: Gateway, apps: Apps) -> None:
        self.calls: Counter[str] = Counter()
        self.runs: list[Run] = []
        self._gw = gw

        @apps.function("work")
        async def work(ctx: inngest.Context) -> None:
            self.calls[ctx.run_id] += 1
            await asyncio.sleep(LASTS)

    @contextlib.asynccontextmanager
    async def flows(self) -> AsyncIterator[asyncio.Task[None]]:
        """Send events until the block ends, then wait for their runs. Yields a task that ends once no connection is routable."""
        gone = asyncio.create_task(self._gw.until(lambda: not self._takers(), timeout=60))
        events = asyncio.create_task(self._send())
        yield gone
        events.cancel()
        async with asyncio.timeout(20):
            await asyncio.gather(*(run.done() for run in self.runs))
        gone.cancel()
        await asyncio.wait([gone])

    def all_ran_once_and_at_once(self) -> None:
        """Check that no event was lost, run twice, or kept waiting for a worker."""
        ledger, ids = self._gw.ledger, [request for run in self.runs for request in run.requests]
        assert len(self.runs) > WORKERS
        assert {run.status for run in self.runs} == {"completed"}
        assert set(self.calls.values()) == {1}
        assert ledger.summary()["unrouted"] == 0
        assert max(ledger[each].dispatched[-1][0] - ledger[each].dispatched[0][0] for each in ids) < 5

    async def _send(self) -> None:
        while True:
            self.runs += self._gw.send_event("work")
            await asyncio.sleep(0.01)

    def _takers(self) -> list[Any]:
        return [each for each in self._gw.connections if each.routable]


@pytest.fixture
def stream(gw: Gateway, apps: Apps) -> Stream:
    """As the server does, the gateway fails a request at once that finds no connection."""
    gw.routing_timeout = 0.0
    return Stream(gw, apps)


async def test_workers_that_are_restarted_one_after_the_other_leave_no_event_alone(
    gw: Gateway, stream: Stream, start: Any
) -> None:
    """systemd's order: each is stopped, and started again; the next one has its turn once that one is ready."""
    workers = [await start() for _ in range(WORKERS)]
    async with stream.flows() as gone:
        for old in workers:
            await old.close(wait=True)
            await start()
            await asyncio.sleep(LASTS)
        assert not gone.done(), "a moment came without a routable connection"
    stream.all_ran_once_and_at_once()


async def test_workers_that_are_replaced_finish_their_work_and_get_no_more(
    gw: Gateway, held: Held, stream: Stream, start: Any
) -> None:
    """Kubernetes' order: the new one is ready before the old one is told to stop, which still has work."""
    workers = [await start() for _ in range(WORKERS)]
    await gw.wait_for_worker(count=WORKERS)
    long = [gw.start_run("app-hold") for _ in workers]  # one for each: the gateway takes them in turn
    await gw.until(lambda: held.calls == len(long))
    async with stream.flows() as gone:
        for old in workers:
            await start()
            await old.close()
            await asyncio.sleep(LASTS)
        assert not gone.done(), "a moment came without a routable connection"
    stream.all_ran_once_and_at_once()
    assert [old.get_state() for old in workers] == [ConnectionState.DRAINING] * WORKERS
    held.release.set()
    assert [(await run.done()).output for run in long] == ["held"] * WORKERS
    assert held.calls == WORKERS


async def test_a_restart_that_waits_for_no_replacement_is_seen(gw: Gateway, stream: Stream, start: Any) -> None:
    """So the measure of the tests above can fail."""
    workers = [await start() for _ in range(WORKERS)]
    gw.starts.standing = 503  # no new one is ready before the last old one has ended, however slow the machine is
    async with stream.flows() as gone:
        for old in workers:
            await old.close(wait=True)
            await start(ready=False)
        await gone
        await gw.until(lambda: gw.ledger.summary()["unrouted"] > 0)
        gw.starts.clear()
        await gw.wait_for_worker(count=WORKERS)
    failed = [run for run in stream.runs if run.status == "failed"]
    assert {run.error["name"] for run in failed} == {"connect_no_healthy_connection"}
    assert gw.ledger.summary()["unrouted"] >= len(failed) > 0


# -- what the service manager is told

NAMES = ("NOTIFY_SOCKET", "WATCHDOG_USEC")
MAIN = f"""
import os
import inngest
print("inherited:", [name for name in {NAMES} if name in os.environ], flush=True)
client = inngest.Inngest(app_id="app")
@client.create_function(fn_id="work", trigger=inngest.TriggerEvent(event="work"))
async def work(ctx): pass
apps = [(client, [work])]
"""


@pytest.fixture
def theirs(tmp_path: Path) -> Iterator[NotifySocket]:
    with contextlib.closing(NotifySocket(str(tmp_path / "notify"))) as made:
        yield made


@pytest.fixture
def command(tmp_path: Path, start_process: Any) -> Iterator[Callable[..., Any]]:
    """`run main:apps` with these flags, started as systemd starts a service; its module says what it inherits."""
    (tmp_path / "main.py").write_text(MAIN)
    with in_thread(Gateway()) as gateway:

        def begin(theirs: NotifySocket, *flags: str, url: str = gateway.url) -> Any:
            notify = {"NOTIFY_SOCKET": theirs.address, "WATCHDOG_USEC": "60000000"}
            return start_process("-m", "connect", "run", "main:apps", *flags, INNGEST_DEV=url, **notify)

        yield begin


def test_the_command_says_when_it_is_ready_and_when_it_stops(command: Any, theirs: NotifySocket) -> None:
    """What it starts, the processes of a pool here, hears nothing of that socket."""
    worker = command(theirs, "--isolation", "process", "--processes", "1")
    for _ in ("the command", "its process"):
        assert worker.expect("inherited:") == "inherited: []\n"
    assert theirs.waits() == "STATUS=CONNECTING: not connected yet"
    assert theirs.waits() == "READY=1\nSTATUS=ACTIVE: takes work"
    worker.signal()
    assert worker.ends() == 0
    first, *_, last = "\n".join(theirs.heard()).splitlines()
    assert (first, last) == ("STOPPING=1", "STATUS=CLOSED: ended")


@pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets are Linux's")
def test_a_start_that_fails_is_never_ready_and_says_why(command: Any) -> None:
    with contextlib.closing(NotifySocket(f"@connect-{os.getpid()}-{time.monotonic_ns()}")) as theirs:
        worker = command(theirs, "--connect-timeout", "0.01", url="http://127.0.0.1:9")
        assert worker.ends() == 1
        heard = "\n".join(theirs.heard()).splitlines()
    assert "STOPPING=1" in heard
    assert "READY=1" not in heard
    assert heard[-1].startswith("STATUS=CLOSED: ConnectTimeout: not connected within 0.01 s; ")


def test_with_reload_the_service_is_what_watches(command: Any, theirs: NotifySocket, tmp_path: Path) -> None:
    """A worker that makes way for the next one does not say that the service stops."""
    watcher = command(theirs, "--reload")
    watcher.expect("CONNECTING → ACTIVE")
    (tmp_path / "other.py").touch()
    watcher.expect("stopped gracefully")
    watcher.signal()
    assert watcher.ends() == 0
    assert theirs.heard() == [
        "READY=1\nSTATUS=starts the worker again at each change of its files (--reload)",
        "STOPPING=1\nSTATUS=ends the worker",
    ]
    assert "inherited: [N" not in watcher.text


def followed(apps: Apps, manager: ServiceManager, **options: Any) -> WorkerConnection:
    """A worker of which *manager* is told."""
    given = [(apps.client, apps.functions)]
    worker = connect(given, retry=quick_retry(), deadlines=QUICK, shutdown_signals=[], **options)
    run_beside(worker, lambda: manager.follows(worker))
    return worker


async def test_a_gateway_that_leaves_is_no_end(gw: Gateway, apps: Apps, quiet: None, theirs: NotifySocket) -> None:
    """Each change of state is a line of `systemctl status`; READY is said once, and STOPPING by a shutdown alone."""
    async with followed(apps, ServiceManager(theirs.address), isolation="none") as worker:
        gw.starts.hold()
        await gw.drain()
        await worker.wait_for_state(ConnectionState.DRAINING)
        gw.starts.release()
        await worker.wait_for_state(ConnectionState.ACTIVE)
        gw.starts.hold()
        gw.connections[-1].drop()
        await worker.wait_for_state(ConnectionState.RECONNECTING)
        gw.starts.release()
        await worker.wait_for_state(ConnectionState.ACTIVE)
    assert [line for message in theirs.heard() for line in message.splitlines()] == [
        "STATUS=CONNECTING: not connected yet",
        "READY=1",
        "STATUS=ACTIVE: takes work",
        "STATUS=DRAINING: takes work, and makes a new link, since the gateway leaves",
        "STATUS=ACTIVE: takes work",
        "STATUS=RECONNECTING: the link is lost; the worker is making a new one",
        "STATUS=ACTIVE: takes work",
        "STOPPING=1",
        "STATUS=CLOSED: ended",
    ]


@pytest.mark.parametrize("isolation", ["thread", "none"])
async def test_signs_of_life_come_from_the_connections_loop(
    gw: Gateway, apps: Apps, theirs: NotifySocket, isolation: str
) -> None:
    """Code that blocks that loop stops them, and the service manager starts the command again."""

    @apps.function("block")
    async def block(ctx: inngest.Context) -> int:
        theirs.heard()
        time.sleep(0.2)  # noqa: ASYNC251
        return len(theirs.heard())

    async with followed(apps, ServiceManager(theirs.address, 0.02), isolation=isolation):
        run = await gw.invoke("app-block")
    assert (run.output > 0) is (isolation == "thread")


async def test_a_socket_that_is_not_there_does_not_hurt(
    apps: Apps, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    async with followed(apps, ServiceManager(str(tmp_path / "missing"), 0.02)):
        await asyncio.sleep(0.05)
    assert sum("NOTIFY_SOCKET" in record.getMessage() for record in caplog.records) == 1


async def test_a_full_queue_is_not_waited_for_and_nothing_is_lost(theirs: NotifySocket) -> None:
    """Of what waits, the newest value of each variable is sent."""
    count = theirs.fill()
    manager = ServiceManager(theirs.address)
    with manager.watches():
        for state in ("CONNECTING", "ACTIVE"):
            manager.tell(STATUS=state)
        manager.tell(READY="1")
        assert [await theirs.hears() for _ in range(count)] == ["X=1"] * count
        assert await theirs.hears() == "STATUS=ACTIVE\nREADY=1"
        manager.tell(STOPPING="1")
        assert await theirs.hears() == "STOPPING=1"
