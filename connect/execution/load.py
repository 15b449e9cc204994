"""The load of an executor: what holds functions up."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from connect.status import ProcessStatus, ThreadStatus


@dataclass(frozen=True)
class Load:
    """Fields of a `Status` that an executor of the worker's own knows."""

    threads: "ThreadStatus | None" = None
    loop_blocks: int = 0
    processes: "tuple[ProcessStatus, ...]" = ()


@runtime_checkable
class Loaded(Protocol):
    """An executor that tells its load. From any thread."""

    @property
    def load(self) -> Load: ...
