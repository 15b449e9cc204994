"""The status of a worker at one moment, as frozen data. It holds no secret."""

import enum
from dataclasses import dataclass


class ConnectionState(enum.Enum):
    """The state of a worker: the outermost state of the connection chart.

    `get_state()` never returns CLOSING or PAUSED. They are here for programs that were written for the official client:
    `wait_for_state(CLOSING)` waits until a shutdown has begun.
    """

    CONNECTING = "CONNECTING"
    ACTIVE = "ACTIVE"
    DRAINING = "DRAINING"
    RECONNECTING = "RECONNECTING"
    CLOSED = "CLOSED"

    CLOSING = "CLOSING"
    PAUSED = "PAUSED"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class InFlight:
    """A request whose reply is not delivered yet. `state` is the request chart's; `age` is seconds since it was accepted."""

    request_id: str
    run_id: str
    app_name: str
    function_slug: str
    state: str
    age: float
    lease_left: float | None = None
    """Seconds until its lease ends unless it is extended, by this machine's clock; None: it has none, or its id is no ULID."""


@dataclass(frozen=True)
class LinkStatus:
    """A link that is being made, used or closed. `states` are the link chart's active states, outermost first.

    `is_current`: the worker sends lease extensions and replies over it.
    """

    connection_id: str
    gateway_group: str
    states: tuple[str, ...]
    is_current: bool
    gateway: str = ""
    """The host and port that it dialled; "" before."""


@dataclass(frozen=True)
class Transition:
    """A change of state; `at` is Unix time in seconds."""

    at: float
    from_state: ConnectionState | None
    to_state: ConnectionState
    event: str


@dataclass(frozen=True)
class ThreadStatus:
    """The threads for sync functions. `waiting`: calls that wait for one now. `waited`: calls that ever had to."""

    threads: int
    waiting: int = 0
    waited: int = 0

    def __add__(self, other: "ThreadStatus") -> "ThreadStatus":
        return ThreadStatus(self.threads + other.threads, self.waiting + other.waiting, self.waited + other.waited)


@dataclass(frozen=True)
class ProcessStatus:
    """A process of `isolation="process"`. `number` is its slot in the pool, from 1; `restarts`: processes that had the slot before.

    `in_flight`: executions that it runs. `served`: executions that it has finished. `threads`: its own; None: sync functions run on
    its event loop. `loop_blocks`: how often a function blocked its event loop for longer than `stall_warning`.
    """

    number: int
    pid: int
    in_flight: int
    served: int
    restarts: int
    threads: ThreadStatus | None = None
    loop_blocks: int = 0


@dataclass(frozen=True)
class AppInfo:
    """An app of this worker, with the ids of its functions as requests name them, those of `on_failure` too."""

    app_id: str
    version: str | None
    functions: tuple[str, ...]


@dataclass(frozen=True)
class WorkerInfo:
    """Which worker this is: nothing of it changes while it runs.

    `api` is the server's address; `mode` is "cloud" or "dev"; `started_at` is Unix time in seconds. `version` is this package's,
    `sdk_version` that of `inngest`.
    """

    instance_id: str
    host: str
    pid: int
    apps: tuple[AppInfo, ...]
    api: str
    mode: str
    env: str | None
    isolation: str
    version: str
    sdk_version: str
    python_version: str
    aiohttp_version: str
    started_at: float


@dataclass(frozen=True)
class Status:
    """What `conn.status()` returns. `…_ago`: seconds since it last happened on the current link; None: never, or no such link."""

    state: ConnectionState
    substates: tuple[str, ...] = ()
    is_ready: bool = False
    is_closing: bool = False
    active_connection_id: str | None = None
    draining_connection_id: str | None = None
    heartbeat_sent_ago: float | None = None
    heartbeat_received_ago: float | None = None
    frame_received_ago: float | None = None
    links: tuple[LinkStatus, ...] = ()
    """Those that are being made, used or closed, the oldest first."""
    in_flight: tuple[InFlight, ...] = ()
    requests_received: int = 0
    outbox_replies: int = 0
    outbox_bytes: int = 0
    attempts: int = 0
    """Attempts to connect, counted from 1 each time a link is needed."""
    next_retry_in: float | None = None
    """Seconds until the next attempt to connect; None: the worker does not wait for one."""
    last_error: str | None = None
    """Why the last attempt to connect failed; None once a link is ready."""
    excluded_gateways: tuple[str, ...] = ()
    unexpected_events: int = 0
    """Events that a chart did not expect. Each is a bug of this package, and logged at ERROR."""
    history: tuple[Transition, ...] = ()
    """The last fifty changes of state, oldest first."""
    processes: tuple[ProcessStatus, ...] = ()
    """With `isolation="process"`, each process that has not exited: also those that start or end."""
    threads: ThreadStatus | None = None
    """Of all processes together, those that have exited counted in `waited`; None: sync functions run on the event loop."""
    loop_blocks: int = 0
    """How often a function, or other code, blocked the event loop that runs functions for longer than `stall_warning`."""
    worker: WorkerInfo | None = None
    """Which worker this is."""
    uptime: float = 0.0
    """Seconds since it was made by `connect()`."""
