"""Request: one execution that the worker has accepted and still owes an answer for, driven by the request chart.

Accepted means: ACK written and lease recorded, before user code starts. An ACK that could not be written was never an acceptance:
no run, no reply. The same request_id again is answered, never run again: while in flight by another ACK, once replied by the same
reply (PROTOCOL.md §6.5). A request belongs to the worker, never to a link.
"""

import asyncio
import functools
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from connect import wire
from connect.answer import Answer, Answers, Made, Pending
from connect.delivery import leases
from connect.delivery.outbox import Outbox
from connect.delivery.replies import CANCELLED, serialise
from connect.events import LeaseLost, ReplyBuffered, ReplyFlushed, ReplyLost, RequestReceived
from connect.execution import Executor, Invocation
from connect.execution.executor import awaited, begun, ignore
from connect.link import Link
from connect.listeners import Listeners
from connect.log_format import about_request
from connect.redaction import logger, peer_text
from connect.wire import codec
from statecharts import Compiled, Stepper, compile_chart
from statecharts import Request as RequestChart
from statecharts.runner import Report

SMALL_BYTES: Final = 4096
"""A request with more bytes drops its payload once the reply is made; with fewer that is not worth the microseconds."""
LARGE_BYTES: Final = 64 * 1024
"""The frame of a reply with as many bytes is made when it is written: until then the outbox alone holds them."""

log = logger("connect.requests")


class RequestOwner(Protocol):
    """What a request tells of itself, and asks about others. On the connection's loop."""

    @property
    def cancelling(self) -> bool:
        """User code is not started any more; what has not begun is answered with a retriable error."""

    @property
    def is_one_open(self) -> bool:
        """There is one request at most: no frame of another will follow in this turn of the loop."""

    def request_answered(self, request: "Request") -> None:
        """Its reply exists, or there will never be one. May come more than once."""

    def request_cancelled(self, request: "Request") -> None:
        """It was cancelled, or kept from beginning: its reply says so."""

    def request_ended(self, request: "Request") -> None:
        """It is confirmed, flushed or lost."""

    def linger(self, request_id: str, task: Pending) -> None:
        """*task* is cancelled and may still run: the request must not run a second time until it ends."""

    def lingering(self, request_id: str) -> Pending | None:
        """The cancelled task of this request that still runs, if there is one."""


@dataclass(frozen=True, slots=True)
class RequestSettings:
    """What is the same for every request of a worker."""

    executor: Executor
    outbox: Outbox
    listeners: Listeners
    current_link: Callable[[], Link | None]
    extend_interval: Callable[[], float | None]
    """Seconds between two extensions of a lease; None while no link carries them."""
    cancel_on_lease_lost: bool
    answers: Answers
    unexpected: Report
    broken: Callable[[Exception], None]
    """Told of what an action raised: a bug of the worker."""


@functools.cache
def compiled() -> Compiled:
    """The table of the request chart. Not made on import: with a library that it cannot be read from, that would fail."""
    return compile_chart(RequestChart)


class Request:
    """The actor of one request chart."""

    __slots__ = (
        "_acks",
        "_asked_at",
        "_ended",
        "_lease_link",
        "_lease_noted",
        "_names",
        "_origin",
        "_owner",
        "_reply_link",
        "_settings",
        "_stepper",
        "_task",
        "accepted_at",
        "data",
        "id",
        "late",
        "lease_id",
        "loss",
        "size",
    )

    def __init__(
        self, settings: RequestSettings, owner: RequestOwner, data: wire.GatewayExecutorRequestData, link: Link
    ) -> None:
        self._settings = settings
        self._owner = owner
        self._origin = link
        self._stepper = Stepper(compiled(), self, settings.unexpected)
        self._acks = 0
        self._ended = False
        self._lease_link: Link | None = None
        self._lease_noted = False
        self._names: tuple[str, str, str, str] | None = None
        self._reply_link: Link | None = None
        self._task: Pending | None = None
        self.data = data
        self.size = data.ByteSize()
        """Bytes of the message; 0 once its reply is made."""
        self.id: str = data.request_id  # kept, for protobuf makes a new text each time that it is asked
        self.lease_id: str | None = data.lease_id
        self.accepted_at = self._asked_at = asyncio.get_running_loop().time()
        self.late = 0.0
        """Seconds by which the last extension was asked for too late; negative: too early."""
        self.loss = ""

    @property
    def state(self) -> str:
        """Id of the chart's state."""
        return self._stepper.state

    @property
    def names(self) -> tuple[str, str, str, str]:
        """Ids of request and run, name of the app, slug of the function, fit to be shown. From any thread."""
        if self._names is None:
            known = (self.data.run_id, self.data.app_name, self.data.function_slug)
            run_id, app_name, function_slug = map(peer_text, known)
            self._names = (peer_text(self.id), run_id, app_name, function_slug)
        return self._names

    @property
    def is_running(self) -> bool:
        """Whether its function runs, or it waits for its answer otherwise."""
        return self._task is not None and not self._task.done()

    def fire(self, event: str) -> None:
        """Feed *event* to the chart. If an action raises, which is a bug, the request is given up and the worker told."""
        if self._ended:
            return
        try:
            self._stepper.fire(event)
        except Exception as error:
            self._settings.broken(error)
            self._abort()

    def redeliver(self, data: wire.GatewayExecutorRequestData, link: Link) -> None:
        """The same request came again: over this link now, perhaps with a newer lease."""
        self._origin = link
        # Lease ids are ULIDs: the later expiry is the greater text.
        self.lease_id = max(self.lease_id or "", data.lease_id)
        self.fire("redelivered")

    def extend(self, link: Link) -> None:
        """Ask for more time over *link*; not while another link may still bring the answer to the last asking."""
        try:
            self._extend(link)
        except Exception as error:  # a bug, which each sweep would meet again
            self._settings.broken(error)

    def _extend(self, link: Link) -> None:
        last = self._lease_link
        if self.lease_id is None or self._ended:
            return
        if last and last is not link and last.owes("lease", self.id):
            return
        self._lease_link = link
        now, interval = asyncio.get_running_loop().time(), self._settings.extend_interval() or 0.0
        self.late, self._asked_at = now - self._asked_at - interval, now
        link.owe("lease", self.id)
        link.send(codec.extend_lease(self.data, self.lease_id))

    def link_gone(self, link: Link) -> None:
        """*link* is closed: a reply that was written to it will not be acknowledged there."""
        if self._reply_link is link:
            self.fire("reply_lost")

    def lose(self, reason: str) -> None:
        """Give up on the reply, and log *reason* at ERROR."""
        self.loss = reason
        self.fire("discard")

    def note_cancelled(self) -> None:
        """Its reply says that it was cancelled, or kept from beginning."""
        self._owner.request_cancelled(self)

    def cancel(self) -> None:
        """Ask user code to stop; what it comes to is still the reply."""
        if self._task:
            self._task.cancel()

    # -- the chart's actions --------------------------------------------------------------------------------------------------

    def send_ack(self) -> None:
        # Only the newest ACK decides: an older one may be stuck on a link that has been replaced.
        self._acks += 1
        tell = partial(self._ack_written, self._acks)
        self._origin.send_ack(codec.ack(self.data), tell, kept=self.size, now=self._owner.is_one_open)

    def start_handler(self) -> None:
        listeners, data = self._settings.listeners, self.data
        if listeners.wants(RequestReceived) and self._settings.outbox.recall(self.id) is None:
            listeners.emit(
                RequestReceived(
                    request_id=self.id,
                    run_id=data.run_id,
                    app_name=data.app_name,
                    function_slug=data.function_slug,
                )
            )
        self._task = self._begun()

    def cancel_handler(self) -> None:
        if self._task and not self._task.done():
            self._owner.linger(self.id, self._task)
            self._task.cancel()

    def note_lease_lost(self) -> None:
        if self._lease_noted:  # a redelivery brought another one
            return
        self._lease_noted = True
        data, cancelled = self.data, self.cancel_on_loss()
        log.warning(
            "lost the lease of request %s (run %s, %s): %s",
            self.id,
            data.run_id,
            data.function_slug,
            "its function is cancelled" if cancelled else "its function goes on",
            extra=about_request(self.id, data.run_id, data.function_slug),
        )
        self._settings.listeners.emit(
            LeaseLost(request_id=self.id, run_id=data.run_id, function_slug=data.function_slug, cancelled=cancelled)
        )

    def send_reply(self) -> None:
        link, body = self._settings.current_link(), self._settings.outbox.body(self.id)
        if link and body is not None:
            self._reply_link = link
            link.owe("reply", self.id)
            if len(body) < LARGE_BYTES:
                link.send(codec.reply(body), now=self._owner.is_one_open)
            else:
                link.send(self._reply_frame, kept=len(body))
            self._settings.outbox.sent(self.id)

    def queue_flush(self) -> None:
        self._settings.outbox.queue_flush(self.id)

    def note_buffered(self) -> None:
        self._settings.listeners.emit(ReplyBuffered(request_id=self.id))

    def note_flushed(self) -> None:
        self._settings.listeners.emit(ReplyFlushed(request_id=self.id))

    def note_discarded(self) -> None:
        data = self.data
        about = about_request(self.id, data.run_id, data.function_slug)
        log.error(
            "no reply to request %s (run %s, %s): %s", self.id, data.run_id, data.function_slug, self.loss, extra=about
        )
        self._settings.listeners.emit(ReplyLost(request_id=self.id, reason=self.loss))

    def remember(self) -> None:
        self._settings.outbox.remember(self.id)

    def forget(self) -> None:
        self._ended, self._task = True, None
        try:
            self._settings.outbox.drop(self.id)
            if self._reply_link:
                self._reply_link.paid("reply", self.id)
            if self._lease_link:
                self._lease_link.paid("lease", self.id)
        finally:  # a shutdown waits for every request that has not ended
            self._owner.request_ended(self)

    def cancel_on_loss(self) -> bool:
        return self._settings.cancel_on_lease_lost

    def link_up(self) -> bool:
        """Whether a link takes replies: one whose gateway has stopped reading does not."""
        link = self._settings.current_link()
        return link is not None and not link.full

    # -- what they started ----------------------------------------------------------------------------------------------------

    def _ack_written(self, serial: int, written: bool) -> None:
        if serial != self._acks:
            return
        self.fire("begin" if written else "ack_failed")
        left = leases.seconds_left(self.lease_id or "")
        if written and left is not None and left <= (self._settings.extend_interval() or 0.0):
            # A redelivery can bring a lease that is nearly, or already, over: waiting for the sweep would lose it.
            self.extend(self._origin)

    def _begun(self) -> Pending:
        """Have its function run, unless that is not needed, or must wait."""
        owner, outbox = self._owner, self._settings.outbox
        if owner.cancelling or owner.lingering(self.id) or outbox.recall(self.id) is not None:
            task = asyncio.get_running_loop().create_task(self._answer(), name=self.id)
            task.add_done_callback(self._answered)
            return task
        return begun(self._settings.executor, self._invocation(), self._answered)

    async def _answer(self) -> Answer:
        """The answer: recalled, waited for, or made by running the function."""
        recalled = self._settings.outbox.recall(self.id)
        if recalled is not None:
            return Made(recalled)
        lingering = self._owner.lingering(self.id)
        if lingering:
            # It lost its lease and could not be stopped: starting it a second time would double its work.
            await asyncio.wait([lingering])
            if not lingering.cancelled() and not lingering.exception():
                answer = lingering.result()  # it is logged already
                return answer if isinstance(answer, Made) else Made(serialise(self.data, answer))
        if self._owner.cancelling:
            return CANCELLED
        return await awaited(begun(self._settings.executor, self._invocation(), ignore))

    def _answered(self, task: Pending) -> None:
        if self._ended:
            self._settings.answers.drop(self, task)
            return
        reply = self._settings.answers.reply(self, task)
        self._forget_work()
        self._settings.outbox.hold(self.id, reply)
        self.fire("finished")
        self._owner.request_answered(self)

    def _reply_frame(self) -> bytes | None:
        body = self._settings.outbox.body(self.id)
        return None if body is None else codec.reply(body)

    def _forget_work(self) -> None:
        """Only the reply counts now, and the outbox holds it: what the request was made of may be as large, and wait for days."""
        self._task = None
        if self.size > SMALL_BYTES:
            self._settings.outbox.heap.freed(self.size)
            kept = {field.name: value for field, value in self.data.ListFields() if field.name != "request_payload"}
            self.data = wire.GatewayExecutorRequestData(**kept)

    def _invocation(self) -> Invocation:
        data = self.data
        return Invocation(
            request_id=data.request_id,
            run_id=data.run_id,
            app_name=data.app_name,
            function_slug=data.function_slug,
            # The router's word for "the function as a whole" (PROTOCOL.md §6.1).
            step_id=data.step_id if data.step_id not in ("", "step") else None,
            payload=data.request_payload,
            job_id=data.job_id,
            trace_context=data.user_trace_ctx,
        )

    def _abort(self) -> None:
        """An action raised: the request cannot be answered any more, and nothing may wait for it."""
        about = about_request(self.id, self.data.run_id, self.data.function_slug)
        log.error("request %s (run %s) is given up: an action raised", self.id, self.data.run_id, extra=about)
        self._settings.listeners.emit(ReplyLost(request_id=self.id, reason="a bug in the worker"))
        self.cancel_handler()
        if not self._ended:
            self.forget()
