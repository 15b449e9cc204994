"""Links: those of a worker that are alive, and which of them carries work."""

from connect.events import Connected, Disconnected
from connect.link import Link
from connect.listeners import Listeners
from connect.redaction import peer_text


class Links:
    """At most two of them were ever ready: `current` carries work, `old` is the one that it replaced.

    Changed on the connection's loop; read from any thread, for each attribute is replaced whole and never changed in place.
    """

    def __init__(self, listeners: Listeners) -> None:
        self._listeners = listeners
        self._in_use: set[Link] = set()
        self.current: Link | None = None
        self.old: Link | None = None
        self.alive: tuple[Link, ...] = ()
        """The oldest first; those that are being made or closed too."""

    def add(self, link: Link) -> None:
        """*link* is being made."""
        self.alive = (*self.alive, link)

    def replace_current(self, link: Link) -> None:
        """*link* is ready, and carries work from here on."""
        self.old, self.current = self.current or self.old, link

    def tell_connected(self, link: Link) -> None:
        """Tell listeners that *link* was taken into use."""
        self._in_use.add(link)
        self._listeners.emit(Connected(connection_id=link.connection_id, gateway_group=peer_text(link.group)))

    def tell_disconnected(self, link: Link, code: int, reason: str) -> None:
        """Tell listeners that *link* has ended: once, and only if it was in use."""
        if link in self._in_use:
            self._in_use.discard(link)
            self._listeners.emit(Disconnected(connection_id=link.connection_id, code=code, reason=reason))

    def drop(self, link: Link) -> None:
        """*link* is closed, and carries nothing any more."""
        if link is self.old:
            self.old = None
        if link is self.current:
            self.current = None

    def remove(self, link: Link) -> None:
        """Nothing of *link* is left."""
        self.alive = tuple(each for each in self.alive if each is not link)
