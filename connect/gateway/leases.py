"""Leases on dispatched requests: granting, extending, lapsing (PROTOCOL.md §7)."""

import time
from dataclasses import dataclass

from connect.gateway.settings import Settings
from connect.wire import ulid


@dataclass(slots=True)
class Lease:
    """The lease that counts: its id, the one before, when it expires (monotonic seconds), which instance extended it."""

    id: str
    expires: float
    previous: str = ""
    owner: str = ""


class Leases:
    """The lease records, by request id."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._records: dict[str, Lease] = {}

    def grant(self, request_id: str) -> str:
        """Take a lease before the request is forwarded; returns its id."""
        lease = Lease(*self._fresh())
        self._records[request_id] = lease
        return lease.id

    def renew(self, request_id: str) -> str:
        """Supersede the lease, or take one anew; returns its id."""
        known = self._records.get(request_id)
        lease = Lease(*self._fresh(), previous=known.id if known else "", owner=known.owner if known else "")
        self._records[request_id] = lease
        return lease.id

    def extend(self, request_id: str, lease_id: str, instance_id: str) -> str | None:
        """The id that answers an extension; None is a nack. The four rules, in the server's order; limits are not enforced."""
        lease = self._records.get(request_id)
        if lease is None:
            return None
        if lease_id != lease.id and lease.expires > time.monotonic():
            replayed = lease_id == lease.previous and lease.owner == instance_id
            return lease.id if replayed and self._settings.lease_replay else None
        lease.previous, lease.owner = lease.id, instance_id
        lease.id, lease.expires = self._fresh()
        return lease.id

    def expires(self, request_id: str) -> float:
        """When the request's lease expires (monotonic seconds); the past where it has none."""
        lease = self._records.get(request_id)
        return lease.expires if lease else 0.0

    def delete(self, request_id: str) -> None:
        """The reply was taken: there is nothing left to extend."""
        self._records.pop(request_id, None)

    def _fresh(self) -> tuple[str, float]:
        duration = self._settings.lease_duration
        return ulid.new(time.time() + duration), time.monotonic() + duration
