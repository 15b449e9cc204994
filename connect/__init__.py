"""An Inngest Connect worker whose whole lifecycle is declared as statecharts.

    from connect import connect

    worker = connect([(client, [function])])
    await worker.start()

A drop-in for `inngest.connect`: the same call, the same names. Beyond it: `worker.on(...)`, `worker.events()`, `worker.status()`,
`connect.errors`, `connect.events`, and `connect.gateway`, a gateway to test one's own functions with.
"""

from connect import errors, events
from connect.deadlines import Deadlines
from connect.errors import ConfigurationError, ConnectError
from connect.execution import Executor, Invocation, Outcome
from connect.status import ConnectionState, InFlight, LinkStatus, ProcessStatus, Status, Transition
from connect.worker import WorkerConnection, connect

__all__ = [
    "ConfigurationError",
    "ConnectError",
    "ConnectionState",
    "Deadlines",
    "Executor",
    "InFlight",
    "Invocation",
    "LinkStatus",
    "Outcome",
    "ProcessStatus",
    "Status",
    "Transition",
    "WorkerConnection",
    "connect",
    "errors",
    "events",
]
