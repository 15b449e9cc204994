"""What a process of the worker is told when it starts: over its standard input, for others can read a command line."""

import marshal
from dataclasses import asdict, dataclass
from typing import IO


@dataclass(frozen=True)
class Setup:
    """All that makes a process like its worker. Holds a secret: `repr` does not show it."""

    number: int
    """Which of the worker's processes it is, from 1."""
    apps: str
    """`MODULE:APPS`."""
    signing_key: str | None
    parent: int
    """The worker's process id."""
    path: list[str]
    """`sys.path`."""
    python_path: str | None
    """What the environment's `PYTHONPATH` is to be; it was lent to find this package."""
    levels: dict[str, int]
    """Log levels by logger; "" is the root's."""
    signals: list[int]
    """Those that only the worker answers to: a terminal or a supervisor sends them to all its processes."""
    json_logs: bool
    """Whether the worker logs as JSON."""
    traces: bool
    """Whether executions have spans."""
    pipe: int = -1
    """The file descriptor of the process's end."""

    @property
    def name(self) -> str:
        """What log records call the process."""
        return f"connect-{self.number}"

    def write(self, stream: IO[bytes]) -> None:
        """Raises: OSError: nobody reads it."""
        stream.write(marshal.dumps(asdict(self)))

    @classmethod
    def read(cls, stream: IO[bytes]) -> "Setup":
        """To the end of *stream*."""
        return cls(**marshal.loads(stream.read()))  # noqa: S302 - from our own process

    def __repr__(self) -> str:
        return f"<Setup of {self.name}: {self.apps}>"
