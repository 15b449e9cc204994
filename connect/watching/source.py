"""What metrics, traces and the live page read from a worker."""

from collections.abc import Callable
from typing import Protocol, TypeVar

from connect.events import Event
from connect.status import Status

_E = TypeVar("_E", bound=Event)


class Source(Protocol):
    """A worker: its events and its status. `WorkerConnection` is one."""

    def on(self, kind: type[_E], callback: Callable[[_E], object]) -> Callable[[], None]: ...
    def status(self) -> Status: ...
