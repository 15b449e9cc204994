"""The test gateway's settings: given when it is made, and open to change while it runs."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

from connect.wire import durations

SHORT_WAIT: Final = 0.02
"""Seconds: the most that a sleep, retry delay or timeout of a run lasts, unless `time_scale` is set."""


@dataclass(eq=False, kw_only=True)
class Settings:
    """The defaults are the server's figures (PROTOCOL.md §11.1). Times are seconds; intervals are texts, sent as they are."""

    port: int = 0
    """The loopback port; 0 takes a free one, and keeps it for a `start()` after `stop()`."""

    # -- sent in GATEWAY_CONNECTION_READY
    heartbeat_interval: str = "10s"
    extend_lease_interval: str = "30s"
    status_interval: str = "0s"

    # -- the socket
    handshake_timeout: float = 5.0
    """How long the gateway waits for WORKER_CONNECT before it drops the connection without a close frame."""
    heartbeat_timeout: float | None = None
    """How long the gateway waits for a heartbeat before it drops the connection. None: five times `heartbeat_interval`, or 50 s if
    that interval is not a duration or is under 10 ms."""
    close_timeout: float = 5.0
    """How long the gateway waits for the answer to its close frame."""
    drain_window: float = 25.0
    """From GATEWAY_CLOSING to the close with 1001."""
    apps_limit: int = 10

    # -- starting
    signing_keys: Collection[str] = ()
    """The signing keys that the gateway accepts, as they are or hashed. Empty: it accepts every request, as the dev server does."""
    groups: Sequence[str] = ("gw-dev",)
    """The gateway groups that start requests are answered with, in turn."""
    respect_exclusions: bool = True
    """Whether to skip the groups of `exclude_gateways`, as long as another one is left."""
    session_lifetime: float = 300.0
    advertise: Callable[[str], str] | None = None
    """From the true gateway endpoint to the one in the answer to a start request."""

    # -- requests and leases
    ack_timeout: float = 125.0
    """How long the gateway waits for WORKER_REQUEST_ACK before it forwards a request again."""
    forwards: int = 3
    """How often a request is forwarded before its attempt fails."""
    routing_timeout: float = 10.0
    """How long a request waits for a connection before its attempt fails with `connect_no_healthy_connection`."""
    lease_duration: float = 120.0
    lease_grace: float | None = None
    """How long after its lease expired a request is given up. None: 1/24 of `lease_duration`, the server's 5 s of 120 s."""
    lease_replay: bool = True
    """Whether an extension with the previous lease id is answered with the current one. False: as before inngest/inngest#4687."""

    # -- runs
    time_scale: float | None = None
    """The factor for a run's sleeps, retry delays and timeouts. None: each lasts 20 ms at most."""
    payload_limit: int = 4 * 1024 * 1024
    """Bytes of request JSON above which steps, then events, are left out: the worker fetches them (`use_api`)."""
    system_trace_ctx: bytes | None = None
    user_trace_ctx: bytes | None = None
    """The trace contexts of every request. None: a traceparent made from the run's id, and `{}`."""

    # -- records
    log_capacity: int = 100_000
    ledger_capacity: int = 100_000
    """How many log records, and how many requests and runs, are kept; the oldest are dropped first."""
    record_bytes: int = 256 * 1024 * 1024
    """Bytes that the log holds at most, and as many the requests and the runs; the oldest are dropped first."""

    @property
    def silence_limit(self) -> float:
        """Seconds without a heartbeat after which a connection is dropped."""
        if self.heartbeat_timeout is not None:
            return self.heartbeat_timeout
        interval = durations.step_seconds(self.heartbeat_interval, 10.0)
        return 5 * (interval if interval >= 0.01 else 10.0)

    @property
    def grace(self) -> float:
        """Seconds that a request is waited for after its lease expired."""
        return self.lease_duration / 24 if self.lease_grace is None else self.lease_grace

    def shortened(self, seconds: float) -> float:
        """How many seconds a run waits where the server would wait *seconds*."""
        return min(seconds, SHORT_WAIT) if self.time_scale is None else seconds * self.time_scale
