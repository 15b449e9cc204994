"""The demo's timeline: the worker's events in their order, and how long each incident lasted."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from connect import events
from connect.errors import ApiError
from connect.redaction import peer_text
from connect.status import ConnectionState
from connect.worker import WorkerConnection

Cause = Literal["drain", "drop", "outage"]


@dataclass(frozen=True)
class Moment:
    """One line of the timeline. `at`: seconds since the start. `state`: the worker's new state, if it changed."""

    at: float
    text: str
    detail: str = ""
    state: ConnectionState | None = None

    def __str__(self) -> str:
        return f"{self.at:6.2f} s  " + (f"{self.text:<24} {self.detail}" if self.state else f"  {self.text}").rstrip()


@dataclass
class Incident:
    """Something that the demo did to the worker.

    `healed`: seconds until the worker was ACTIVE again, None: not yet. `gap`: for how many of these it had no link.
    """

    cause: Cause
    began: float
    healed: float | None = None
    gap: float = 0.0


class Timeline:
    """Turns the events of *worker* into moments; keeps each, and calls *show* with it."""

    def __init__(self, worker: WorkerConnection, show: Callable[[Moment], object]) -> None:
        self._started = time.time()
        self._show = show
        self._lost_at: float | None = None
        self.moments: list[Moment] = []
        self.incidents: list[Incident] = []
        self.group = ""
        self.lost = 0
        """How many replies the worker has lost."""
        self.ready_after = 0.0
        """Seconds from the start until the worker was ACTIVE for the first time."""
        worker.on(events.StateChanged, self._state_changed)
        worker.on(events.Connected, self._connected)
        worker.on(events.Reconnecting, self._reconnecting)
        worker.on(events.ReplyLost, self._reply_lost)

    def now(self) -> float:
        """Seconds since the start."""
        return time.time() - self._started

    def note(self, text: str) -> None:
        """Add a line that is not a change of state."""
        self._add(Moment(self.now(), text))

    def incident(self, cause: Cause, text: str) -> None:
        """Add a line for what the demo is about to do to the worker, and measure until the worker is ACTIVE again."""
        self.note(text)
        self.incidents.append(Incident(cause, time.time()))

    def _add(self, moment: Moment) -> None:
        self.moments.append(moment)
        self._show(moment)

    def _state_changed(self, event: events.StateChanged) -> None:
        before = event.from_state.value if event.from_state else ""
        text = f"{before} → {event.to_state.value}" if before else event.to_state.value
        self._add(Moment(event.at - self._started, text, event.event, event.to_state))
        if event.to_state is ConnectionState.RECONNECTING:
            self._lost_at = event.at
        elif event.to_state is ConnectionState.ACTIVE:
            self._active(event.at)

    def _active(self, at: float) -> None:
        self.ready_after = self.ready_after or at - self._started
        if self.incidents and self.incidents[-1].healed is None:
            incident = self.incidents[-1]
            incident.healed = at - incident.began
            incident.gap = at - self._lost_at if self._lost_at else 0.0
        self._lost_at = None

    def _connected(self, event: events.Connected) -> None:
        self.group = event.gateway_group

    def _reconnecting(self, event: events.Reconnecting) -> None:
        why = f"HTTP {event.error.status}" if isinstance(event.error, ApiError) else str(event.error)
        self.note(f"attempt {event.attempt}: {why}, next {event.delay:.1f} s")

    def _reply_lost(self, event: events.ReplyLost) -> None:
        self.lost += 1
        self.note(f"the reply to {peer_text(event.request_id)} is lost: {peer_text(event.reason)}")
