"""History: the state that the connection is in, and the changes that led there."""

import time
from typing import Final

from connect.events import StateChanged
from connect.listeners import Listeners
from connect.state import ConnectionState, Transition

KEPT: Final = 50
"""Changes of state that are kept, the newest."""


class History:
    """Written on the connection's loop; read from any thread, for each attribute is replaced whole and never changed in place."""

    def __init__(self, listeners: Listeners) -> None:
        self._listeners = listeners
        self.state = ConnectionState.CONNECTING
        self.path: tuple[str, ...] = ()
        """Names of the chart's active states, outermost first."""
        self.changes: tuple[Transition, ...] = ()
        self.connection_id: str | None = None
        """The id of the link in use, or of the last one that was."""

    def begin(self) -> None:
        """The worker starts."""
        self._note(None, "start")

    def enter(self, path: tuple[str, ...], event: str) -> None:
        """The chart is in the states *path*, because of *event*. Listeners hear of it if the outermost state is another."""
        before, self.path = self.state, path
        self.state = ConnectionState(path[0])
        if self.state is not before:
            self._note(before, event)

    def _note(self, before: ConnectionState | None, event: str) -> None:
        change = Transition(at=time.time(), from_state=before, to_state=self.state, event=event)
        self.changes = (*self.changes, change)[-KEPT:]
        self._listeners.emit(
            StateChanged(from_state=before, to_state=self.state, event=event, connection_id=self.connection_id)
        )
