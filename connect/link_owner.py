"""What a link is told when it is made, and what it tells to which parts of the worker. `L` is the link's own class."""

from typing import NamedTuple, Protocol, TypeVar

from connect import wire

L = TypeVar("L", contravariant=True)


class Dial(NamedTuple):
    """One attempt: which groups to avoid, and how long to wait for READY (seconds)."""

    exclude: frozenset[str]
    ready: float


class LinkOwner(Protocol[L]):
    """What a link tells of itself. Called on the connection's loop; each returns at once."""

    def link_granted(self, link: L) -> None: ...
    def link_ready(self, link: L) -> None: ...
    def link_failed(self, link: L, error: Exception) -> None: ...
    def link_closing(self, link: L) -> None: ...
    def link_lost(self, link: L, error: Exception) -> None: ...
    def link_closed(self, link: L) -> None: ...
    def link_released(self, link: L) -> None: ...
    def link_broken(self, link: L, error: Exception) -> None:
        """*error* is a bug, raised outside of the chart's actions."""

    def link_action_raised(self, link: L, error: Exception) -> None:
        """*error* is a bug, raised by an action of the chart; the link ends."""


class LinkWork(Protocol[L]):
    """What a link tells about work, on the connection's loop. The first three return whether the frame meant something."""

    def receive(self, data: wire.GatewayExecutorRequestData, link: L) -> bool: ...
    def reply_acked(self, request_id: str, link: L) -> bool: ...
    def lease_answered(self, data: wire.WorkerRequestExtendLeaseAckData, link: L) -> bool: ...
    def link_gone(self, link: L) -> None: ...
    def status(self) -> wire.WorkerStatusData: ...


class LeaseSweep(Protocol[L]):
    """What extends leases over links that are UP."""

    def carry(self, link: L) -> None: ...
    def leave(self, link: L) -> None: ...
