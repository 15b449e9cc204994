"""An Inngest Connect worker whose whole lifecycle is declared as statecharts.

    from connect import connect

    worker = connect([(client, [function])])
    await worker.start()

A drop-in for `inngest.connect`: the same call, the same names. Beyond it: `worker.on(...)`, `worker.events()`, `worker.status()`,
`connect.errors`, `connect.events`, and `connect.gateway`, a gateway to test one's own functions with.
"""

import importlib.util

from connect.loops.quick_import import quickly

TYPE_CHECKING = False
"""As in `typing`, whose import would take longer than all that is imported here."""

if TYPE_CHECKING:
    from connect import errors, events
    from connect.deadlines import Deadlines
    from connect.errors import ConfigurationError, ConnectError
    from connect.execution import Executor, Invocation, Outcome
    from connect.state import ConnectionState, Transition
    from connect.status import InFlight, LinkStatus, ProcessStatus, Status
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

_HOMES = {
    "ConfigurationError": "errors",
    "ConnectError": "errors",
    "ConnectionState": "state",
    "Deadlines": "deadlines",
    "Executor": "execution",
    "InFlight": "status",
    "Invocation": "execution",
    "LinkStatus": "status",
    "Outcome": "execution",
    "ProcessStatus": "status",
    "Status": "status",
    "Transition": "state",
    "WorkerConnection": "worker",
    "connect": "worker",
}
"""The module of each name. It is imported when a name of it is asked for: the command must take signals before that."""


if not TYPE_CHECKING:  # a type checker would take it to have every name

    def __getattr__(name: str) -> object:
        if name in _HOMES:
            value = getattr(quickly(f"connect.{_HOMES[name]}"), name)
        elif name.startswith("_") or importlib.util.find_spec(f"connect.{name}") is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        else:
            value = quickly(f"connect.{name}")
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
