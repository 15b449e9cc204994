"""A gateway and a worker on one loop, and everything that may happen to them, one thing at a time.

A happening is over when the worker has noticed it: each waits for the one event, frame or call that proves that it has.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

import inngest
import pytest
import tenacity
from bugs import Bugs
from job import Job
from journal import Journals
from rig import DOWN, Apps, Running
from standing import Standing

from connect import ConnectionState, Deadlines, connect, events, wire
from connect.connection import Connection as Actor
from connect.gateway import Call, Connection, Gateway, Kind
from connect.link import Link as LinkActor
from statecharts import Connection as ConnectionChart
from statecharts import Link, model
from statecharts.tools.drawing import trail

LOG = logging.getLogger("connect")
NEVER = 60.0
"""Seconds, for what must not run out."""
SILENT = "the gateway left three heartbeats, 0.02 s apart, unanswered"
PACE = Deadlines(start=5.0, socket=5.0, hello=5.0, ready=5.0, reply_ack=0.05, settle=0.1, pause=0.005)


class Player:
    """Makes things happen, and knows where the worker should stand afterwards (`facts`)."""

    def __init__(self, *, api_up: bool) -> None:
        self.facts = Standing(api_up=api_up)
        self.jobs: list[Job] = []
        self.happenings: list[str] = []
        self.bugs = Bugs()
        self._patch = pytest.MonkeyPatch()
        self.journals = Journals(self._patch)
        self.loop = asyncio.new_event_loop()
        self._failed = False

    def play(self, happening: Callable[..., Coroutine[Any, Any, None]], *args: Any) -> None:
        """Make *happening* happen, and wait until the worker stands where it should."""
        self.happenings.append(" ".join(map(str, (happening.__name__, *args))))
        try:
            self.loop.run_until_complete(self._play(happening, *args))
        except TimeoutError as error:
            self.fail(f"it was not noticed: {error}")

    def check(self, holds: object, what: str) -> None:
        """Fail unless *holds*."""
        if not holds:
            self.fail(what)

    def fail(self, why: str) -> None:
        """Raises: AssertionError: it lists everything that led here."""
        self._failed = True
        [journal] = self.journals.of(ConnectionChart)
        status = self.worker.status()
        lines = [
            f"{why}; what happened, one thing after the other: {', '.join(self.happenings)}",
            f"it should be: {self.facts}",
            f"it is: {status.state.value} {status.substates}, {status.in_flight}, {self.tasks}",
            f"links: {[link for link in self.links if link.states != ('CLOSED',)]}",
            f"at {self.loop.time():.3f} the gateway's log ends with:\n{self.gw.log.text(40)}",
            trail.render(model.read(ConnectionChart), [step.taken for step in journal.steps]),
        ]
        raise AssertionError("\n".join(lines))

    # -- looking

    @property
    def actor(self) -> Actor:
        """The worker's connection."""
        actor = self.worker.connection._connection
        assert actor
        return actor

    @property
    def peer(self) -> Connection:
        """The gateway's end of the current link."""
        assert self.actor._links.current
        wanted = self.actor._links.current.connection_id
        return next(connection for connection in self.gw.connections if connection.id == wanted)

    @property
    def links(self) -> list[LinkActor]:
        """Every link that was ever made."""
        return [journal.actor for journal in self.journals.of(Link)]

    @property
    def tasks(self) -> Counter[str]:
        """The worker's own tasks, by name, without those of user code."""
        names = (task.get_name() for task in asyncio.all_tasks(self.loop))
        return Counter(name for name in names if name in ("dial", "flusher") or name.startswith("link-"))

    @property
    def running(self) -> list[Job]:
        """The jobs without a reply so far."""
        return [job for job in self.jobs if job.id in self.facts.work]

    # -- the beginning and the end

    async def worker_begins(self) -> None:
        self.gw = Gateway(heartbeat_interval="60s", extend_lease_interval="50ms", heartbeat_timeout=NEVER)
        await self.gw.start()
        apps = Apps(self.gw)

        @apps.function("job")
        async def job(ctx: inngest.Context) -> str:
            number = ctx.event.data["number"]
            assert isinstance(number, int)
            return await self.jobs[number].work()

        if not self.facts.api_up:
            self.gw.starts.standing = DOWN
        LOG.addHandler(self.bugs)
        self._patch.setattr(LOG, "propagate", False)  # a test's log keeps what it hears, and here that is whole worlds
        self.worker = Running(
            connect(
                [(apps.client, apps.functions)],
                retry=tenacity.AsyncRetrying(wait=tenacity.wait_fixed(0.01), sleep=_nap),
                deadlines=PACE,
                shutdown_signals=[],
                isolation="none",
                connect_timeout=NEVER,
                shutdown_timeout=NEVER,
                flush_timeout=NEVER,
            )
        )
        self.worker.on(events.Event, lambda _: self.journals.look())
        await self.journals.until(lambda: bool(self.journals.of(ConnectionChart)))

    def end(self) -> None:
        """Repair everything, close the worker, and check that nothing of it is left. After a failure, check only that nothing is
        left.
        """
        try:
            if not self._failed:
                self.play(self.everything_gets_well)
                self.loop.run_until_complete(self._leave())
        finally:
            self.loop.run_until_complete(self._sweep())
            self.loop.close()
            self._patch.undo()
            LOG.removeHandler(self.bugs)

    async def everything_gets_well(self) -> None:
        self.gw.starts.clear()
        self.gw.flushes.clear()
        self.gw.faults.clear()
        for job in self.jobs:
            job.release.set()
        await self.worker.close()
        for job in self.running:
            self._is_answered(job)
        self.facts.api_up = self.facts.flush_up = self.facts.acks = self.facts.closing = True

    async def _leave(self) -> None:
        """The worker has ended; end the jobs that were taken away from it."""
        await self.gw.close()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        if left:
            await asyncio.wait(left, timeout=5)
        self.check(all(task.done() for task in left), f"left behind: {left}")

    async def _sweep(self) -> None:
        for job in self.jobs:
            job.release.set()
        await self.gw.close()
        tasks = {self.worker.task, *asyncio.all_tasks()} - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=5)
        if not self.worker.task.cancelled():
            self.worker.task.exception()

    # -- playing

    async def _play(self, happening: Callable[..., Coroutine[Any, Any, None]], *args: Any) -> None:
        await happening(*args)
        await self._get_there()
        if self.facts.over:
            await asyncio.wait([self.worker.task], timeout=5)

    async def _get_there(self) -> None:
        self.facts.settle()
        try:
            await self.journals.until(self._settled)
            await self.gw.until(self._agreed)
        except TimeoutError:
            self.fail("it does not get there")

    def _settled(self) -> bool:
        """Whether the worker is where it should be."""
        status, link = self.worker.status(), self.actor._links.current
        if self.facts.over:
            return status.state is ConnectionState.CLOSED
        return (
            (status.state, status.substates) == self.facts.state
            and {each.request_id for each in status.in_flight} == self.facts.open
            and self.actor._dialler.dialling == self.facts.dials
            and (link is not None) == self.facts.link
            and (link is None or ("READY" in link.states) == self.facts.takes_work)
        )

    def _agreed(self) -> bool:
        """Whether the gateway gives work to the worker exactly if it takes work."""
        return any(connection.routable for connection in self.gw.connections) == self.facts.takes_work

    async def _tells(self, since: int, kind: type[Any], **about: str) -> None:
        """Wait for an event of *kind* with these attributes, after the first *since* events."""

        def told(event: Any) -> bool:
            return isinstance(event, kind) and all(getattr(event, name) == value for name, value in about.items())

        await self.journals.until(lambda: any(map(told, self.worker.told[since:])))

    # -- what may happen to the API

    async def api_goes(self) -> None:
        self.gw.starts.standing = DOWN
        self.facts.api_up = False

    async def api_comes(self) -> None:
        self.gw.starts.clear()
        self.facts.api_up = True

    async def a_start_is_refused(self, status: int) -> None:
        """The next start request is refused. If there is a link it is dropped, so that a start request is made."""
        since = self.gw.mark
        self.gw.starts.push(status)
        if self.facts.link:
            await self.link_drops()
        await self.gw.wait_for(lambda record: isinstance(record, Call) and record.status == status, since=since)
        if status == 401 and not self.facts.ever:
            self.facts.end()

    async def the_functions_are_refused(self) -> None:
        """The next handshake refuses them."""
        since = self.gw.mark
        self.gw.faults.fail_sync()
        if self.facts.link:
            await self.link_drops()
        else:
            await self.api_comes()
        await self.gw.wait_for(Kind.SYNC_FAILED, since=since)
        if not self.facts.ever:
            self.facts.end()

    async def flush_goes(self) -> None:
        self.gw.flushes.standing = DOWN
        self.facts.flush_up = False

    async def flush_comes(self) -> None:
        self.gw.flushes.clear()
        self.facts.flush_up = True

    async def acks_go(self) -> None:
        self.gw.faults.lose(Kind.WORKER_REPLY_ACK, count=None)
        self.facts.acks = False

    async def acks_come(self) -> None:
        self.gw.faults.clear()
        self.facts.acks = True

    # -- what may happen to the link

    async def link_drops(self) -> None:
        await self._loses(self.peer.drop)

    async def link_is_closed(self, goodbye: tuple[int, str]) -> None:
        closing = self.peer.close(*goodbye)
        await self._loses(lambda: asyncio.ensure_future(closing))

    async def link_falls_silent(self) -> None:
        """The link is replaced by one with quick heartbeats, whose silence is noticed soon. Others have none that a slow machine
        could miss.
        """
        mark, since = self.gw.mark, len(self.worker.told)
        self.gw.heartbeat_interval = "20ms"
        self.gw.faults.lose(Kind.GATEWAY_HEARTBEAT, count=None)
        self.peer.drop()
        await self.gw.wait_for(Kind.GATEWAY_CONNECTION_READY, since=mark)
        self.gw.heartbeat_interval = "60s"
        await self._tells(since, events.Disconnected, reason=SILENT)
        self.gw.faults.clear()
        if not self.facts.acks:
            await self.acks_go()

    async def _loses(self, how: Callable[[], object]) -> None:
        since, lost = len(self.worker.told), self.peer.id
        how()
        await self._tells(since, events.Disconnected, connection_id=lost)
        self.facts.lose_link()

    async def gateway_drains(self) -> None:
        since, drained = len(self.worker.told), self.peer.id
        await self.gw.drain(self.peer)
        await self._tells(since, events.Draining, by="gateway", connection_id=drained)
        self.facts.drained = True

    async def nonsense_comes(self, data: bytes | str) -> None:
        await self.peer.send_raw(data)

    # -- what may happen to work

    async def work_comes(self, stubborn: bool) -> None:
        job = Job(stubborn)
        self.jobs.append(job)
        run = self.gw.start_run("app-job", {"number": len(self.jobs) - 1})
        async with asyncio.timeout(5):
            await job.started.wait()
        job.id = run.requests[0]
        self.facts.work.add(job.id)

    async def work_ends(self, which: int) -> None:
        job = self.running[which % len(self.running)]
        job.release.set()
        self._is_answered(job)

    async def work_is_taken_away(self, which: int) -> None:
        job, since = self.running[which % len(self.running)], len(self.worker.told)
        nack = wire.WorkerRequestExtendLeaseAckData(request_id=job.id)
        await self.peer.send(Kind.WORKER_REQUEST_EXTEND_LEASE_ACK, nack)
        await self._tells(since, events.LeaseLost, request_id=job.id)
        self.facts.work.remove(job.id)
        self.facts.lost.add(job.id)

    async def work_comes_again(self, which: int) -> None:
        await self._redelivered(self.running[which % len(self.running)].id)

    async def answered_work_comes_again(self, which: int) -> None:
        again = sorted(self.facts.answered)[which % len(self.facts.answered)]
        await self._redelivered(again)
        self.facts.answered.remove(again)
        self.facts.owed.add(again)

    async def strange_work_comes(self, which: int) -> None:
        """A request that is no longer in flight comes to a worker that takes no work. One in flight comes behind it, and shows when
        it was read.
        """
        strange, since = sorted(self.facts.answered | self.facts.lost), self.gw.mark
        refused = strange[which % len(strange)]
        await self.gw.redeliver(refused, self.peer)
        await self.work_comes_again(which)
        acks = [frame.message.request_id for frame in self.gw.frames(Kind.WORKER_REQUEST_ACK, since=since)]
        self.check(refused not in acks, f"{refused} was accepted")

    async def _redelivered(self, request_id: str) -> None:
        since = self.gw.mark
        await self.gw.redeliver(request_id, self.peer)
        await self.gw.wait_for(Kind.WORKER_REQUEST_ACK, since=since)

    def _is_answered(self, job: Job) -> None:
        self.facts.work.remove(job.id)
        self.facts.owed.add(job.id)

    # -- what may happen to the worker

    async def shutdown(self) -> None:
        await self.worker.close()
        self.facts.closing = True

    async def shutdown_again(self) -> None:
        await self.worker.close()

    async def hurry(self) -> None:
        self.facts.hurried = True
        self.worker.task.cancel()
        for job in self.running:
            if not job.stubborn:
                self._is_answered(job)


async def _nap(seconds: float) -> None:
    """Sleep shortly, whatever the backoff asks for."""
    await asyncio.sleep(min(seconds, 0.01))
