"""Requests: what the worker has accepted and still owes an answer for.

They belong to the worker, never to a link. Each is the actor of one request chart, run by the compiled table; `Requests` is
where frames find theirs, and what the connection asks and tells about all of them.

Accepted means: ACK written and lease recorded, before user code starts. An ACK that could not be written was never an acceptance:
no run, no reply. The same request_id again is answered, never run again: while in flight by another ACK, once replied by the same
reply (PROTOCOL.md §6.5).
"""

import asyncio
import functools
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from connect import wire
from connect.delivery import leases
from connect.delivery.outbox import Outbox
from connect.delivery.replies import BROKEN, CANCELLED, STATUS_NAMES, serialise
from connect.events import (
    FlushFailed,
    LeaseExtended,
    LeaseLost,
    ReplyBuffered,
    ReplyFlushed,
    ReplyLost,
    RequestCompleted,
    RequestReceived,
)
from connect.execution import Executor, Invocation, Outcome
from connect.link import Link
from connect.listeners import Listeners
from connect.wire import codec
from statecharts import Compiled, Stepper, Unexpected, compile_chart
from statecharts import Request as RequestChart
from statecharts.binding import Report

OnLeaseLost = Literal["cancel", "finish"]

log = logging.getLogger("connect.requests")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What requests need of the worker around them."""

    executor: Executor
    listeners: Listeners
    current_link: Callable[[], Link | None]
    extend_interval: Callable[[], float | None]
    on_lease_lost: OnLeaseLost
    unexpected: Report
    broken: Callable[[Exception], None]
    """An action raised: a bug of ours, for the connection chart."""


@functools.cache
def _compiled() -> Compiled:
    """The table of the request chart. Not made on import: with a library that it cannot be read from, that would fail."""
    return compile_chart(RequestChart)


class Request:
    """The actor of one request chart."""

    __slots__ = (
        "_acks",
        "_asked_at",
        "_lease_link",
        "_origin",
        "_requests",
        "_stepper",
        "accepted_at",
        "data",
        "id",
        "late",
        "lease_id",
        "loss",
        "reply_link",
        "task",
    )

    def __init__(self, requests: "Requests", data: wire.GatewayExecutorRequestData, link: Link) -> None:
        self._requests = requests
        self._origin = link
        self._stepper = Stepper(_compiled(), self)
        self._acks = 0
        self._lease_link: Link | None = None
        self.data = data
        self.id: str = data.request_id  # asked for a dozen times, and made anew by protobuf each time
        self.lease_id: str | None = data.lease_id
        self.accepted_at = self._asked_at = asyncio.get_running_loop().time()
        self.reply_link: Link | None = None
        self.late = 0.0
        self.loss = ""
        self.task: asyncio.Task[bytes] | None = None

    @property
    def state(self) -> str:
        """Id of the chart's state."""
        return self._stepper.state

    def fire(self, event: str) -> None:
        """Feed *event* to the chart; what it does not expect is reported, what raises is a bug of ours."""
        before, around = self._stepper.state, self._requests.around
        try:
            taken = self._stepper.fire(event)
        except Exception as error:
            around.broken(error)
            self._requests.abort(self)
            return
        compiled = self._stepper.compiled
        if not taken and not compiled.ignores(before, event):
            around.unexpected(Unexpected("Request", (before,), event, compiled.allowed(before)))

    def redeliver(self, data: wire.GatewayExecutorRequestData, link: Link) -> None:
        """The same request came again: over this link now, perhaps with a newer lease."""
        self._origin = link
        # Lease ids are ULIDs: the later expiry is the greater text.
        self.lease_id = max(self.lease_id or "", data.lease_id)
        self.fire("redelivered")

    def extend(self, link: Link) -> None:
        """Ask for more time over *link*; not while another link may still bring the answer to the last asking."""
        last = self._lease_link
        if self.lease_id is None or self._stepper.state in self._stepper.compiled.final:
            return
        if last and last is not link and last.owes("lease", self.id):
            return
        self._lease_link = link
        now, interval = asyncio.get_running_loop().time(), self._requests.around.extend_interval() or 0.0
        self.late, self._asked_at = now - self._asked_at - interval, now
        link.owe("lease", self.id)
        link.send(codec.extend_lease(self.data, self.lease_id))

    def release_links(self) -> None:
        """No link need wait any more for what it still owes this request."""
        if self.reply_link:
            self.reply_link.paid("reply", self.id)
        if self._lease_link:
            self._lease_link.paid("lease", self.id)

    # -- the chart's actions --------------------------------------------------------------------------------------------------

    def send_ack(self) -> None:
        # Only the newest ACK decides: an older one may be stuck on a link that has been replaced.
        self._acks += 1
        serial = self._acks
        tell = partial(self._ack_written, serial)
        self._origin.send_ack(codec.ack(self.data), tell, kept=self.data.ByteSize())

    def start_handler(self) -> None:
        self._requests.start_handler(self)

    def cancel_handler(self) -> None:
        self._requests.cancel_handler(self)

    def note_lease_lost(self) -> None:
        self._requests.note_lease_lost(self)

    def send_reply(self) -> None:
        self._requests.send_reply(self)

    def queue_flush(self) -> None:
        self._requests.outbox.queue_flush(self.id)

    def note_buffered(self) -> None:
        self._requests.around.listeners.emit(ReplyBuffered(request_id=self.id))

    def note_flushed(self) -> None:
        self._requests.around.listeners.emit(ReplyFlushed(request_id=self.id))

    def note_discarded(self) -> None:
        self._requests.note_discarded(self)

    def remember(self) -> None:
        self._requests.outbox.remember(self.id)

    def forget(self) -> None:
        self._requests.forget(self)

    def cancel_on_loss(self) -> bool:
        return self._requests.around.on_lease_lost == "cancel"

    def link_up(self) -> bool:
        """Whether a link takes replies: one whose gateway has stopped reading does not."""
        link = self._requests.around.current_link()
        return link is not None and not link.full

    def _ack_written(self, serial: int, written: bool) -> None:
        if serial != self._acks:
            return
        self.fire("begin" if written else "ack_failed")
        left = leases.seconds_left(self.lease_id or "")
        if written and left is not None and left <= (self._requests.around.extend_interval() or 0.0):
            # A redelivery can bring a lease that is nearly, or already, over: waiting for the sweep would lose it.
            self.extend(self._origin)


class Requests:
    """Every request that is open, by its id. On the connection's loop only."""

    outbox: Outbox

    def __init__(self, around: Surroundings) -> None:
        self.around = around
        self.accepting = True
        self.received = 0
        self._open: dict[str, Request] = {}
        self._unanswered: set[str] = set()
        self._lingering: dict[str, asyncio.Task[bytes]] = {}
        self._cancelled = False
        self._watch: Callable[[str], None] | None = None

    def __len__(self) -> int:
        return len(self._open)

    def open(self) -> list[Request]:
        """Accepted and not yet confirmed, flushed or lost; the oldest first."""
        return list(self._open.values())

    # -- from the links -------------------------------------------------------------------------------------------------------

    def receive(self, data: wire.GatewayExecutorRequestData, link: Link) -> None:
        """GATEWAY_EXECUTOR_REQUEST. Once nothing is accepted any more a new one stays un-acked: it is re-routed at once."""
        known = self._open.get(data.request_id)
        if known:
            known.redeliver(data, link)
        elif self.accepting:
            self.received += 1
            log.debug("request %s received: run %s, %s", data.request_id, data.run_id, data.function_slug)
            request = self._open[data.request_id] = Request(self, data, link)
            self._unanswered.add(request.id)
            request.fire("accept")
        else:
            log.info("left request %s un-acked: the worker is shutting down", data.request_id)

    def reply_acked(self, request_id: str, link: Link) -> None:
        """WORKER_REPLY_ACK; one for a request that is not open is a repeat."""
        link.paid("reply", request_id)
        request = self._open.get(request_id)
        if request:
            request.fire("reply_acked")

    def lease_answered(self, data: wire.WorkerRequestExtendLeaseAckData, link: Link) -> None:
        """WORKER_REQUEST_EXTEND_LEASE_ACK; one for a request that is not open must not bring it back."""
        link.paid("lease", data.request_id)
        request = self._open.get(data.request_id)
        if request is None or request.lease_id is None:
            log.debug("ignored a lease answer for %s: not in flight", data.request_id)
        elif data.new_lease_id:
            # An answer that others overtook brings an older lease.
            request.lease_id = max(request.lease_id, data.new_lease_id)
            log.debug("request %s: its lease is extended", request.id)
            if self.around.listeners.wants(LeaseExtended):
                self.around.listeners.emit(LeaseExtended(request_id=request.id, late=request.late))
        else:
            request.lease_id = None
            request.fire("lease_lost")

    def link_gone(self, link: Link) -> None:
        """*link* is closed: no reply that was written to it will be acknowledged there."""
        for request in self.open():
            if request.reply_link is link:
                request.fire("reply_lost")

    # -- from the connection --------------------------------------------------------------------------------------------------

    def watch(self, tell: Callable[[str], None]) -> None:
        """Tell, from now on, `work_done` whenever a request ends, and `handlers_ended` once every open one has its reply."""
        self._watch = tell
        self._tell_if_answered()

    def cancel_all(self) -> None:
        """Cancel user code; what can be stopped is answered with a retriable error, here and from now on."""
        self._cancelled = True
        for request in self.open():
            if request.task:
                request.task.cancel()

    def give_up(self, reason: str) -> None:
        """Lose whatever is still open: said once for each, at ERROR."""
        for request in self.open():
            self._lose(request, reason)

    def running(self) -> list[str]:
        """Ids of executions that still run, cancelled ones that cannot be stopped among them."""
        tasks = [request.task for request in self._open.values()] + list(self._lingering.values())
        return [task.get_name() for task in tasks if task and not task.done()]

    def awaited(self) -> str:
        """What a shutdown has to wait for, in words."""
        running = self.running()
        replies = len(self._open.keys() - set(running))
        return f"executions: {len(running)}" + (f" ({', '.join(running)})" if running else "") + f", replies: {replies}"

    def status(self, shutdown_requested: bool) -> wire.WorkerStatusData:
        """WORKER_STATUS."""
        return wire.WorkerStatusData(in_flight_request_ids=list(self._open), shutdown_requested=shutdown_requested)

    def abort(self, request: Request) -> None:
        """An action of *request* raised: nothing can be promised for it any more, and nothing may wait for it."""
        about = _about(request.data)
        log.error("request %s (run %s) is given up: an action raised", request.id, request.data.run_id, extra=about)
        self.around.listeners.emit(ReplyLost(request_id=request.id, reason="a bug in the worker"))
        self.cancel_handler(request)
        if self._open.get(request.id) is request:
            self.forget(request)

    # -- from the outbox ------------------------------------------------------------------------------------------------------

    def reply_overdue(self, request_id: str) -> None:
        self._fire(request_id, "reply_lost")

    def reply_flushed(self, request_id: str) -> None:
        self._fire(request_id, "flush_ok")

    def reply_not_flushed(self, request_id: str) -> None:
        self.around.listeners.emit(FlushFailed(request_id=request_id))
        self._fire(request_id, "flush_failed")

    def reply_undeliverable(self, request_id: str, reason: str) -> None:
        request = self._open.get(request_id)
        if request:
            self._lose(request, reason)

    def flushing_broke(self, error: Exception) -> None:
        self.around.broken(error)

    def _fire(self, request_id: str, event: str) -> None:
        request = self._open.get(request_id)
        if request:
            request.fire(event)

    def _lose(self, request: Request, reason: str) -> None:
        request.loss = reason
        request.fire("discard")

    # -- what the chart's actions do ------------------------------------------------------------------------------------------

    def start_handler(self, request: Request) -> None:
        data = request.data
        if self.around.listeners.wants(RequestReceived) and self.outbox.recall(request.id) is None:
            self.around.listeners.emit(
                RequestReceived(
                    request_id=request.id,
                    run_id=data.run_id,
                    app_name=data.app_name,
                    function_slug=data.function_slug,
                )
            )
        loop = asyncio.get_running_loop()
        request.task = loop.create_task(self._answer(request), name=request.id)
        request.task.add_done_callback(lambda task: self._answered(request, task))

    def cancel_handler(self, request: Request) -> None:
        task = request.task
        if task and not task.done():
            self._linger(task)
            task.cancel()

    def _linger(self, task: asyncio.Task[bytes]) -> None:
        """Until *task* has ended, its request is not run anew. One that only waits for another leaves that in its place."""
        request_id = task.get_name()
        if request_id not in self._lingering:
            self._lingering[request_id] = task
            task.add_done_callback(lambda _: self._lingering.pop(request_id))

    def note_lease_lost(self, request: Request) -> None:
        cancelled = request.cancel_on_loss()
        log.warning(
            "lost the lease of request %s (run %s, %s): %s",
            request.id,
            request.data.run_id,
            request.data.function_slug,
            "its function is cancelled" if cancelled else "its function goes on",
            extra=_about(request.data),
        )
        self.around.listeners.emit(
            LeaseLost(
                request_id=request.id,
                run_id=request.data.run_id,
                function_slug=request.data.function_slug,
                cancelled=cancelled,
            )
        )

    def note_discarded(self, request: Request) -> None:
        data = request.data
        log.error(
            "no reply to request %s (run %s, %s): %s",
            data.request_id,
            data.run_id,
            data.function_slug,
            request.loss,
            extra=_about(data),
        )
        self.around.listeners.emit(ReplyLost(request_id=request.id, reason=request.loss))

    def send_reply(self, request: Request) -> None:
        link, body = self.around.current_link(), self.outbox.body(request.id)
        if link and body is not None:
            request.reply_link = link
            link.owe("reply", request.id)
            link.send(codec.reply(body))
            self.outbox.sent(request.id)

    def forget(self, request: Request) -> None:
        del self._open[request.id]
        self.outbox.drop(request.id)
        request.release_links()
        if self._watch:
            self._watch("work_done")
        self._has_answer(request)

    # -- executing ------------------------------------------------------------------------------------------------------------

    async def _answer(self, request: Request) -> bytes:
        """The reply to *request*, serialised: recalled, waited for, or made by running the function."""
        recalled = self.outbox.recall(request.id)
        if recalled is not None:
            return recalled
        lingering = self._lingering.get(request.id)
        if lingering:
            # It lost its lease and could not be stopped: starting it a second time would double its work.
            await asyncio.wait([lingering])
            if not lingering.cancelled() and not lingering.exception():
                return lingering.result()
        if self._cancelled:
            return self._reply(request, CANCELLED)
        outcome = await self.around.executor.execute(self._invocation(request.data))
        return self._reply(request, outcome)

    def _answered(self, request: Request, task: asyncio.Task[bytes]) -> None:
        error = None if task.cancelled() else task.exception()
        if error:
            log.error("the executor failed on request %s", request.id, exc_info=error, extra=_about(request.data))
        if self._open.get(request.id) is not request:
            return
        body = self._reply(request, BROKEN if error else CANCELLED) if error or task.cancelled() else task.result()
        self.outbox.hold(request.id, body)
        request.fire("finished")
        self._has_answer(request)

    def _has_answer(self, request: Request) -> None:
        if request.id in self._unanswered:
            self._unanswered.remove(request.id)
            self._tell_if_answered()

    def _tell_if_answered(self) -> None:
        if self._watch and not self._unanswered:
            self._watch("handlers_ended")

    def _invocation(self, data: wire.GatewayExecutorRequestData) -> Invocation:
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

    def _reply(self, request: Request, outcome: Outcome) -> bytes:
        took = asyncio.get_running_loop().time() - request.accepted_at
        log.debug("request %s replied: %s after %.3f s", request.id, STATUS_NAMES[outcome.status], took)
        if self.around.listeners.wants(RequestCompleted):
            self.around.listeners.emit(
                RequestCompleted(
                    request_id=request.id,
                    run_id=request.data.run_id,
                    function_slug=request.data.function_slug,
                    status=STATUS_NAMES[outcome.status],
                    duration=took,
                )
            )
        return serialise(request.data, outcome)


def _about(data: wire.GatewayExecutorRequestData) -> dict[str, str]:
    """What a log line is about (`connect.logs`)."""
    return {"request_id": data.request_id, "run_id": data.run_id, "function": data.function_slug}
