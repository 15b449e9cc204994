"""What the test gateway does wrong on demand: it loses, delays, repeats or replaces frames, and gives scripted HTTP answers."""

import asyncio
import math
from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol, TypeAlias

from google.protobuf.message import Message

from connect.gateway.log import Kind
from connect.wire import SystemError as SyncError

Act: TypeAlias = Literal["lose", "delay", "repeat", "replace", "cut"]


class Numbered(Protocol):
    """What a fault needs of a connection."""

    number: int


@dataclass(slots=True)
class Fault:
    """A fault for the next `left` frames of a kind; None: for all of them."""

    act: Act
    left: int | None
    connection: int | None
    seconds: float = 0.0
    payload: Message | bytes = b""
    code: int | None = None
    reason: str = ""


class Faults:
    """Faults by frame kind. A kind has one direction, so each method works for frames from and to the worker alike.

    *count*: how many frames the fault hits, None for all from now on. *connection*: hit the frames of this socket only.
    """

    def __init__(self) -> None:
        self._faults: defaultdict[int, list[Fault]] = defaultdict(list)
        self.nacks = 0
        """How many more lease extensions the gateway refuses."""
        self.sync_failures: deque[SyncError] = deque()
        """The errors with which the next syncs fail."""

    def lose(self, kind: int, count: int | None = 1, connection: Numbered | None = None) -> None:
        """The frame never arrives. A lost GATEWAY_CONNECTION_READY leaves the connection in its handshake."""
        self._add(kind, Fault("lose", count, _number(connection)))

    def delay(self, kind: int, seconds: float, count: int | None = 1, connection: Numbered | None = None) -> None:
        """The frame arrives *seconds* later. Other frames overtake it, except in the handshake."""
        self._add(kind, Fault("delay", count, _number(connection), seconds=seconds))

    def repeat(self, kind: int, count: int | None = 1, connection: Numbered | None = None) -> None:
        """The frame arrives twice."""
        self._add(kind, Fault("repeat", count, _number(connection)))

    def replace(
        self, kind: int, payload: Message | bytes, count: int | None = 1, connection: Numbered | None = None
    ) -> None:
        """The frame arrives with this *payload* instead of its own."""
        self._add(kind, Fault("replace", count, _number(connection), payload=payload))

    def cut(
        self,
        kind: int,
        count: int | None = 1,
        connection: Numbered | None = None,
        *,
        code: int | None = None,
        reason: str = "",
    ) -> None:
        """Instead of the frame, its connection is dropped, or with *code* closed."""
        self._add(kind, Fault("cut", count, _number(connection), code=code, reason=reason))

    def nack(self, count: int = 1) -> None:
        """Refuse the next *count* lease extensions."""
        self.nacks += count

    def fail_sync(self, message: str = "At least one function is invalid", code: str = "", count: int = 1) -> None:
        """Answer the next *count* handshakes with SYNC_FAILED and a close 1008 whose reason is *code*."""
        self.sync_failures.extend([SyncError(code=code, message=message)] * count)

    def clear(self) -> None:
        """Remove every fault."""
        self._faults.clear()
        self.sync_failures.clear()
        self.nacks = 0

    def take(self, kind: int, connection: Numbered) -> Fault | None:
        """The fault that hits this frame, counted down; None: no fault. For the gateway itself."""
        if kind not in self._faults:
            return None
        for fault in self._faults[kind]:
            if fault.connection in (None, connection.number):
                self._count(kind, fault)
                return fault
        return None

    def take_nack(self) -> bool:
        """Whether to refuse this extension, counted down. For the gateway itself."""
        self.nacks -= (refused := self.nacks > 0)
        return refused

    def _add(self, kind: int, fault: Fault) -> None:
        self._faults[kind].append(fault)

    def _count(self, kind: int, fault: Fault) -> None:
        if fault.left is None:
            return
        fault.left -= 1
        if fault.left == 0:
            self._faults[kind].remove(fault)
            if not self._faults[kind]:
                del self._faults[kind]


def _number(connection: Numbered | None) -> int | None:
    return connection.number if connection else None


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to an HTTP request: after *delay* seconds, with this status and these headers, and with *body* if one is given.

    With status 200 and no body the gateway answers as the server would.
    """

    status: int = 200
    body: bytes | None = None
    delay: float = 0.0
    headers: Mapping[str, str] = field(default_factory=dict)


HANG: Final = Answer(delay=math.inf)
"""No answer until the gateway stops."""


@dataclass(slots=True)
class Script:
    """The answers of one HTTP endpoint: those that were pushed, one request each, and then `standing` for all others."""

    standing: Answer = field(default_factory=Answer)
    _line: deque[Answer] = field(default_factory=deque)
    _flowing: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._flowing.set()

    def push(self, *answers: Answer | int) -> None:
        """Answer the next requests with *answers*, one each; a bare number is a status."""
        self._line.extend(Answer(answer) if isinstance(answer, int) else answer for answer in answers)

    def clear(self) -> None:
        """Answer every request as the server would."""
        self._line.clear()
        self.standing = Answer()

    def hold(self) -> None:
        """Keep every request waiting, until `release()` or until the gateway stops."""
        self._flowing.clear()

    def release(self) -> None:
        """End `hold`: answer the requests that have waited as if they came now."""
        self._flowing.set()

    async def take(self) -> Answer:
        """The answer to the request that has just come, once none is held. For the gateway itself."""
        await self._flowing.wait()
        return self._line.popleft() if self._line else self.standing


GARBAGE: Final[dict[str, bytes | str]] = {
    "truncated frame": bytes((8, Kind.GATEWAY_EXECUTOR_REQUEST, 18, 40, 1, 2)),
    "no protobuf": b"\xff" * 16,
    "text": "not a frame",
    "empty text": "",
    "unknown kind": bytes((8, 99)),
    "request without a payload": bytes((8, Kind.GATEWAY_EXECUTOR_REQUEST)),
    "request with another's payload": bytes((8, Kind.GATEWAY_EXECUTOR_REQUEST, 18, 2, 8, 1)),
    "lease answer for nobody": bytes((8, Kind.WORKER_REQUEST_EXTEND_LEASE_ACK)),
    "reply answer for nobody": bytes((8, Kind.WORKER_REPLY_ACK)),
    "undecodable lease answer": bytes((8, Kind.WORKER_REQUEST_EXTEND_LEASE_ACK, 18, 2, 255, 255)),
    "undecodable reply answer": bytes((8, Kind.WORKER_REPLY_ACK, 18, 2, 255, 255)),
    "a worker's own kind": bytes((8, Kind.WORKER_CONNECT)),
    "second hello": b"",
}
"""Messages that no gateway should send, for `Connection.send_raw`; the key says what is wrong with each."""
