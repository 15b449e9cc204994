"""Excluded gateways: the groups that a start request asks the server to avoid (docs/decisions/excluded-gateways.md)."""


class ExcludedGateways:
    """The groups of gateways that failed since a link was last ready. Changed on the connection's loop only.

    Other threads may read `groups`: it is replaced whole and never changed in place.
    """

    def __init__(self) -> None:
        self.groups: frozenset[str] = frozenset()

    def add(self, group: str) -> None:
        """Avoid *group* from now on; "": the attempt came to no gateway, so there is none to avoid."""
        if group:
            self.groups |= {group}

    def clear(self) -> None:
        """A link is ready: avoid no group any more."""
        self.groups = frozenset()
