"""The status of a worker at one moment, as frozen data. It holds no secret. It is imported when a status is first asked for."""

from dataclasses import dataclass

from connect.state import ConnectionState as ConnectionState
from connect.state import Transition as Transition
from connect.worker_info import AppInfo as AppInfo
from connect.worker_info import WorkerInfo as WorkerInfo


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
