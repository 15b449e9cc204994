"""Excluded gateways: the groups that a start request asks the server to avoid (docs/decisions/excluded-gateways.md)."""

from typing import Final

MOST: Final = 64
"""How many groups are avoided: those that failed last. A fleet has a few; an API that names a new one each time has no end."""
LONGEST: Final = 256
"""Characters of the longest name that is kept."""


class ExcludedGateways:
    """The groups of gateways that failed since a link was last ready. Changed on the connection's loop only.

    Other threads may read `groups`: it is replaced whole and never changed in place.
    """

    def __init__(self) -> None:
        self._newest: tuple[str, ...] = ()
        self.groups: frozenset[str] = frozenset()

    def add(self, group: str) -> None:
        """Avoid *group* from now on; "": the attempt came to no gateway, so there is none to avoid."""
        if group and len(group) <= LONGEST:
            self._newest = (*(each for each in self._newest if each != group), group)[-MOST:]
            self.groups = frozenset(self._newest)

    def clear(self) -> None:
        """A link is ready: avoid no group any more."""
        self._newest, self.groups = (), frozenset()
