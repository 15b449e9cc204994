"""The settings that the worker gives to a process when it starts it.

They go over the process's standard input: a command line can be read by other users, and they hold the signing key.
"""

import marshal
from dataclasses import asdict, dataclass
from typing import IO

in_pool_process = False
"""Whether this process is one of a pool, and not a worker. Importing the apps there must not start a worker of its own."""


@dataclass(frozen=True)
class ProcessSetup:
    """What a process needs to import the apps and log as the worker does. It holds the signing key, which `repr` does not show."""

    number: int
    """The process's slot in the pool, from 1."""
    apps: str
    """`MODULE:APPS`."""
    signing_key: str | None
    parent: int
    """The worker's process id."""
    path: list[str]
    """The worker's `sys.path`."""
    python_path: str | None
    """What to set the variable `PYTHONPATH` to; None: unset it. It is started with another value, so that it finds this package."""
    levels: dict[str, int]
    """Log levels by logger; "" is the root's."""
    signals: list[int]
    """Signals that a terminal or a supervisor sends to all processes of a worker, and that only the worker acts on."""
    json_logs: bool
    """Whether the worker logs as JSON."""
    traces: bool
    """Whether to open a span for each execution."""
    stall_warning: float | None = None
    """Seconds that an async function may block the event loop, or a sync one wait for a thread; None or 0: no watch."""
    pipe: int = -1
    """The file descriptor of the process's end of the pipe."""

    @property
    def name(self) -> str:
        """The process's name, in log records and in the list of processes."""
        return f"connect-{self.number}"

    def write(self, stream: IO[bytes]) -> None:
        """Raises: BrokenPipeError, OSError: the process has ended."""
        stream.write(marshal.dumps(asdict(self)))

    @classmethod
    def read(cls, stream: IO[bytes]) -> "ProcessSetup":
        """Read *stream* to its end."""
        return cls(**marshal.loads(stream.read()))  # noqa: S302 - from our own process

    def __repr__(self) -> str:
        return f"<ProcessSetup of {self.name}: {self.apps}>"
