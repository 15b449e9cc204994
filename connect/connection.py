"""The connection: the one owner of a worker's state, driven by the connection chart.

Every method that the chart names starts something and returns. Links, the dial loop, requests and the outbox report here, and what
they report becomes an event of the chart. Everything in this file runs on the connection's loop, which user code cannot block;
the few methods that other threads may call say so.

At most two links are alive that were ever ready: `_current` carries work, `_old` is the one it replaced. A report about any other
link changes nothing.
"""

import asyncio
import logging
import time
from collections import deque
from typing import Final, Literal

import aiohttp

from connect import wire
from connect.backoff import Backoff, wait_table
from connect.configuration import Configuration
from connect.delivery.leases import Leases, seconds_left
from connect.delivery.outbox import Outbox
from connect.dialler import Dialler
from connect.errors import ConnectTimeout, GatewayDraining, InternalError, LinkLost
from connect.events import (
    Closed,
    Connected,
    Disconnected,
    Draining,
    HeartbeatAnswered,
    LinkOpened,
    Moved,
    Reconnecting,
    StateChanged,
)
from connect.execution import Executor
from connect.link import Dial, Link, LinkPlan
from connect.listeners import Listeners
from connect.logs import REPEATS
from connect.loops.timers import Timer
from connect.requests import Requests, Surroundings
from connect.secrets import without_passwords
from connect.status import ConnectionState, InFlight, LinkStatus, Status, Transition
from connect.transport.api import Api
from connect.transport.websocket import open_session
from statecharts import Bound, Unexpected
from statecharts import Connection as ConnectionChart
from statecharts.binding import Move

HISTORY: Final = 50

log = logging.getLogger("connect")


class Connection:
    """The actor of one connection chart, from its first dial to CLOSED."""

    def __init__(self, known: Configuration, executor: Executor, listeners: Listeners) -> None:
        self._known = known
        self._options = known.options
        self._executor = executor
        self._listeners = listeners
        self._chart = Bound(ConnectionChart, self, self._note_unexpected, self._note_move)
        self._history: deque[Transition] = deque(maxlen=HISTORY)
        self._unexpected = 0
        self._current: Link | None = None
        self._old: Link | None = None
        self._links: dict[Link, None] = {}
        self._in_use: set[Link] = set()
        self._loss: Exception | None = None
        self._failure: Exception | None = None
        self._last_id: str | None = None
        self._connect_timer = Timer(self._connect_timed_out)
        self._deadline = Timer(lambda: self._chart.fire("deadline"))
        self._give_up = Timer(lambda: self._chart.fire("give_up"))
        self._path: tuple[str, ...] = ()
        self._assembled = False
        self._hurried = False
        self._starting: asyncio.Task[None] | None = None
        self._stuck: list[str] = []
        self.state = ConnectionState.CONNECTING
        self.is_closing = False

    # -- a life ---------------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """From the first dial to CLOSED, with nothing left behind: no task, timer or socket.

        Raises: what `start()` raises (see `connect.errors`).
        """
        self._loop = asyncio.get_running_loop()
        self._released = asyncio.Event()
        try:
            await self._start_executor()
            registration = self._known.registration
            origin = without_passwords(self._known.origin)
            log.info(
                "worker %s starts: inngest %s, API at %s", registration.instance_id, registration.sdk_version, origin
            )
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
        """Not to its end if the worker is closed meanwhile: processes take their time to import."""
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
        async with open_session() as session:
            self._assemble(session)
            self._note_state(None, "start")
            self._chart.start()
            await self._released.wait()
            await self._dialler.wait_stopped()
            await self._outbox.stop()
            await asyncio.gather(*(link.wait_closed() for link in list(self._links)))

    def _assemble(self, session: aiohttp.ClientSession) -> None:
        known, options, deadlines = self._known, self._options, self._options.deadlines
        api = Api(session, known.origin, known.env, known.keyring, deadlines.start)
        backoff = Backoff(known.keyring, known.rng, options.retry.wait if options.retry else None)
        self._plan = LinkPlan(
            api=api,
            session=session,
            registration=known.registration,
            deadlines=deadlines,
            endpoint=known.endpoint,
            unexpected=self._note_unexpected,
        )
        self._dialler = Dialler(self, self._make_link, backoff, known.keyring, deadlines, known.sleep)
        self._requests = Requests(
            Surroundings(
                executor=self._executor,
                listeners=self._listeners,
                current_link=lambda: self._current,
                extend_interval=lambda: self._leases.interval,
                on_lease_lost=options.on_lease_lost,
                unexpected=self._note_unexpected,
                broken=self._note_broken,
            )
        )
        self._leases = Leases(self._requests.open, lambda: self._current)
        self._outbox = self._requests.outbox = Outbox(
            self._requests,
            api.flush,
            limit=options.outbox_limit,
            ack_seconds=deadlines.reply_ack,
            remember_seconds=deadlines.remember,
            wait=options.retry.wait if options.retry else wait_table(known.rng),
        )
        self._assembled = True

    def _make_link(self, dial: Dial) -> Link:
        link = Link(self._plan, self, dial)
        self._links[link] = None
        return link

    # -- what the worker's owner may do ---------------------------------------------------------------------------------------

    def close(self) -> None:
        """Begin a graceful shutdown. Again is harmless."""
        self.is_closing = True
        if self._starting:
            self._starting.cancel()
        self._chart.fire("shutdown")

    def hurry(self) -> None:
        """Cancel user code; what is owed is still delivered. Without effect unless a shutdown has begun."""
        self._chart.fire("deadline")

    def stuck(self) -> list[str]:
        """Ids of executions that still run although the worker has ended: sync functions that nothing can stop."""
        return self._stuck

    @property
    def connection_id(self) -> str | None:
        """The id of the link in use, or of the last one that was. From any thread."""
        return self._last_id

    @property
    def is_ready(self) -> bool:
        """The worker takes work: ACTIVE, or DRAINING while a replacement is made. From any thread."""
        return self.state is ConnectionState.ACTIVE or (self.state is ConnectionState.DRAINING and not self.is_closing)

    def status(self) -> Status:
        """A snapshot. From any thread: what is read is replaced whole, never changed in place."""
        if not self._assembled:
            return Status(state=self.state, is_closing=self.is_closing)
        now, dialler = self._loop.time(), self._dialler
        # Each is read once: another thread may be asking, and the next reading may find it gone.
        current, old, retry_at, failure = self._current, self._old, dialler.retry_at, dialler.last_error

        def ago(then: float | None) -> float | None:
            return None if then is None else now - then

        return Status(
            state=self.state,
            substates=self._path[1:],
            is_ready=self.is_ready,
            is_closing=self.is_closing,
            active_connection_id=current.connection_id if current else None,
            draining_connection_id=old.connection_id if old else None,
            heartbeat_sent_ago=ago(current.facts.heartbeat_sent) if current else None,
            heartbeat_received_ago=ago(current.facts.heartbeat_seen) if current else None,
            frame_received_ago=ago(current.facts.frame_seen) if current else None,
            links=tuple(
                LinkStatus(
                    connection_id=link.connection_id,
                    gateway_group=link.group,
                    states=link.states,
                    is_current=link is current,
                )
                for link in list(self._links)
            ),
            in_flight=tuple(
                InFlight(
                    request_id=request.id,
                    run_id=request.data.run_id,
                    app_name=request.data.app_name,
                    function_slug=request.data.function_slug,
                    state=request.state.upper(),
                    age=now - request.accepted_at,
                    lease_left=seconds_left(request.lease_id or ""),
                )
                for request in self._requests.open()
            ),
            requests_received=self._requests.received,
            outbox_replies=len(self._outbox),
            outbox_bytes=self._outbox.size,
            attempts=dialler.attempts,
            next_retry_in=None if retry_at is None else max(0.0, retry_at - now),
            last_error=str(failure) if failure else None,
            excluded_gateways=tuple(sorted(dialler.excluded)),
            unexpected_events=self._unexpected,
            history=tuple(self._history),
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
        if self._current:
            self._current.announce_ready()

    def flush_replies(self) -> None:
        self._outbox.kick()

    def drop_retired_link(self) -> None:
        if self._old:
            self._old.close()

    def retire_old_link(self) -> None:
        if self._old:
            self._old.retire()

    def pause_links(self) -> None:
        self._requests.accepting = False
        if self._current:
            self._current.pause()

    def watch_work(self) -> None:
        self._requests.watch(self._chart.fire)

    def arm_deadline(self) -> None:
        self._deadline.arm(self._options.shutdown_timeout)

    def disarm_deadline(self) -> None:
        self._deadline.disarm()

    def arm_give_up(self) -> None:
        if not self._give_up.armed:
            self._give_up.arm(self._options.flush_timeout)

    def disarm_give_up(self) -> None:
        self._give_up.disarm()

    def cancel_work(self) -> None:
        awaited = self._requests.awaited()
        if self._hurried:
            log.info("still waiting, at most %g s in all, for %s", self._options.flush_timeout, awaited)
        else:
            log.info("cancelling what still runs; every reply is delivered all the same: waiting for %s", awaited)
        self._hurried = True
        self._requests.cancel_all()

    def idle(self) -> bool:
        return len(self._requests) == 0

    def note_error(self, error: Exception) -> None:
        log.error("a bug in the worker, please report it: finishing what is under way, then closing", exc_info=error)
        self.is_closing = True
        self._failure = InternalError(f"an action of the connection chart raised {type(error).__name__}: {error}")
        self._failure.__cause__ = error

    def release_all(self) -> None:
        self.is_closing = True
        try:
            self._dialler.stop()
            self._requests.accepting = False
            self._requests.give_up("the worker gave up on it when its time to shut down had passed")
            self._stuck = self._requests.running()
            for link in list(self._links):
                link.close()
        except Exception:
            # The engine swallows what the entry of a final state raises.
            log.exception("a bug in the worker, please report it: closing left something behind")
        finally:
            self._released.set()

    # -- from the dial loop ---------------------------------------------------------------------------------------------------

    def dial_failed(self, attempt: int, delay: float, error: Exception) -> None:
        about = {"attempt": attempt, "delay": delay, **REPEATS}
        log.warning(
            "attempt %d to connect failed, the next one comes in %.2f s: %s", attempt, delay, error, extra=about
        )
        self._listeners.emit(Reconnecting(attempt=attempt, delay=delay, error=error))

    def dial_rejected(self, error: Exception) -> None:
        self._failure = error
        self._chart.fire("rejected")

    def dial_broken(self, error: Exception) -> None:
        self._note_broken(error)

    def _connect_timed_out(self) -> None:
        seconds = self._options.connect_timeout
        self._failure = ConnectTimeout(
            f"not connected within {seconds:g} s; the last cause is chained, raise connect_timeout or mend it"
        )
        self._failure.__cause__ = self._dialler.last_error
        self._chart.fire("connect_timeout")

    # -- from the links -------------------------------------------------------------------------------------------------------

    def link_opened(self, link: Link) -> None:
        self._listeners.emit(LinkOpened(connection_id=link.connection_id))

    def link_ready(self, link: Link) -> None:
        if not self._dialler.ready(link):
            link.close()
            return
        if self._current:
            self._old = self._current
        self._current = link
        self._last_id = link.connection_id
        self._chart.fire("link_ready")
        self._in_use.add(link)
        self._listeners.emit(Connected(connection_id=link.connection_id, gateway_group=link.group))

    def link_failed(self, link: Link, error: Exception) -> None:
        self._dialler.failed(link, error)

    def link_closing(self, link: Link) -> None:
        if link is self._current:
            self._listeners.emit(Draining(by="gateway", connection_id=link.connection_id))
            self._chart.fire("gateway_closing")

    def link_lost(self, link: Link, error: Exception) -> None:
        if not isinstance(error, GatewayDraining):
            self._dialler.exclude(link)
        self._dialler.failed(link, error)
        lost = error if isinstance(error, LinkLost) else LinkLost(str(error))
        self._note_disconnected(link, lost.code, lost.reason or str(error))
        if link is self._current:
            log.warning(
                "lost the link %s: %s",
                link.connection_id,
                error,
                extra={"connection_id": link.connection_id, **REPEATS},
            )
            self._current, self._loss = None, error
            self._chart.fire("link_lost")

    def link_closed(self, link: Link) -> None:
        self._note_disconnected(link, 1000, "WORKER_SHUTDOWN")
        if link is self._old:
            self._old = None
        if link is self._current:
            self._current = None
        self._requests.link_gone(link)

    def link_released(self, link: Link) -> None:
        self._links.pop(link, None)

    def carrier_up(self, link: Link) -> None:
        self._leases.carry(link)

    def carrier_down(self, link: Link) -> None:
        self._leases.leave(link)

    def link_moved(self, link: Link, move: Move) -> None:
        self._note_any_move("link", link.connection_id, move)

    def heartbeat_answered(self, link: Link, round_trip: float) -> None:
        self._listeners.emit(HeartbeatAnswered(connection_id=link.connection_id, round_trip=round_trip))

    def status_of_work(self) -> wire.WorkerStatusData:
        return self._requests.status(self.is_closing)

    def request_received(self, link: Link, data: wire.GatewayExecutorRequestData) -> None:
        self._requests.receive(data, link)

    def reply_acked(self, link: Link, request_id: str) -> None:
        self._requests.reply_acked(request_id, link)

    def lease_answered(self, link: Link, data: wire.WorkerRequestExtendLeaseAckData) -> None:
        self._requests.lease_answered(data, link)

    def _note_disconnected(self, link: Link, code: int, reason: str) -> None:
        if link in self._in_use:
            self._in_use.discard(link)
            self._listeners.emit(Disconnected(connection_id=link.connection_id, code=code, reason=reason))

    # -- what is seen of it ---------------------------------------------------------------------------------------------------

    def _note_move(self, move: Move) -> None:
        self._note_any_move("connection", self._last_id, move)
        before = self.state
        self._path, after = move.target, ConnectionState(move.target[0])
        where = " · ".join(move.target)
        if move.source != move.target:
            link = f" {self._last_id}" if self._last_id else ""
            about = {
                "event": move.event or "idle",
                "from_state": " · ".join(move.source),
                "to_state": where,
                "connection_id": self._last_id,
            }
            log.info("%s → %s (%s)%s", about["from_state"], where, about["event"], link, extra=about)
        if after is not before:
            self._note_state(after, move.event or "idle")
        if move.event == "shutdown" and after is ConnectionState.DRAINING:
            self._note_shutdown()

    def _note_shutdown(self) -> None:
        work = len(self._requests)
        again = "; a second signal cancels them" if work and self._known.shutdown_signals else ""
        log.info("shutting down, executions in flight: %d%s", work, again)
        self._listeners.emit(Draining(by="worker", connection_id=self._last_id))

    def _note_any_move(self, chart: Literal["connection", "link"], connection_id: str | None, move: Move) -> None:
        if self._listeners.wants(Moved):
            self._listeners.emit(
                Moved(
                    chart=chart, connection_id=connection_id, event=move.event, source=move.source, target=move.target
                )
            )

    def _note_state(self, after: ConnectionState | None, event: str) -> None:
        before = self.state if after else None
        self.state = after or self.state
        self._history.append(Transition(at=time.time(), from_state=before, to_state=self.state, event=event))
        self._listeners.emit(
            StateChanged(from_state=before, to_state=self.state, event=event, connection_id=self._last_id)
        )

    def _note_unexpected(self, report: Unexpected) -> None:
        self._unexpected += 1
        log.error("a bug in the worker, please report it: %s", report)

    def _note_broken(self, error: Exception) -> None:
        """A bug outside of the connection chart: the first one ends the worker gracefully, more of them change nothing."""
        if self._failure is None:
            self._chart.fire("error_execution", error=error)
        else:
            log.error("a bug in the worker, please report it: another one", exc_info=error)
