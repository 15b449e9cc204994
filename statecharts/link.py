"""One link: a WebSocket from the start request to its end. Are we connected?

Each stage of HANDSHAKE has a deadline, and whatever goes wrong in one ends the link with `report_failed`. So does a frame out of
order: only the stage that waits for it has an arrow of its own for it, and HANDSHAKE has one for all others. UP is two independent
regions: TRAFFIC says what the link is for, PULSE whether its peer lives. PULSE has a state for each unanswered heartbeat, and as a
region of its own it goes on while the link drains.
"""

from typing import Any, ClassVar, Protocol

from statemachine import State, StateChart


class LinkActions(Protocol):
    """What the chart asks of its actor."""

    # HANDSHAKE
    def arm_start_deadline(self) -> None: ...
    def post_start(self) -> None: ...
    def report_granted(self) -> None: ...
    def arm_open_deadline(self) -> None: ...
    def open_socket(self) -> None: ...
    def arm_hello_deadline(self) -> None: ...
    def send_worker_connect(self) -> None: ...
    def arm_ready_deadline(self) -> None: ...
    def disarm_deadline(self) -> None: ...
    def report_failed(self, event: object, error: Exception | None = None) -> None: ...

    def note_intervals(self, data: Any) -> None: ...

    # UP
    def start_timers(self) -> None: ...
    def stop_timers(self) -> None: ...
    def report_ready(self) -> None: ...
    def report_closing(self) -> None: ...
    def send_pause(self) -> None: ...
    def arm_settle_timer(self) -> None: ...
    def disarm_settle_timer(self) -> None: ...
    def send_heartbeat(self) -> None: ...
    def report_lost(self, error: Exception | None = None) -> None: ...

    # CLOSED
    def note_error(self, error: Exception) -> None: ...
    def close_socket(self) -> None: ...


class Link(StateChart[LinkActions]):
    """HANDSHAKE is four stages, and whatever goes wrong in any of them ends the link by one arrow from its border. UP is two
    independent regions: TRAFFIC says what the link is for, PULSE counts unanswered heartbeats, and each can end it. CLOSED is
    final: the next connection is another link (PROTOCOL.md §4, §5, §9).
    """

    class handshake(State.Compound, name="HANDSHAKE"):  # noqa: N801
        starting = State("STARTING", initial=True, enter=["arm_start_deadline", "post_start"], exit="disarm_deadline")
        opening = State("OPENING", enter=["arm_open_deadline", "open_socket"], exit="disarm_deadline")
        greeting = State("GREETING", enter="arm_hello_deadline", exit="disarm_deadline")
        registering = State("REGISTERING", enter=["send_worker_connect", "arm_ready_deadline"], exit="disarm_deadline")

    class up(State.Parallel, name="UP", enter="start_timers", exit="stop_timers"):  # noqa: N801
        class traffic(State.Compound, name="TRAFFIC"):  # noqa: N801
            ready = State("READY", initial=True, enter="report_ready")
            draining = State("DRAINING")
            retired = State("RETIRED", enter="arm_settle_timer", exit="disarm_settle_timer")

        class pulse(State.Compound, name="PULSE"):  # noqa: N801
            answered = State("ANSWERED", initial=True)
            one_missing = State("ONE MISSING")
            two_missing = State("TWO MISSING")
            three_missing = State("THREE MISSING")

    closed = State("CLOSED", final=True, enter="close_socket")

    started = handshake.starting.to(handshake.opening, on="report_granted")
    opened = handshake.opening.to(handshake.greeting)
    gateway_hello = handshake.greeting.to(handshake.registering) | handshake.to(closed, on="report_failed")
    connection_ready = handshake.registering.to(up, on="note_intervals") | handshake.to(closed, on="report_failed")
    failed = handshake.to(closed, on="report_failed")
    sync_failed = handshake.to(closed, on="report_failed")
    # The library types a compound's `to` without its `|`, which it has.
    lost = handshake.to(closed, on="report_failed") | up.to(closed, on="report_lost")  # type: ignore[operator]
    close = handshake.to(closed) | up.to(closed)  # type: ignore[operator]

    pause = up.traffic.ready.to(up.traffic.draining, on="send_pause")
    gateway_closing = (
        handshake.to(closed, on="report_failed")
        | up.traffic.ready.to(up.traffic.draining, on="report_closing")
        | up.traffic.draining.to(None, on="report_closing")
    )
    retire = up.traffic.draining.to(up.traffic.retired)
    settled = up.traffic.retired.to(closed)

    beat = (
        up.pulse.answered.to(up.pulse.one_missing, on="send_heartbeat")
        | up.pulse.one_missing.to(up.pulse.two_missing, on="send_heartbeat")
        | up.pulse.two_missing.to(up.pulse.three_missing, on="send_heartbeat")
        | up.pulse.three_missing.to(closed, on="report_lost")
    )
    heartbeat_seen = (
        up.pulse.one_missing.to(up.pulse.answered)
        | up.pulse.two_missing.to(up.pulse.answered)
        | up.pulse.three_missing.to(up.pulse.answered)
    )

    error_execution = handshake.to(closed, on=["note_error", "report_failed"]) | up.to(  # type: ignore[operator]
        closed, on=["note_error", "report_lost"]
    )

    tasks: ClassVar[dict[str, tuple[str, str]]] = {
        "stage deadline": (
            "arm_start_deadline arm_open_deadline arm_hello_deadline arm_ready_deadline",
            "disarm_deadline",
        ),
        "start request": ("post_start", "started close_socket"),
        "socket": ("open_socket", "close_socket"),
        "heartbeat": ("start_timers", "stop_timers"),
        "settle timer": ("arm_settle_timer", "disarm_settle_timer"),
    }

    ignored: ClassVar[dict[str, frozenset[str]]] = {
        "handshake": frozenset({"heartbeat_seen"}),
        "up": frozenset({"gateway_hello", "connection_ready", "sync_failed"}),
        "draining": frozenset({"pause"}),
        "retired": frozenset({"gateway_closing", "pause", "retire"}),
        "answered": frozenset({"heartbeat_seen"}),
        "closed": frozenset({"*"}),
    }
    """What a gateway may send out of turn or twice, without harm. None of it is a bug of the worker."""
