"""One dispatched execution and its lease: who owns this reply?

Flat on purpose: every request passes through it, so it is not run by the library but compiled to a table
(`statecharts.compiler`); a property test holds the two to the same behaviour.

A lost link does not appear here. The request belongs to the worker, its lease lives on over the next link, and only a reply that
was written to the lost link has to move: `reply_lost`.
"""

from typing import ClassVar, Protocol

from statemachine import State, StateChart


class RequestActions(Protocol):
    """What the chart asks of its actor. No data: the actor is the request."""

    def send_ack(self) -> None: ...
    def start_handler(self) -> None: ...
    def cancel_handler(self) -> None: ...
    def note_lease_lost(self) -> None: ...
    def send_reply(self) -> None: ...
    def queue_flush(self) -> None: ...
    def note_buffered(self) -> None: ...
    def note_flushed(self) -> None: ...
    def note_discarded(self) -> None: ...
    def remember(self) -> None: ...
    def forget(self) -> None: ...
    def cancel_on_loss(self) -> bool: ...
    def link_up(self) -> bool: ...


class Request(StateChart[RequestActions]):
    """RECEIVED, ACKED, EXECUTING, REPLIED, CONFIRMED is the life of nearly every execution. BUFFERED holds a reply that is not
    confirmed: it goes out by HTTP or over the next link, whichever is first. The other ends say who gave up: ABANDONED was never
    accepted, CANCELLED lost its lease, DISCARDED could not be delivered while the worker lived (PROTOCOL.md §6 to §8).
    """

    received = State("RECEIVED", initial=True)
    acked = State("ACKED")
    executing = State("EXECUTING", enter="start_handler")
    replied = State("REPLIED", enter="send_reply")
    buffered = State("BUFFERED", enter=["note_buffered", "queue_flush"])
    confirmed = State("CONFIRMED", final=True, enter=["remember", "forget"])
    flushed = State("FLUSHED", final=True, enter=["note_flushed", "remember", "forget"])
    cancelled = State("CANCELLED", final=True, enter=["note_lease_lost", "cancel_handler", "forget"])
    abandoned = State("ABANDONED", final=True, enter="forget")
    discarded = State("DISCARDED", final=True, enter=["note_discarded", "forget"])

    accept = received.to(acked, on="send_ack")
    ack_failed = acked.to(abandoned)
    begin = acked.to(executing)
    redelivered = (
        acked.to(None, on="send_ack")
        | executing.to(None, on="send_ack")
        | replied.to(None, on=["send_ack", "send_reply"])
        | buffered.to(None, cond="link_up", on=["send_ack", "send_reply"])
        | buffered.to(None)
    )
    lease_lost = (
        acked.to(cancelled, cond="cancel_on_loss")
        | acked.to(None, on="note_lease_lost")
        | executing.to(cancelled, cond="cancel_on_loss")
        | executing.to(None, on="note_lease_lost")
    )
    finished = executing.to(replied, cond="link_up") | executing.to(buffered)
    reply_acked = replied.to(confirmed) | buffered.to(confirmed)
    reply_lost = replied.to(buffered)
    flush_ok = buffered.to(flushed)
    flush_failed = buffered.to(None, cond="link_up", on=["send_reply", "queue_flush"]) | buffered.to(
        None, on="queue_flush"
    )
    discard = (
        acked.to(discarded)
        | executing.to(discarded, on="cancel_handler")
        | replied.to(discarded)
        | buffered.to(discarded)
    )

    tasks: ClassVar[dict[str, tuple[str, str]]] = {
        "lease": ("accept", "note_lease_lost forget"),
        "handler": ("start_handler", "finished cancel_handler"),
        "wait for REPLY_ACK": ("send_reply", "reply_acked reply_lost flush_ok forget"),
        "flush": ("queue_flush", "flush_ok reply_acked forget"),
    }

    ignored: ClassVar[dict[str, frozenset[str]]] = {
        "acked": frozenset({"reply_acked"}),
        "executing": frozenset({"begin", "ack_failed", "reply_acked"}),
        "replied": frozenset({"lease_lost", "begin", "ack_failed"}),
        "buffered": frozenset({"lease_lost", "reply_lost", "begin", "ack_failed"}),
        "confirmed": frozenset({"*"}),
        "flushed": frozenset({"*"}),
        "cancelled": frozenset({"*"}),
        "abandoned": frozenset({"*"}),
        "discarded": frozenset({"*"}),
    }
    """A lease lost once the result exists changes nothing: the result is delivered. The outcome of an ACK that was written again
    for a redelivery concerns the gateway alone, and so does a REPLY_ACK for a reply that was never sent."""
