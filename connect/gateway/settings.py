"""Everything about a gateway that can be set: when it is made, and while it runs."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

from connect.wire import durations

SHORT_WAIT: Final = 0.02
"""Seconds: what every sleep, back-off and timeout of a run is cut down to while no `time_scale` is set."""


@dataclass(eq=False, kw_only=True)
class Settings:
    """The defaults are the server's figures (PROTOCOL.md §11.1). Times are seconds; intervals are texts, sent as they are given."""

    port: int = 0
    """The loopback port; 0 takes a free one, and keeps it over `stop()` and `start()`."""

    # -- what READY tells the worker
    heartbeat_interval: str = "10s"
    extend_lease_interval: str = "30s"
    status_interval: str = "0s"

    # -- the socket
    handshake_timeout: float = 5.0
    """How long WORKER_CONNECT may take; then the connection is dropped without a close frame."""
    heartbeat_timeout: float | None = None
    """Silence after which a connection is dropped. None: five `heartbeat_interval`s; 50 s if that is nonsense or under 10 ms."""
    close_timeout: float = 5.0
    """How long a close frame waits for its answer."""
    drain_window: float = 25.0
    """From GATEWAY_CLOSING to the close 1001."""
    apps_limit: int = 10

    # -- starting
    signing_keys: Collection[str] = ()
    """Plain keys that are accepted, hashed or not; none: everyone is let in, as by the dev server."""
    groups: Sequence[str] = ("gw-dev",)
    """Gateway groups, handed out in turn."""
    respect_exclusions: bool = True
    """Skip the groups of `exclude_gateways` while another one is left."""
    session_lifetime: float = 300.0
    advertise: Callable[[str], str] | None = None
    """Given the true gateway endpoint, returns the one that start answers."""

    # -- requests and leases
    ack_timeout: float = 125.0
    """Without WORKER_REQUEST_ACK for this long a request is forwarded again."""
    forwards: int = 3
    """Forwards before an attempt is used up."""
    routing_timeout: float = 10.0
    """How long a request waits for a connection that takes it, before `connect_no_healthy_connection`."""
    lease_duration: float = 120.0
    lease_grace: float | None = None
    """How long after its expiry a lease is given up. None: 1/24 of `lease_duration`, the server's 5 s of 120."""
    lease_replay: bool = True
    """Answer an extension with the previous lease id by the current one; False: a server before inngest/inngest#4687."""

    # -- runs
    time_scale: float | None = None
    """What a run's sleeps, back-offs and timeouts are multiplied by. None: each is cut to 20 ms at most."""
    payload_limit: int = 4 * 1024 * 1024
    """Bytes of request JSON above which steps, then events, are left to the API (`use_api`)."""
    system_trace_ctx: bytes | None = None
    user_trace_ctx: bytes | None = None
    """The trace contexts of every request; None: a traceparent of the run's own, and `{}`."""

    # -- the books
    log_capacity: int = 100_000
    ledger_capacity: int = 100_000
    """Records, and requests and runs, that are kept; the oldest go first."""

    @property
    def silence_limit(self) -> float:
        """Seconds without a heartbeat after which a connection is dropped."""
        if self.heartbeat_timeout is not None:
            return self.heartbeat_timeout
        interval = durations.step_seconds(self.heartbeat_interval, 10.0)
        return 5 * (interval if interval >= 0.01 else 10.0)

    @property
    def grace(self) -> float:
        """Seconds that a lapsed lease is still waited for."""
        return self.lease_duration / 24 if self.lease_grace is None else self.lease_grace

    def shortened(self, seconds: float) -> float:
        """What a run waits where the server would wait *seconds*."""
        return min(seconds, SHORT_WAIT) if self.time_scale is None else seconds * self.time_scale
