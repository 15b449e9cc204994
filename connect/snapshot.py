"""Snapshot: the worker's status at one moment, read from its parts.

It may be taken from any thread while the connection's loop works on. What is read is replaced whole, so each attribute is read once
and never walked while it changes; `Requests.open` copies a dictionary's values in one step of the interpreter.
"""

from collections.abc import Sequence

from connect.delivery.leases import seconds_left
from connect.delivery.outbox import Outbox
from connect.dialler import Dialler
from connect.history import History
from connect.link import Link
from connect.links import Links
from connect.redaction import peer_text
from connect.request import Request
from connect.requests import Requests
from connect.status import InFlight, LinkStatus, Status


def snapshot(
    now: float,
    *,
    history: History,
    links: Links,
    dialler: Dialler,
    requests: Requests,
    outbox: Outbox,
    is_ready: bool,
    is_closing: bool,
    unexpected_events: int,
) -> Status:
    """The status at loop time *now*."""
    current, old, retry_at, failure = links.current, links.old, dialler.retry_at, dialler.last_error

    def ago(then: float | None) -> float | None:
        return None if then is None else now - then

    return Status(
        state=history.state,
        substates=history.path[1:],
        is_ready=is_ready,
        is_closing=is_closing,
        active_connection_id=current.connection_id if current else None,
        draining_connection_id=old.connection_id if old else None,
        heartbeat_sent_ago=ago(current.facts.heartbeat_sent) if current else None,
        heartbeat_received_ago=ago(current.facts.heartbeat_seen) if current else None,
        frame_received_ago=ago(current.facts.frame_seen) if current else None,
        links=_links(links.alive, current),
        in_flight=tuple(_in_flight(request, now) for request in requests.open()),
        requests_received=requests.received,
        outbox_replies=len(outbox),
        outbox_bytes=outbox.size,
        attempts=dialler.attempts,
        next_retry_in=None if retry_at is None else max(0.0, retry_at - now),
        last_error=str(failure) if failure else None,
        excluded_gateways=tuple(sorted(map(peer_text, dialler.excluded))),
        unexpected_events=unexpected_events,
        history=history.changes,
    )


def _links(alive: Sequence[Link], current: Link | None) -> tuple[LinkStatus, ...]:
    return tuple(
        LinkStatus(
            connection_id=link.connection_id,
            gateway_group=peer_text(link.group),
            states=link.states,
            is_current=link is current,
            gateway=link.gateway,
        )
        for link in alive
    )


def _in_flight(request: Request, now: float) -> InFlight:
    request_id, run_id, app_name, function_slug = request.names
    return InFlight(
        request_id=request_id,
        run_id=run_id,
        app_name=app_name,
        function_slug=function_slug,
        state=request.state.upper(),
        age=now - request.accepted_at,
        lease_left=seconds_left(request.lease_id or ""),
    )
