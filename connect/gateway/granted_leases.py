"""The test gateway's leases on the requests that it dispatched: granted, extended, lapsed (PROTOCOL.md §7)."""

import time
from dataclasses import dataclass
from typing import Final

from connect.gateway.newest import Newest
from connect.gateway.settings import Settings
from connect.wire import WorkerRequestExtendLeaseAckData, WorkerRequestExtendLeaseData, ulid

_SIZE: Final = 500
"""Bytes that a lease holds."""


@dataclass(slots=True)
class Lease:
    """The current lease of a request: its id, the id before, when it expires (monotonic seconds), who extended it (instance id)."""

    id: str
    expires: float
    previous: str = ""
    owner: str = ""


class Leases:
    """The newest leases, by request id: one that lapsed may still be extended, so it is kept until newer ones displace it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._records: Newest[str, Lease] = Newest(settings.ledger_capacity, settings.record_bytes)

    def grant(self, request_id: str) -> str:
        """Make a lease, before the request is forwarded. Returns its id."""
        lease = Lease(*self._fresh())
        self._records.add(request_id, lease, _SIZE)
        return lease.id

    def renew(self, request_id: str) -> str:
        """Replace the request's lease, or make one if it has none. Returns the new id."""
        known = self._records.get(request_id)
        lease = Lease(*self._fresh(), previous=known.id if known else "", owner=known.owner if known else "")
        self._records.add(request_id, lease, _SIZE)
        return lease.id

    def extend(self, request_id: str, lease_id: str, instance_id: str) -> str | None:
        """Extend a lease by the server's four rules, without its limits. Returns the lease id to answer with; None: a nack."""
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
        """When the request's lease expires (monotonic seconds); 0.0 if it has none."""
        lease = self._records.get(request_id)
        return lease.expires if lease else 0.0

    def delete(self, request_id: str) -> None:
        """Forget the lease of a request whose reply has come: later extensions are refused."""
        self._records.drop(request_id)

    def _fresh(self) -> tuple[str, float]:
        duration = self._settings.lease_duration
        return ulid.new(time.time() + duration), time.monotonic() + duration


def lease_answer(asked: WorkerRequestExtendLeaseData, new_lease_id: str | None) -> WorkerRequestExtendLeaseAckData:
    """The answer to an extension; without *new_lease_id* it is a nack."""
    return WorkerRequestExtendLeaseAckData(
        request_id=asked.request_id,
        account_id=asked.account_id,
        env_id=asked.env_id,
        app_id=asked.app_id,
        function_slug=asked.function_slug,
        new_lease_id=new_lease_id,
    )
