"""The test gateway's log: a record of each frame, call and connection, in order, to search or to wait for."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, Literal, TypeAlias, TypeVar

from google.protobuf.message import Message

from connect.gateway.newest import Newest
from connect.wire import GatewayMessageType
from connect.wire.codec import kind_name

Kind = GatewayMessageType

UNREADABLE: Final = -1
"""The `kind` of a message that does not decode as a ConnectMessage."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame that came `in` from a worker or went `out` to one.

    `connection` is the socket's number, counted from 1; `message` is the decoded payload, None if there is none or it does not
    decode; `size` is in bytes; `fault` names the fault that swallowed the frame ("lose", "cut", "mute"), "" if none did.
    """

    at: float
    connection: int
    direction: Literal["in", "out"]
    kind: int
    message: Message | None
    size: int
    fault: str = ""

    def __str__(self) -> str:
        arrow = "<-" if self.direction == "in" else "->"
        return f"#{self.connection} {arrow} {kind_name(self.kind)}" + (f" ({self.fault})" if self.fault else "")


@dataclass(frozen=True, slots=True)
class Call:
    """An HTTP request: its path, headers (lower-case names) and decoded body, and the status of the answer."""

    at: float
    path: str
    status: int
    message: Message | None
    headers: Mapping[str, str] = field(repr=False, default_factory=dict)

    def __str__(self) -> str:
        return f"{self.path} {self.status}"


@dataclass(frozen=True, slots=True)
class Opened:
    """A socket was upgraded."""

    at: float
    connection: int

    def __str__(self) -> str:
        return f"#{self.connection} opened"


@dataclass(frozen=True, slots=True)
class Ended:
    """A socket has ended: which side ended it, with which close code (1006: without a close frame) and reason."""

    at: float
    connection: int
    by: Literal["worker", "gateway"]
    code: int
    reason: str = ""

    def __str__(self) -> str:
        return f"#{self.connection} ended by the {self.by}: {self.code} {self.reason}".rstrip()


@dataclass(frozen=True, slots=True)
class Retry:
    """An execution failed; attempt `attempt` of `attempts` follows in `delay` seconds."""

    at: float
    slug: str
    run_id: str
    attempt: int
    attempts: int
    delay: float

    def __str__(self) -> str:
        return f"{self.slug}  attempt {self.attempt} of {self.attempts} in {self.delay:g} s"


@dataclass(frozen=True, slots=True)
class Unheard:
    """An event came that triggers no function and resumes no run."""

    at: float
    event: str

    def __str__(self) -> str:
        return f"{self.event}: no function listens"


Record: TypeAlias = Frame | Call | Opened | Ended | Retry | Unheard
Matcher: TypeAlias = Callable[[Record], bool]
_Watcher: TypeAlias = Callable[[Record | None], None]
_T = TypeVar("_T")


_OVERHEAD: Final = 500
"""Bytes that a record holds besides its message and headers."""


class Log:
    """The newest records: at most *capacity* of them, and at most *size* bytes. Used on the gateway's loop only."""

    def __init__(self, capacity: int, size: int) -> None:
        self._records: Newest[int, Record] = Newest(capacity, size)
        self._watchers: list[_Watcher] = []
        self.total = 0
        """How many records were ever added. As a mark it stands for the log's present end: see `since`."""

    def __iter__(self) -> Iterator[Record]:
        return iter(list(self._records))

    def __len__(self) -> int:
        return len(self._records)

    def add(self, record: Record) -> None:
        """Append *record*, and end the waits for it."""
        self.total += 1
        self._records.add(self.total, record, _size(record))
        self.changed(record)

    def changed(self, record: Record | None = None) -> None:
        """Let every `until` ask its condition again: what it depends on may change without a record."""
        for watch in list(self._watchers):
            watch(record)

    def since(self, mark: int) -> Iterator[Record]:
        """The records after *mark*, an earlier `total`."""
        skipped = self.total - len(self._records)
        return islice(list(self._records), max(0, mark - skipped), None)

    def text(self, last: int = 40) -> str:
        """The *last* records, one a line: for the message of a failing test."""
        return "\n".join(f"{record.at:.3f} {record}" for record in list(self._records)[-last:])

    async def wait_for(self, matches: Matcher, *, within: float, count: int, since: int, what: str) -> Record:
        """Return the *count*-th record after *since* that *matches*; wait for it if it is not there yet. Raises: TimeoutError.

        *what* names the record in the error.
        """
        seen = 0
        for record in self.since(since):
            seen += matches(record)
            if seen == count:
                return record
        found: asyncio.Future[Record] = asyncio.get_running_loop().create_future()

        def watch(record: Record | None) -> None:
            nonlocal seen
            if record is not None and matches(record):
                seen += 1
                if seen == count:
                    found.set_result(record)

        return await self._watched(watch, found, within, what)

    async def until(self, condition: Callable[[], bool], *, within: float, what: str) -> None:
        """Return once *condition* holds; it is asked at every record and change. Raises: TimeoutError, in which *what* names it."""
        if condition():
            return
        held: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def watch(_record: Record | None) -> None:
            if condition():
                held.set_result(None)

        await self._watched(watch, held, within, what)

    async def _watched(self, watch: _Watcher, future: asyncio.Future[_T], within: float, what: str) -> _T:
        def guarded(record: Record | None) -> None:
            if future.done():
                return
            try:
                watch(record)
            except Exception as error:
                future.set_exception(error)

        self._watchers.append(guarded)
        try:
            async with asyncio.timeout(within):
                return await future
        except TimeoutError:
            raise TimeoutError(f"no {what} within {within:g} s; the log ends with\n{self.text()}") from None
        finally:
            self._watchers.remove(guarded)


def _size(record: Record) -> int:
    match record:
        case Frame(size=size):
            return _OVERHEAD + size
        case Call(message=message, headers=headers):
            body = message.ByteSize() if message is not None else 0
            return _OVERHEAD + body + sum(len(name) + len(value) for name, value in headers.items())
        case Ended(reason=reason):
            return _OVERHEAD + len(reason)
        case Unheard(event=event):
            return _OVERHEAD + len(event)
    return _OVERHEAD
