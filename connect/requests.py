"""Requests: the book of those that are open. Frames find theirs by its id, and a shutdown watches all of them."""

from collections.abc import Callable
from typing import Final

from connect import wire
from connect.answer import Answers, Pending
from connect.delivery.outbox import Outbox, ReplyOwner
from connect.events import FlushFailed, LeaseExtended
from connect.execution import Executor
from connect.link import Link
from connect.listeners import Listeners
from connect.log_format import REPEATS
from connect.redaction import logger
from connect.request import Request, RequestSettings, compiled
from statecharts.runner import Report

UNFINISHED_BYTES: Final = 1024 * 1024 * 1024
"""What the requests in flight may take in memory; further ones stay un-acked."""
COPIES: Final = 3
"""How often a request's bytes are in memory while it runs: its message, its payload, and that as Python's objects."""
REQUEST_BYTES: Final = 32 * 1024
"""What a request in flight takes besides."""

log = logger("connect.requests")


class Requests:
    """Every request that is open, by its id. On the connection's loop only.

    *outbox* makes the outbox that tells this book what becomes of replies.
    """

    def __init__(
        self,
        outbox: Callable[[ReplyOwner], Outbox],
        *,
        executor: Executor,
        listeners: Listeners,
        current_link: Callable[[], Link | None],
        extend_interval: Callable[[], float | None],
        cancel_on_lease_lost: bool,
        log_executions: bool,
        unexpected: Report,
        broken: Callable[[Exception], None],
    ) -> None:
        self.outbox = outbox(self)
        self._listeners = listeners
        self._broken = broken
        self._settings = RequestSettings(
            executor=executor,
            outbox=self.outbox,
            listeners=listeners,
            current_link=current_link,
            extend_interval=extend_interval,
            cancel_on_lease_lost=cancel_on_lease_lost,
            answers=Answers(listeners, log_executions=log_executions),
            unexpected=unexpected,
            broken=broken,
        )
        self.accepting = True
        self.cancelling = False
        self.cancelled: list[str] = []
        self.received = 0
        self._open: dict[str, Request] = {}
        self._size = 0
        self._unanswered: set[str] = set()
        self._lingering: dict[str, Pending] = {}
        self._watch: Callable[[str], None] | None = None

    def __len__(self) -> int:
        return len(self._open)

    def open(self) -> list[Request]:
        """Accepted and not yet confirmed, flushed or lost; the oldest first. From any thread."""
        return list(self._open.values())

    # -- from the links -------------------------------------------------------------------------------------------------------

    # Each returns whether the frame meant something: what is for no open request does not.

    def receive(self, data: wire.GatewayExecutorRequestData, link: Link) -> bool:
        """GATEWAY_EXECUTOR_REQUEST. One that the worker cannot take stays un-acked: the server routes it to another worker."""
        known = self._open.get(data.request_id)
        if known:
            known.redeliver(data, link)
        elif not self.accepting:
            log.info("left request %s un-acked: the worker is shutting down", data.request_id, extra=REPEATS)
        elif self._size >= UNFINISHED_BYTES:
            log.warning(
                "left request %s un-acked: the requests in flight, %d, have the memory that is meant for them, %d MiB; "
                "set a lower max_worker_concurrency",
                data.request_id,
                len(self._open),
                UNFINISHED_BYTES // 2**20,
                extra=REPEATS,
            )
        else:
            self._accept(data, link)
        return True

    def _accept(self, data: wire.GatewayExecutorRequestData, link: Link) -> None:
        self.received += 1
        log.debug("request %s received: run %s, %s", data.request_id, data.run_id, data.function_slug)
        request = self._open[data.request_id] = Request(self._settings, self, data, link)
        self._size += COPIES * request.size + REQUEST_BYTES
        self._unanswered.add(request.id)
        request.fire("accept")

    def reply_acked(self, request_id: str, link: Link) -> bool:
        """WORKER_REPLY_ACK; one for a request that is not open is a repeat."""
        link.paid("reply", request_id)
        return self._fire(request_id, "reply_acked")

    def lease_answered(self, data: wire.WorkerRequestExtendLeaseAckData, link: Link) -> bool:
        """WORKER_REQUEST_EXTEND_LEASE_ACK; one for a request that is not open must not bring it back."""
        link.paid("lease", data.request_id)
        request = self._open.get(data.request_id)
        if request is None or request.lease_id is None:
            log.debug("ignored a lease answer for %s: not in flight", data.request_id)
        elif data.new_lease_id:
            # Answers can arrive out of order: keep the newer lease.
            request.lease_id = max(request.lease_id, data.new_lease_id)
            log.debug("request %s: its lease is extended", request.id)
            if self._listeners.wants(LeaseExtended):
                self._listeners.emit(LeaseExtended(request_id=request.id, late=request.late))
        else:
            request.lease_id = None
            request.fire("lease_lost")
        return request is not None

    def link_gone(self, link: Link) -> None:
        """*link* is closed: no reply that was written to it will be acknowledged there."""
        for request in self.open():
            request.link_gone(link)

    def status(self) -> wire.WorkerStatusData:
        """WORKER_STATUS."""
        return wire.WorkerStatusData(in_flight_request_ids=list(self._open), shutdown_requested=not self.accepting)

    def prepare(self) -> None:
        """Make what the first request would wait for."""
        compiled()

    # -- from the connection --------------------------------------------------------------------------------------------------

    def watch(self, tell: Callable[[str], None]) -> None:
        """Tell, from now on, `work_done` whenever a request ends, and `handlers_ended` once every open one has its reply."""
        self._watch = tell
        self._tell_if_answered()

    def cancel_all(self) -> None:
        """Cancel user code; what can be stopped is answered with a retriable error, here and from now on."""
        self.cancelling = True
        for request in self.open():
            request.cancel()

    def give_up(self, reason: str) -> None:
        """Lose whatever is still open: logged once for each, at ERROR."""
        for request in self.open():
            request.lose(reason)

    def running(self) -> list[str]:
        """Ids of executions that still run, cancelled ones that cannot be stopped among them."""
        open_ones = [request.id for request in self._open.values() if request.is_running]
        return open_ones + [request_id for request_id, task in self._lingering.items() if not task.done()]

    def awaited(self) -> str:
        """What a shutdown has to wait for, in words."""
        running = self.running()
        replies = len(self._open.keys() - set(running))
        return f"executions: {len(running)}" + (f" ({', '.join(running)})" if running else "") + f", replies: {replies}"

    @property
    def is_one_open(self) -> bool:
        return len(self._open) <= 1

    # -- from the requests ----------------------------------------------------------------------------------------------------

    def request_answered(self, request: Request) -> None:
        if request.id in self._unanswered:
            self._unanswered.remove(request.id)
            self._lighten(request)
            self._tell_if_answered()

    def request_cancelled(self, request: Request) -> None:
        self.cancelled.append(request.id)

    def _lighten(self, request: Request) -> None:
        """Its payload is not needed any more; but a task that cannot be stopped keeps it."""
        weight, request.size = COPIES * request.size, 0
        lingering = self._lingering.get(request.id)
        if lingering:
            lingering.add_done_callback(lambda _: self._lose_weight(weight))
        else:
            self._lose_weight(weight)

    def _lose_weight(self, weight: int) -> None:
        self._size -= weight

    def request_ended(self, request: Request) -> None:
        del self._open[request.id]
        self._size -= REQUEST_BYTES
        if self._watch:
            self._watch("work_done")
        self.request_answered(request)

    def linger(self, request_id: str, task: Pending) -> None:
        # Remember a cancelled task that still runs; a redelivery waits for it. If its own task waits for an earlier one, keep that.
        if request_id not in self._lingering:
            self._lingering[request_id] = task
            task.add_done_callback(lambda _: self._lingering.pop(request_id))

    def lingering(self, request_id: str) -> Pending | None:
        return self._lingering.get(request_id)

    def _tell_if_answered(self) -> None:
        if self._watch and not self._unanswered:
            self._watch("handlers_ended")

    # -- from the outbox ------------------------------------------------------------------------------------------------------

    def reply_overdue(self, request_id: str) -> None:
        self._fire(request_id, "reply_lost")

    def reply_flushed(self, request_id: str) -> None:
        self._fire(request_id, "flush_ok")

    def reply_not_flushed(self, request_id: str) -> None:
        self._listeners.emit(FlushFailed(request_id=request_id))
        self._fire(request_id, "flush_failed")

    def reply_undeliverable(self, request_id: str, reason: str) -> None:
        request = self._open.get(request_id)
        if request:
            request.lose(reason)

    def flushing_broke(self, error: Exception) -> None:
        self._broken(error)

    def _fire(self, request_id: str, event: str) -> bool:
        request = self._open.get(request_id)
        if request:
            request.fire(event)
        return request is not None
