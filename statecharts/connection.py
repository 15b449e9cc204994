"""The worker's connection: may it take work?

One instance per worker. Its actor makes links, at most two alive at a time, and this chart hears of the *current* one only:
the link that was last ready. Dialling (backoff included) is one task, which `dial` starts unless it runs; it may go on through
several states.

Three facts shape the chart. A shutdown is a substate of DRAINING, not a region beside everything, so that each awkward
interleaving (a drain during shutdown, a loss during a drain) is an arrow of its own. Nothing can be in flight before the
first link, so CONNECTING closes at once. And WORKER_READY or WORKER_PAUSE on a fresh link is decided here: ACTIVE announces,
STOPPING pauses, so that a link which becomes ready after shutdown began never takes work.
"""

from typing import ClassVar, Protocol

from statemachine import State, StateChart


class ConnectionActions(Protocol):
    """What the chart asks of its actor. Actions only start things and return; what they started comes back as an event."""

    # CONNECTING, RECONNECTING, REPLACING
    def dial(self) -> None: ...
    def arm_connect_timer(self) -> None: ...
    def disarm_connect_timer(self) -> None: ...

    # ACTIVE
    def announce_ready(self) -> None: ...
    def flush_replies(self) -> None: ...

    # DRAINING
    def drop_retired_link(self) -> None: ...
    def retire_old_link(self) -> None: ...
    def pause_links(self) -> None: ...
    def watch_work(self) -> None: ...
    def arm_deadline(self) -> None: ...
    def disarm_deadline(self) -> None: ...
    def arm_give_up(self) -> None: ...
    def disarm_give_up(self) -> None: ...
    def cancel_work(self) -> None: ...
    def idle(self) -> bool: ...

    # CLOSED
    def note_error(self, error: Exception) -> None: ...
    def release_all(self) -> None: ...


class Connection(StateChart[ConnectionActions]):
    """CONNECTING, ACTIVE, CLOSED is a day without trouble. A lost link goes through RECONNECTING and back, a gateway that drains
    through DRAINING · REPLACING, where the old link works on until the new one is ready. Once there was a link, every way to the
    end leads through DRAINING · STOPPING, which is left when every reply is delivered, or by giving up
    (docs/decisions/shutdown.md).
    """

    connecting = State(
        "CONNECTING",
        initial=True,
        enter=["arm_connect_timer", "dial"],
        exit="disarm_connect_timer",
    )
    active = State("ACTIVE", enter=["announce_ready", "flush_replies"])
    reconnecting = State("RECONNECTING", enter="dial")

    class draining(State.Compound, name="DRAINING"):  # noqa: N801 - the library reads the class name as the state's id
        replacing = State("REPLACING", initial=True, enter="dial")
        stopping = State(
            "STOPPING",
            enter=["pause_links", "arm_deadline", "watch_work"],
            exit=["disarm_deadline", "disarm_give_up"],
        )

    closed = State("CLOSED", final=True, enter="release_all")

    link_ready = (
        connecting.to(active)
        | reconnecting.to(active)
        | draining.replacing.to(active, after="retire_old_link")
        | draining.stopping.to(None, on=["pause_links", "flush_replies", "retire_old_link"])
    )
    gateway_closing = active.to(draining.replacing, on="drop_retired_link") | draining.stopping.to(
        None, on=["drop_retired_link", "dial"]
    )
    link_lost = active.to(reconnecting) | draining.replacing.to(reconnecting) | draining.stopping.to(None, on="dial")
    shutdown = (
        connecting.to(closed)
        | active.to(draining.stopping)
        | reconnecting.to(draining.stopping)
        | draining.replacing.to(draining.stopping)
    )

    rejected = connecting.to(closed)
    connect_timeout = connecting.to(closed)

    work_done = draining.stopping.to(None)
    handlers_ended = draining.stopping.to(None, on="arm_give_up")
    deadline = draining.stopping.to(None, on=["cancel_work", "arm_give_up"])
    hurry = draining.stopping.to(None, on=["cancel_work", "arm_give_up"])
    give_up = draining.stopping.to(closed)
    draining.stopping.to(closed, cond="idle")

    error_execution = (
        connecting.to(closed, on="note_error")
        | active.to(draining.stopping, on="note_error")
        | reconnecting.to(draining.stopping, on="note_error")
        | draining.replacing.to(draining.stopping, on="note_error")
        | draining.stopping.to(closed, on="note_error")
    )

    tasks: ClassVar[dict[str, tuple[str, str]]] = {
        "connect timer": ("arm_connect_timer", "disarm_connect_timer"),
        "dial loop": ("dial", "link_ready release_all"),
        "shutdown deadline": ("arm_deadline", "disarm_deadline"),
        "give-up timer": ("arm_give_up", "disarm_give_up"),
    }

    ignored: ClassVar[dict[str, frozenset[str]]] = {
        "connecting": frozenset({"hurry"}),
        "active": frozenset({"hurry"}),
        "reconnecting": frozenset({"hurry"}),
        "replacing": frozenset({"hurry", "gateway_closing"}),
        "stopping": frozenset({"shutdown"}),
        "closed": frozenset({"*"}),
    }
    """Events that mean nothing in a state, on purpose: repeats, and what was under way when everything ended. Any other
    event that a state does not expect is a bug, and the binding reports it."""
