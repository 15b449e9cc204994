"""Replies, kept until they are confirmed over a link, flushed over HTTP, or reported as lost (PROTOCOL.md §8).

The outbox holds the bytes, the deadline of each REPLY_ACK and the flusher. It tells the owner what happened to a reply; the
request's chart decides what follows. Everything else knows a reply by the id of its request: a released reply frees its bytes at
once, for its flush is cancelled.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Final, Protocol

import tenacity

from connect.backoff import Cause, Wait
from connect.delivery.heap import Heap
from connect.errors import ApiError, ConnectError
from connect.log_format import REPEATS
from connect.redaction import logger

REMEMBER_BYTES: Final = 64 * 1024 * 1024
REMEMBER: Final = 20_000
"""Most delivered replies that are kept: small ones need few bytes, but a busy worker would keep hundreds of thousands."""
REPLY_SECONDS: Final = 2 * 60 * 60.0
"""How long the executor waits for a reply (PROTOCOL.md §6.4)."""
FLUSHES_AT_ONCE: Final = 8

log = logger("connect.outbox")


class ReplyOwner(Protocol):
    """What the outbox tells of each reply."""

    def reply_overdue(self, request_id: str) -> None: ...
    def reply_flushed(self, request_id: str) -> None: ...
    def reply_not_flushed(self, request_id: str) -> None: ...
    def reply_undeliverable(self, request_id: str, reason: str) -> None: ...
    def flushing_broke(self, error: Exception) -> None: ...


class _Kicked(Exception):  # noqa: N818 - the happening's name
    """The wait after a failed flush was cut short."""


@dataclass(slots=True)
class _Reply:
    """`made_at`: when it was made; of one that is delivered, when it was. By the loop's clock."""

    body: bytes
    made_at: float


class Outbox:
    """Replies, at most *limit* bytes: all that are not confirmed, then as many delivered ones as there is room for.

    On the connection's loop only.
    """

    def __init__(
        self,
        owner: ReplyOwner,
        flush: Callable[[bytes], Awaitable[None]],
        *,
        limit: int,
        ack_seconds: float,
        remember_seconds: float,
        wait: Wait,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._owner = owner
        self._flush = flush
        self._limit = limit
        self._ack_seconds = ack_seconds
        self._remember_seconds = remember_seconds
        self._wait = wait
        self._sleep = sleep
        self._loop = asyncio.get_running_loop()
        self.heap = Heap()
        self._held: OrderedDict[str, _Reply] = OrderedDict()
        self._size = 0
        self._awaiting: OrderedDict[str, float] = OrderedDict()
        self._ack_timer: asyncio.TimerHandle | None = None
        self._to_flush: OrderedDict[str, None] = OrderedDict()
        self._flushing: dict[str, asyncio.Task[Exception | None]] = {}
        self._flusher: asyncio.Task[None] | None = None
        self._suspects: dict[str, None] = {}
        """Replies whose flush failed since one last succeeded: either the API ails, or it does not take just these."""
        self._kicked = asyncio.Event()
        self._is_told = False
        """The API asked to wait."""
        self._remembered: OrderedDict[str, _Reply] = OrderedDict()
        self._remembered_size = 0

    @property
    def size(self) -> int:
        """Bytes of the replies that are not confirmed."""
        return self._size

    def __len__(self) -> int:
        return len(self._held)

    # -- holding --------------------------------------------------------------------------------------------------------------

    def hold(self, request_id: str, body: bytes) -> None:
        """Keep *body*. Past the limit the oldest other replies are dropped, delivered ones first; the owner is told of the rest."""
        self._held[request_id] = _Reply(body, self._loop.time())
        self._size += len(body)
        self._shrink_memories()
        while self._size > self._limit and len(self._held) > 1:
            oldest = next(iter(self._held))
            self._release(oldest)
            reason = f"the outbox is full ({self._limit} bytes) and this was the oldest reply in it"
            self._owner.reply_undeliverable(oldest, reason)

    def body(self, request_id: str) -> bytes | None:
        """The reply, to be written to a link; None where it was evicted."""
        reply = self._held.get(request_id)
        if reply is None:
            return None
        self.heap.freed(len(reply.body))  # as large as the frame that is made of it, which ends once it is written
        return reply.body

    def drop(self, request_id: str) -> None:
        """Drop this reply: it is delivered, or its request has ended."""
        self._awaiting.pop(request_id, None)
        self._release(request_id)

    def _release(self, request_id: str) -> None:
        reply = self._held.pop(request_id, None)
        if reply:
            self._size -= len(reply.body)
            self.heap.freed(len(reply.body))
            self._to_flush.pop(request_id, None)
            self._suspects.pop(request_id, None)
            flush = self._flushing.pop(request_id, None)
            if flush:
                flush.cancel()

    # -- remembering ----------------------------------------------------------------------------------------------------------

    def remember(self, request_id: str) -> None:
        """The reply is delivered: keep it a while longer, if there is room, to answer a redelivery of the same request."""
        self._expire_memories()
        self._forget(request_id)
        reply = self._held.get(request_id)
        if reply is None:
            return
        self._release(request_id)
        if len(reply.body) <= self._room():
            reply.made_at = self._loop.time()
            self._remembered[request_id] = reply
            self._remembered_size += len(reply.body)
            self._shrink_memories()

    def _room(self) -> int:
        """Bytes of delivered replies that may be kept."""
        return min(REMEMBER_BYTES, self._limit - self._size)

    def _shrink_memories(self) -> None:
        while self._remembered and (self._remembered_size > self._room() or len(self._remembered) > REMEMBER):
            self._forget(next(iter(self._remembered)))

    def recall(self, request_id: str) -> bytes | None:
        """The reply that was delivered for this request; None: it is not remembered, or never was."""
        if request_id in self._remembered:
            self._expire_memories()
        reply = self._remembered.get(request_id)
        return reply.body if reply else None

    def _expire_memories(self) -> None:
        horizon = self._loop.time() - self._remember_seconds
        while self._remembered and next(iter(self._remembered.values())).made_at < horizon:
            self._forget(next(iter(self._remembered)))

    def _forget(self, request_id: str) -> None:
        reply = self._remembered.pop(request_id, None)
        if reply:
            self._remembered_size -= len(reply.body)
            self.heap.freed(len(reply.body))

    # -- waiting for REPLY_ACK ------------------------------------------------------------------------------------------------

    def sent(self, request_id: str) -> None:
        """The reply was written to a link: its REPLY_ACK is expected."""
        self._awaiting.pop(request_id, None)
        self._awaiting[request_id] = self._loop.time() + self._ack_seconds
        if self._ack_timer is None:
            self._arm_ack_timer()

    def _arm_ack_timer(self) -> None:
        first = next(iter(self._awaiting.values()), None)
        self._ack_timer = self._loop.call_at(first, self._acks_due) if first is not None else None

    def _acks_due(self) -> None:
        now = self._loop.time()
        overdue = []
        while self._awaiting and next(iter(self._awaiting.values())) <= now:
            overdue.append(self._awaiting.popitem(last=False)[0])
        self._arm_ack_timer()
        for request_id in overdue:
            self._owner.reply_overdue(request_id)

    # -- flushing -------------------------------------------------------------------------------------------------------------

    def queue_flush(self, request_id: str) -> None:
        """Deliver it over HTTP, as soon as possible."""
        if request_id not in self._held:
            return
        self._to_flush[request_id] = None
        if self._flusher is None or self._flusher.done():
            self._flusher = self._loop.create_task(self._flush_all(), name="flusher")
            self._flusher.add_done_callback(self._flushed_all)

    def _flushed_all(self, flusher: asyncio.Task[None]) -> None:
        error = None if flusher.cancelled() else flusher.exception()
        if isinstance(error, Exception):
            self._owner.flushing_broke(error)

    def kick(self, *, last: bool = False) -> None:
        """Flush now instead of after the wait, and begin a new row of waits.

        The API has just granted a start request, a link is ready, or the worker is about to give up, and this kick is the *last*:
        only then a wait that the API asked for is cut short.
        """
        if last or not self._is_told:
            self._kicked.set()

    async def stop(self) -> None:
        """End the flusher and the timer. What is held stays readable, for the report of what is lost."""
        self.heap.stop()
        if self._ack_timer:
            self._ack_timer.cancel()
        if self._flusher:
            self._flusher.cancel()
            await asyncio.wait([self._flusher])

    def undelivered(self) -> list[str]:
        """Ids of the replies that are not delivered."""
        return list(self._held)

    async def _flush_all(self) -> None:
        """Flush until nothing is queued; while the API is away, back off with one try at a time."""
        self._clear_suspects()
        while self._to_flush:
            try:
                await tenacity.AsyncRetrying(wait=self._wait, sleep=self._sleep_or_kick)(self._flush_first)
            except _Kicked:
                continue
            while self._to_flush and not any(await self._flush_next(FLUSHES_AT_ONCE)):
                pass

    async def _flush_first(self) -> None:
        """Flush one reply. If it is released meanwhile, that says nothing of the API: then the next one.

        Raises the error of a reply to retry: the user's tenacity policy may wait by its kind.
        """
        results: list[Exception | None] = []
        while self._to_flush and not results:
            results = await self._flush_next(1)
        for error in filter(None, results):
            self._is_told = Cause.of(error) is Cause.TOLD
            raise error

    async def _flush_next(self, most: int) -> list[Exception | None]:
        """For each reply that was not released meanwhile: the error if it is to be tried again, else None."""
        self._kicked.clear()  # a kick from now on means this batch
        self._is_told = False
        batch = self._take(most)
        flushes = [
            self._loop.create_task(self._flush_one(request_id), name=f"flush {request_id}") for request_id in batch
        ]
        self._flushing = dict(zip(batch, flushes, strict=True))
        try:
            await asyncio.wait(flushes)
        except asyncio.CancelledError:
            for flush in flushes:
                flush.cancel()
            await asyncio.wait(flushes)
            raise
        results = [flush.result() for flush in flushes if not flush.cancelled()]
        self._put_back([request_id for request_id in batch if request_id in self._to_flush], results)
        return results

    def _take(self, most: int) -> list[str]:
        """The oldest that are not suspects; if all are, the oldest of these."""
        others = (request_id for request_id in self._to_flush if request_id not in self._suspects)
        batch = list(islice(others, most)) or list(islice(self._to_flush, most))
        for request_id in batch:
            del self._to_flush[request_id]
        return batch

    def _put_back(self, failed: list[str], results: list[Exception | None]) -> None:
        """Choose the place of those that *failed*, which are queued as the youngest: no reply that the API does not take, whatever
        the reason, holds up the others; and once it takes replies again, the oldest are the next.
        """
        if None in results:
            self._clear_suspects()
        elif all(Cause.of(error) is Cause.ABSENT for error in results):
            self._put_first(failed)
        else:
            self._suspects |= dict.fromkeys(failed)

    def _clear_suspects(self) -> None:
        """Try them again, each at its place."""
        self._put_first(self._suspects)
        self._suspects.clear()

    def _put_first(self, request_ids: Iterable[str]) -> None:
        for request_id in reversed(list(request_ids)):
            if request_id in self._to_flush:
                self._to_flush.move_to_end(request_id, last=False)

    async def _flush_one(self, request_id: str) -> Exception | None:
        """None: the API took it, or will never take it. An error: try again. Cancelled where the reply is released meanwhile."""
        reply = self._held[request_id]
        too_old = self._loop.time() - reply.made_at > REPLY_SECONDS
        error = None if too_old else await self._try(reply.body)
        self._flushing.pop(request_id, None)  # to release the reply must not cancel this task any more
        if too_old:
            self._owner.reply_undeliverable(
                request_id, "it is over two hours old; the server has stopped waiting for it"
            )
        elif error is None:
            self._owner.reply_flushed(request_id)
        elif isinstance(error, ApiError) and error.status == 400:
            self._owner.reply_undeliverable(request_id, f"the server refuses it for good: {error}")
        else:
            about = {"request_id": request_id, **REPEATS}
            cause = Cause.of(error).value
            log.warning("cannot flush the reply to %s yet (%s): %s", request_id, cause, error, extra=about)
            self._owner.reply_not_flushed(request_id)
            return error
        return None

    async def _try(self, body: bytes) -> Exception | None:
        try:
            await self._flush(body)
        except ConnectError as error:
            # The frames of its traceback hold the body, and tenacity holds the error while it waits.
            error.__cause__ = error.__context__ = None
            return error.with_traceback(None)
        except Exception as error:
            self._owner.flushing_broke(error)  # a bug: it ends the worker, and the reply is tried again until then
            return error
        return None

    async def _sleep_or_kick(self, seconds: float) -> None:
        waits = [asyncio.ensure_future(self._sleep(seconds)), asyncio.ensure_future(self._kicked.wait())]
        try:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        for wait in done:
            wait.result()  # what the user's sleep raised
        if self._kicked.is_set():
            raise _Kicked
