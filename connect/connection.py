"""The connection: the one owner of a worker's state, driven by the connection chart.

Every method that the chart names starts something and returns. Links, the dial loop, requests and the outbox report here, and what
they report becomes an event of the chart. Everything in this file runs on the connection's loop, which user code cannot block;
the few methods that other threads may call say so. A report about a link that is neither current nor old changes nothing.
"""

import asyncio
from typing import TYPE_CHECKING

from connect.backoff import wait_by_cause
from connect.configuration import Configuration
from connect.delivery.leases import Leases
from connect.delivery.outbox import Outbox
from connect.dialler import Dialler
from connect.errors import ConnectTimeout, GatewayDraining, InternalError, LinkLost
from connect.events import Closed, Draining, Reconnecting
from connect.execution import Executor
from connect.history import History
from connect.identity import log_start
from connect.link import Link, LinkSettings
from connect.link_owner import Dial
from connect.links import Links
from connect.listeners import Listeners
from connect.log_format import REPEATS, described
from connect.loops.timers import Timer
from connect.redaction import logger
from connect.requests import Requests
from connect.state import ConnectionState
from connect.transport.network import Network
from statecharts import Bound, Unexpected
from statecharts import Connection as ConnectionChart
from statecharts.runner import Move

if TYPE_CHECKING:
    from connect.status import Status

log = logger("connect")


class Connection:
    """The actor of one connection chart, from its first dial to CLOSED."""

    def __init__(self, known: Configuration, executor: Executor, listeners: Listeners) -> None:
        self._known = known
        self._options = known.options
        self._executor = executor
        self._listeners = listeners
        self._chart = Bound(ConnectionChart, self, self._note_unexpected, self._note_move)
        self._history = History(listeners)
        self._links = Links(listeners)
        self._unexpected = 0
        self._loss: Exception | None = None
        self._failure: Exception | None = None
        self._bug: Exception | None = None
        self._action_bugs = 0
        self._connect_timer = Timer(self._connect_timed_out)
        self._deadline = Timer(lambda: self._chart.fire("deadline"))
        self._give_up = Timer(lambda: self._chart.fire("give_up"))
        self._assembled = False
        self._hurried = False
        self._starting: asyncio.Task[None] | None = None
        self._stuck: list[str] = []
        self.cancelled: list[str] = []
        """Once the worker has ended: ids of the executions that were cancelled, or kept from beginning, and answered."""
        self.is_closing = False

    # -- running ---------------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Run from the first dial to CLOSED, and leave no task, timer or socket behind.

        Raises: what `start()` raises (see `connect.errors`).
        """
        self._loop = asyncio.get_running_loop()
        self._released = asyncio.Event()
        try:
            await self._start_executor()
            log_start(self._known)
            if self._known.caution:
                log.warning(self._known.caution)
            await self._live()
        except Exception as error:
            self._failure = error
        finally:
            await self._stop_executor()
            self._listeners.emit(Closed(error=self._failure))
        if self._failure:
            raise self._failure

    async def _start_executor(self) -> None:
        """Wait for the executor, unless the worker is closed meanwhile: processes can take a minute to import the apps."""
        self._starting = asyncio.create_task(self._executor.start())
        await asyncio.wait([self._starting])
        if not self._starting.cancelled():
            self._starting.result()

    async def _stop_executor(self) -> None:
        try:
            await self._executor.stop()
        except Exception as error:
            log.exception("the executor could not be stopped")
            self._failure = self._failure or error

    async def _live(self) -> None:
        async with self._known.network() as network:
            self._assemble(network)
            self._history.begin()
            self._chart.start()
            await self._released.wait()
            await self._dialler.wait_stopped()
            await self._outbox.stop()
            await asyncio.gather(*(link.wait_closed() for link in self._links.alive))

    def _assemble(self, network: Network) -> None:
        known, options, deadlines = self._known, self._options, self._options.deadlines
        self._dialler = Dialler(self, self._make_link, known.backoff(), known.keyring, deadlines, known.sleep)
        self._requests = Requests(
            lambda owner: Outbox(
                owner,
                network.flush,
                limit=options.outbox_limit,
                ack_seconds=deadlines.reply_ack,
                remember_seconds=deadlines.remember,
                wait=options.retry.wait if options.retry else wait_by_cause(known.rng),
                sleep=known.sleep,
            ),
            executor=self._executor,
            listeners=self._listeners,
            current_link=lambda: self._links.current,
            extend_interval=lambda: self._leases.interval,
            cancel_on_lease_lost=options.on_lease_lost == "cancel",
            log_executions=options.log_executions,
            unexpected=self._note_unexpected,
            broken=self._note_broken,
        )
        self._leases = Leases(self._requests.open, lambda: self._links.current)
        self._outbox = self._requests.outbox
        self._link_settings = LinkSettings(
            network=network,
            registration=known.registration,
            deadlines=deadlines,
            endpoint=known.endpoint,
            work=self._requests,
            leases=self._leases,
            listeners=self._listeners,
            unexpected=self._note_unexpected,
        )
        self._assembled = True

    def _make_link(self, dial: Dial) -> Link:
        link = Link(self._link_settings, self, dial)
        self._links.add(link)
        return link

    # -- what the worker's owner may do ---------------------------------------------------------------------------------------

    def close(self) -> None:
        """Begin a graceful shutdown. Again is harmless."""
        self.is_closing = True
        if self._starting:
            self._starting.cancel()
        self._chart.fire("shutdown")

    def hurry(self) -> None:
        """Cancel user code; every reply is still delivered. Does nothing unless a shutdown has begun."""
        self._chart.fire("hurry")

    def stuck(self) -> list[str]:
        """Ids of executions that still run although the worker has ended: sync functions, which cannot be stopped."""
        return self._stuck

    def loop_stopped(self, error: BaseException) -> None:
        """Something on this loop raised *error*, which stopped it; it runs on. A bug of the worker, or of the user's executor."""
        bug = InternalError(f"the connection's event loop was stopped by {described(error)}")
        bug.__cause__ = error
        self._loop.call_soon(self._note_broken, bug)

    @property
    def connection_id(self) -> str | None:
        """The id of the link in use, or of the last one that was. From any thread."""
        return self._history.connection_id

    @property
    def state(self) -> ConnectionState:
        """Where the connection stands. From any thread."""
        return self._history.state

    @property
    def is_ready(self) -> bool:
        """The worker takes work: ACTIVE, or DRAINING while a replacement is made. From any thread."""
        return self.state is ConnectionState.ACTIVE or (self.state is ConnectionState.DRAINING and not self.is_closing)

    def status(self) -> "Status":
        """A snapshot, from any thread (see `connect.snapshot`)."""
        from connect.snapshot import snapshot  # not imported at the start: it takes 5 ms
        from connect.status import Status

        if not self._assembled:
            return Status(state=self.state, is_closing=self.is_closing)
        return snapshot(
            self._loop.time(),
            history=self._history,
            links=self._links,
            dialler=self._dialler,
            requests=self._requests,
            outbox=self._outbox,
            is_ready=self.is_ready,
            is_closing=self.is_closing,
            unexpected_events=self._unexpected,
        )

    # -- the chart's actions --------------------------------------------------------------------------------------------------

    def dial(self) -> None:
        self._dialler.dial(self._loss)
        self._loss = None

    def arm_connect_timer(self) -> None:
        self._connect_timer.arm(self._options.connect_timeout)

    def disarm_connect_timer(self) -> None:
        self._connect_timer.disarm()

    def announce_ready(self) -> None:
        if self._links.current:
            self._links.current.announce_ready()

    def flush_replies(self) -> None:
        self._outbox.kick()

    def drop_retired_link(self) -> None:
        if self._links.old:
            self._links.old.close()

    def retire_old_link(self) -> None:
        if self._links.old:
            self._links.old.retire()

    def pause_links(self) -> None:
        self._requests.accepting = False
        if self._links.current:
            self._links.current.pause()

    def watch_work(self) -> None:
        self._requests.watch(self._chart.fire)

    def arm_deadline(self) -> None:
        self._deadline.arm(self._options.shutdown_timeout)

    def disarm_deadline(self) -> None:
        self._deadline.disarm()

    def arm_give_up(self) -> None:
        if not self._give_up.armed:
            self._give_up.arm(self._options.flush_timeout)
            self._outbox.kick(last=True)

    def disarm_give_up(self) -> None:
        self._give_up.disarm()

    def cancel_work(self) -> None:
        awaited = self._requests.awaited()
        if self._hurried:
            log.info("still waiting, at most %g s in all, for %s", self._options.flush_timeout, awaited)
        else:
            log.info("cancelling what still runs, and still delivering every reply; waiting for %s", awaited)
        self._hurried = True
        self._requests.cancel_all()

    def idle(self) -> bool:
        return len(self._requests) == 0

    def note_error(self, error: Exception) -> None:
        log.error("a bug in the worker, please report it: it finishes its work, then closes", exc_info=error)
        self.is_closing = True
        self._failure = InternalError(f"the worker raised {described(error)}")
        self._failure.__cause__ = error

    def release_all(self) -> None:
        self.is_closing = True
        try:
            self._dialler.stop()
            self._requests.accepting = False
            self._requests.give_up("not delivered before the shutdown ended")
            self._stuck, self.cancelled = self._requests.running(), list(self._requests.cancelled)
            for link in self._links.alive:
                link.close()
        except Exception:
            # The library drops an exception that the entry of a final state raises.
            log.exception("a bug in the worker, please report it: tasks or sockets may be left open")
        finally:
            self._released.set()

    # -- from the dial loop ---------------------------------------------------------------------------------------------------

    def dial_failed(self, attempt: int, delay: float, error: Exception, cause: str) -> None:
        about, why = {"attempt": attempt, "delay": delay, **REPEATS}, f" ({cause})" if cause else ""
        log.warning(
            "attempt %d to connect failed%s, the next one comes in %.2f s: %s", attempt, why, delay, error, extra=about
        )
        self._listeners.emit(Reconnecting(attempt=attempt, delay=delay, error=error))

    def dial_rejected(self, error: Exception) -> None:
        self._failure = error
        self._chart.fire("rejected")

    def dial_broken(self, error: Exception) -> None:
        self._note_broken(error)

    def _connect_timed_out(self) -> None:
        seconds, cause = self._options.connect_timeout, self._dialler.last_error
        last = f"last error: {cause}" if cause else "no answer yet"
        self._failure = ConnectTimeout(f"not connected within {seconds:g} s; {last}; fix it, or raise connect_timeout")
        self._failure.__cause__ = cause
        self._chart.fire("connect_timeout")

    # -- from the links -------------------------------------------------------------------------------------------------------

    def link_granted(self, link: Link) -> None:
        self._dialler.granted(link)
        self._outbox.kick()

    def link_ready(self, link: Link) -> None:
        if not self._dialler.ready(link):
            link.close()
            return
        self._links.replace_current(link)
        self._history.connection_id = link.connection_id
        self._chart.fire("link_ready")
        self._loop.call_soon(self._requests.prepare)  # after READY is written
        self._links.tell_connected(link)

    def link_failed(self, link: Link, error: Exception) -> None:
        self._dialler.failed(link, error)

    def link_closing(self, link: Link) -> None:
        if link is self._links.current:
            self._listeners.emit(Draining(by="gateway", connection_id=link.connection_id))
            self._chart.fire("gateway_closing")

    def link_lost(self, link: Link, error: Exception) -> None:
        if not isinstance(error, GatewayDraining):
            self._dialler.exclude(link)
        self._dialler.failed(link, error)
        lost = error if isinstance(error, LinkLost) else LinkLost(str(error))
        self._links.tell_disconnected(link, lost.code, lost.reason or str(error))
        if link is self._links.current:
            about = {"connection_id": link.connection_id, **REPEATS}
            log.warning("lost the link %s: %s", link.connection_id, error, extra=about)
            self._links.current, self._loss = None, error
            self._chart.fire("link_lost")

    def link_closed(self, link: Link) -> None:
        self._links.tell_disconnected(link, 1000, "WORKER_SHUTDOWN")
        self._links.drop(link)

    def link_released(self, link: Link) -> None:
        self._links.remove(link)

    def link_broken(self, _link: Link, error: Exception) -> None:
        self._note_broken(error)

    def link_action_raised(self, _link: Link, error: Exception) -> None:
        """The first such bug costs that link only. The second ends the worker, which would otherwise meet it again for ever."""
        self._action_bugs += 1
        if self._action_bugs > 1:
            self._note_broken(error)

    # -- what is seen of it ---------------------------------------------------------------------------------------------------

    def _note_move(self, move: Move) -> None:
        connection_id = self._history.connection_id
        self._listeners.emit_move("connection", connection_id, move)
        if move.source != move.target:
            source, target, event = " · ".join(move.source), " · ".join(move.target), move.event or "idle"
            about = {"event": event, "from_state": source, "to_state": target, "connection_id": connection_id}
            link = f" {connection_id}" if connection_id else ""
            log.info("%s → %s (%s)%s", source, target, event, link, extra=about)
        self._history.enter(move.target, move.event or "idle")
        if move.event == "shutdown" and self.state is ConnectionState.DRAINING:
            self._note_shutdown()

    def _note_shutdown(self) -> None:
        work = len(self._requests)
        again = "; a second signal cancels them" if work and self._known.shutdown_signals else ""
        log.info("shutting down, executions in flight: %d%s", work, again)
        self._listeners.emit(Draining(by="worker", connection_id=self._history.connection_id))

    def _note_unexpected(self, report: Unexpected) -> None:
        self._unexpected += 1
        log.error("a bug in the worker, please report it: %s", report)

    def _note_broken(self, error: Exception) -> None:
        """*error* is a bug outside of the connection chart. The first ends the worker gracefully; later ones are only logged."""
        if self._bug is None and self._failure is None:
            self._bug = error
            self._chart.fire("error_execution", error=error)
        elif error is not self._bug:
            log.error("a bug in the worker, please report it: another one, while the worker closes", exc_info=error)
