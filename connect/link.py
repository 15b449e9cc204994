"""One link: a WebSocket and the tasks that live with it, driven by the link chart.

The chart decides, this file acts: every method that the chart names starts something and returns, and what it started comes back
as an event. What the gateway sends is `connect.frames`' to take.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from connect import wire
from connect.deadlines import Deadlines
from connect.errors import ConnectError, HandshakeTimeout, LinkLost, ProtocolError
from connect.events import LinkOpened
from connect.frames import Facts, Frames
from connect.listeners import Listeners
from connect.log_format import REPEATS
from connect.loops.timers import Ticker, Timer
from connect.redaction import logger, peer_text
from connect.transport.api import Grant, gateway_endpoint
from connect.transport.channel import SHUTDOWN, UNEXPECTED, Channel, Frame
from connect.transport.network import Network
from connect.transport.progress import Progress
from connect.transport.registration import Registration
from connect.transport.websocket import host_of
from connect.wire import codec
from connect.wire.codec import Kind
from connect.wire.intervals import Intervals
from statecharts import Bound
from statecharts import Link as LinkChart
from statecharts.runner import Move, Report

if TYPE_CHECKING:
    from connect.link_owner import Dial, LeaseSweep, LinkOwner, LinkWork

log = logger("connect.link")


class LinkSettings(NamedTuple):
    """What is the same for every link of a worker."""

    network: Network
    registration: Registration
    deadlines: Deadlines
    endpoint: Callable[[str], str]
    """From the endpoint that the server granted to the one to dial. Raises: ConnectError."""
    work: "LinkWork[Link]"
    leases: "LeaseSweep[Link]"
    listeners: Listeners
    unexpected: Report


class Link:
    """The actor of one link chart. Everything here runs on the connection's loop."""

    def __init__(self, settings: LinkSettings, owner: "LinkOwner[Link]", dial: "Dial") -> None:
        self._settings = settings
        self._owner = owner
        self._dial = dial
        self._loop = asyncio.get_running_loop()
        self._chart = Bound(LinkChart, self, settings.unexpected, self._note_move)
        self._grant: Grant | None = None
        self._shown_id = ""
        self.gateway = ""
        """Host and port that it dials, fit to be shown; empty before."""
        self._channel: Channel | None = None
        self._stage_task: asyncio.Task[None] | None = None
        self._closer: asyncio.Task[None] | None = None
        self._deadline = Timer(self._stage_timed_out)
        self._settle = Timer(lambda: self._chart.fire("settled"))
        self._pause = Timer(lambda: self._chart.fire("pause"))
        self._tickers: list[Ticker] = []
        self._stage: tuple[str, float] = ("start", 0.0)
        self._progress = Progress()
        self._close_with = SHUTDOWN
        self._owed: set[tuple[str, str]] = set()
        self.intervals = Intervals()
        self.facts = Facts()
        self._frames = Frames(self, settings.work, settings.listeners)

    # -- what others may do ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin the handshake."""
        self._chart.start()

    def close(self) -> None:
        """End the link with 1000 `WORKER_SHUTDOWN`; what is queued is still written. Again is harmless."""
        self._chart.fire("close")

    def retire(self) -> None:
        """Another link carries the work now: close once this one brings no more answers."""
        self._chart.fire("retire")

    def announce_ready(self) -> None:
        """Write WORKER_READY: the gateway may route work here."""
        self.send(codec.encode(Kind.WORKER_READY))

    def pause(self) -> None:
        """Write WORKER_PAUSE, but not so soon after an ACK that the gateway could read it first (PROTOCOL.md §5)."""
        fresh = self.facts.last_ack + self._settings.deadlines.pause - self._loop.time()
        if fresh > 0:
            self._pause.arm(fresh)
        else:
            self._chart.fire("pause")

    def send(
        self, frame: Frame, written: Callable[[bool], None] | None = None, kept: int = 0, *, now: bool = False
    ) -> None:
        """Queue *frame*. *written* is called with whether it was written. *kept*: bytes that the sender keeps until then.

        *now*: write it, and call *written*, before this returns, if possible; else, and otherwise, later.
        """
        if self._channel and self._closer is None:
            self._channel.send(frame, written, kept, now=now)
        elif written:
            self._loop.call_soon(written, False)

    def send_ack(self, frame: bytes, written: Callable[[bool], None], kept: int, *, now: bool) -> None:
        """`send` a WORKER_REQUEST_ACK, and remember when, for `pause`."""
        self.facts.last_ack = self._loop.time()
        self.send(frame, written, kept, now=now)

    def owe(self, what: str, request_id: str) -> None:
        """Expect an answer over this link: to *what* ("reply" or "lease"), about this request."""
        self._owed.add((what, request_id))

    def paid(self, what: str, request_id: str) -> None:
        """That answer came, or is no longer needed."""
        self._owed.discard((what, request_id))
        if not self._owed:
            self._settle.hasten()

    def owes(self, what: str, request_id: str) -> bool:
        """Whether that answer may still come: it is expected, and the link is still read."""
        return self._closer is None and (what, request_id) in self._owed

    async def wait_closed(self) -> None:
        """Wait until the socket is closed and every task of this link has ended. Call it after `close()` only."""
        if self._closer:
            await self._closer

    @property
    def full(self) -> bool:
        """The gateway does not read what it is sent: replies should be flushed over HTTP instead."""
        return self._channel is not None and self._channel.full

    @property
    def connection_id(self) -> str:
        """The id that the server granted, fit to be shown; empty before."""
        return self._shown_id

    @property
    def group(self) -> str:
        """The gateway group that the server chose, as it sent it; empty before."""
        return self._grant.group if self._grant else ""

    @property
    def states(self) -> tuple[str, ...]:
        """Active states of the chart, outermost first."""
        return self._chart.states

    def __repr__(self) -> str:
        return f"<Link {self.connection_id or '-'} {'+'.join(self.states)}>"

    # -- HANDSHAKE ------------------------------------------------------------------------------------------------------------

    def arm_start_deadline(self) -> None:
        # The request has a timeout of its own, whose error names the URL; this one is a second later, in case that fails.
        self._arm("start", self._settings.deadlines.start + 1.0)

    def post_start(self) -> None:
        self._stage_task = self._loop.create_task(self._post_start(), name="link-start")

    def report_granted(self) -> None:
        self._owner.link_granted(self)

    def arm_open_deadline(self) -> None:
        self._arm("socket", self._settings.deadlines.socket)

    def open_socket(self) -> None:
        self._stage_task = self._loop.create_task(self._open_socket(), name="link-socket")

    def arm_hello_deadline(self) -> None:
        self._arm("hello", self._settings.deadlines.hello)

    def send_worker_connect(self) -> None:
        assert self._grant, "REGISTERING comes after the start request was granted"  # noqa: S101
        self.send(self._settings.registration.frame(self._grant))

    def arm_ready_deadline(self) -> None:
        self._arm("ready", self._dial.ready)

    def disarm_deadline(self) -> None:
        self._deadline.disarm()

    def report_failed(self, event: object, error: Exception | None = None) -> None:
        self._close_with = UNEXPECTED
        self._owner.link_failed(self, error or ProtocolError(f"{event} came out of order in the handshake"))

    def _arm(self, stage: str, seconds: float) -> None:
        self._stage = (stage, seconds)
        self._deadline.arm(seconds)

    def _stage_timed_out(self) -> None:
        stage, seconds = self._stage
        late = self._progress.late(seconds)
        silent = f"the gateway kept silent for {seconds:g} s in the handshake stage {stage!r}"
        message = f"cannot open the WebSocket: {late}" if late else silent
        self._chart.fire("failed", error=HandshakeTimeout(message, stage, reached=self._progress.reached))

    async def _post_start(self) -> None:
        try:
            self._grant = await self._settings.network.start(self._dial.exclude)
            self._shown_id = peer_text(self._grant.connection_id)
        except ConnectError as error:
            self._chart.fire("failed", error=error)
        except Exception as error:
            self._break(error)
        else:
            self._chart.fire("started")

    async def _open_socket(self) -> None:
        assert self._grant, "OPENING comes after the start request was granted"  # noqa: S101
        try:
            url = gateway_endpoint(self._settings.endpoint(self._grant.endpoint))
            about = {"connection_id": self.connection_id, **REPEATS}
            self.gateway = host_of(url)
            log.info("%s: connecting to the gateway at %s", self.connection_id, self.gateway, extra=about)
            self._progress.begin()
            socket = await self._settings.network.open(url)
        except ConnectError as error:
            self._chart.fire("failed", error=error)
        except ValueError as error:  # the granted endpoint is no address
            self._chart.fire("failed", error=ProtocolError(str(error)))
        except Exception as error:
            self._break(error)
        else:
            self._channel = Channel(socket, self._frames.take, self._ended)
            self._settings.listeners.emit(LinkOpened(connection_id=self.connection_id))
            self._chart.fire("opened")

    def note_intervals(self, data: wire.GatewayConnectionReadyData) -> None:
        self.intervals = Intervals.of(data)

    # -- UP -------------------------------------------------------------------------------------------------------------------

    def start_timers(self) -> None:
        self._frames.carries_work = True
        self._tickers = [Ticker(self.intervals.heartbeat, lambda: self._chart.fire("beat"))]
        if self.intervals.status:
            self._tickers.append(Ticker(self.intervals.status, self._send_status))
        self._settings.leases.carry(self)

    def stop_timers(self) -> None:
        self._frames.carries_work = False
        for ticker in self._tickers:
            ticker.cancel()
        self._pause.disarm()
        self._settings.leases.leave(self)

    def report_ready(self) -> None:
        self._owner.link_ready(self)

    def report_closing(self) -> None:
        self._owner.link_closing(self)

    def send_pause(self) -> None:
        self.send(codec.encode(Kind.WORKER_PAUSE))

    def arm_settle_timer(self) -> None:
        self._settle.arm(self._settings.deadlines.settle if self._owed else 0)

    def disarm_settle_timer(self) -> None:
        self._settle.disarm()

    def send_heartbeat(self) -> None:
        self.facts.heartbeat_sent = self._loop.time()
        self.send(codec.encode(Kind.WORKER_HEARTBEAT))

    def report_lost(self, error: Exception | None = None) -> None:
        self._close_with = UNEXPECTED
        self._owner.link_lost(self, error or self._silence())

    def _silence(self) -> LinkLost:
        """The loss after as many heartbeats as the chart waits for: three, in THREE MISSING."""
        missing = next((name.split()[0].lower() for name in self.states if name.endswith(" MISSING")), "the last")
        return LinkLost(f"the gateway left {missing} heartbeats, {self.intervals.heartbeat:g} s apart, unanswered")

    def _send_status(self) -> None:
        try:
            self.send(codec.encode(Kind.WORKER_STATUS, self._settings.work.status()))
        except Exception as error:
            self._break(error)

    # -- CLOSED ---------------------------------------------------------------------------------------------------------------

    def note_error(self, error: Exception) -> None:
        log.error("a bug in the worker, please report it: the link %s ends", self, exc_info=error)
        self._owner.link_action_raised(self, error)

    def close_socket(self) -> None:
        self._closer = self._loop.create_task(self._close(), name="link-close")
        self._closer.add_done_callback(lambda _: self._owner.link_released(self))
        self._owner.link_closed(self)
        self._settings.work.link_gone(self)

    async def _close(self) -> None:
        if self._stage_task and not self._stage_task.done():
            self._stage_task.cancel()
            await asyncio.wait([self._stage_task])
        if self._channel:
            await self._channel.close(*self._close_with)

    # -- what comes back ------------------------------------------------------------------------------------------------------

    def tell(self, event: str, **data: object) -> bool:
        """Feed *event* to the chart. Returns: whether it meant something in the present states."""
        meant = not self._chart.ignores(event)
        self._chart.fire(event, **data)
        return meant

    def _ended(self, error: Exception) -> None:
        if isinstance(error, ConnectError):
            self._chart.fire("lost", error=error)
        else:
            self._break(error)

    def _break(self, error: Exception) -> None:
        """*error* is a bug outside of the chart's actions. Dialling again would meet it again, so it ends the worker."""
        self._owner.link_broken(self, error)
        self._chart.fire("lost", error=error)

    def _note_move(self, move: Move) -> None:
        self._settings.listeners.emit_move("link", self.connection_id, move)
