"""The frames that a gateway sends over one link: each is decoded, and told to the link's chart or to the requests.

Frames about work (requests, lease and reply ACKs) do not pass through the chart: while the link is UP they go straight to the
requests, before that they are out of order and end the handshake. What means nothing is ignored and counted, so that a gateway that
sends nothing else can be left (connect.transport.flood).
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

from connect import wire
from connect.errors import GatewayDraining, ProtocolError, SyncFailed
from connect.events import HeartbeatAnswered
from connect.listeners import Listeners
from connect.log_format import REPEATS
from connect.redaction import logger, peer_text
from connect.wire import codec
from connect.wire.codec import Kind

if TYPE_CHECKING:
    from connect.link_owner import LinkWork

NAME_LENGTH: Final = 1_000
"""Characters of an id or a name in a request. They are keys, and go to listeners; a request with a longer one is ignored."""

CLOSINGS: Final = 10
"""So many GATEWAY_CLOSING of one link are heard; each further one would cost as much, and say nothing new."""

log = logger("connect.link")


@dataclass
class Facts:
    """When a link sent or received what; times are the loop's clock, None for never."""

    heartbeat_sent: float | None = None
    heartbeat_seen: float | None = None
    frame_seen: float | None = None
    last_ack: float = float("-inf")


class Receiver(Protocol):
    """The link whose frames these are."""

    facts: Facts

    @property
    def connection_id(self) -> str: ...

    def tell(self, event: str, **data: object) -> bool:
        """Fire *event* into the link's chart. Returns: whether it meant something in the present states."""


L = TypeVar("L", bound=Receiver)


class Frames(Generic[L]):
    """Takes the frames of *link*. On the connection's loop only. *carries_work*: the link is UP."""

    def __init__(self, link: L, work: "LinkWork[L]", listeners: Listeners) -> None:
        self._link = link
        self._work = work
        self._listeners = listeners
        self._loop = asyncio.get_running_loop()
        self._facts = link.facts
        self._ignored: Counter[str] = Counter()
        self._closings = 0
        self.carries_work = False

    def take(self, data: bytes | None) -> bool:
        """Handle a frame; None is a text frame. Returns: whether it meant something here."""
        self._facts.frame_seen = self._loop.time()
        if data is None:
            return self._ignore("text frame")
        try:
            frame = codec.decode(data)
        except ProtocolError:
            return self._ignore("undecodable frame")
        handle = _HANDLERS.get(frame.kind)
        if handle is None:
            return self._ignore(codec.kind_name(frame.kind))
        if frame.kind in _WORK and not self.carries_work:
            early = f"{codec.kind_name(frame.kind)} came before GATEWAY_CONNECTION_READY"
            return self._link.tell("lost", error=ProtocolError(early))
        return handle(self, frame.payload)

    def _ignore(self, what: str) -> bool:
        """Log the first such frame of this link, the second, the fourth, the eighth and so on."""
        kind = "unknown kind" if what.startswith("kind ") else what  # there are billions of those
        self._ignored[kind] += 1
        count = self._ignored[kind]
        if count & (count - 1) == 0:
            # Summed up: a newer gateway may have a kind that it sends all the time.
            about = {"connection_id": self._link.connection_id, **REPEATS}
            name, times = self._link.connection_id, f" ({count} times)" if count > 1 else ""
            log.warning("%s: ignored a frame that means nothing here: %s%s", name, what, times, extra=about)
        return False

    def _on_hello(self, _: object) -> bool:
        return self._link.tell("gateway_hello")

    def _on_ready(self, data: wire.GatewayConnectionReadyData) -> bool:
        return self._link.tell("connection_ready", data=data)

    def _on_heartbeat(self, _: object) -> bool:
        facts, now = self._facts, self._loop.time()
        sent, seen = facts.heartbeat_sent, facts.heartbeat_seen
        if sent is not None and (seen is None or seen < sent):
            self._listeners.emit(HeartbeatAnswered(connection_id=self._link.connection_id, round_trip=now - sent))
        facts.heartbeat_seen = now
        return self._link.tell("heartbeat_seen")

    def _on_closing(self, _: object) -> bool:
        if self._closings == CLOSINGS:
            return self._ignore("GATEWAY_CLOSING")
        self._closings += 1
        return self._link.tell("gateway_closing", error=GatewayDraining("the gateway is being drained"))

    def _on_sync_failed(self, data: wire.SystemError) -> bool:
        code, message = peer_text(data.code), peer_text(data.message)
        said = ": ".join(text for text in (code, message) if text) or "no reason given"
        return self._link.tell("sync_failed", error=SyncFailed(f"the server refused the functions: {said}", code))

    def _on_request(self, data: wire.GatewayExecutorRequestData) -> bool:
        names = (data.request_id, data.run_id, data.app_name, data.function_slug, data.lease_id)
        if max(map(len, names)) > NAME_LENGTH:
            return self._ignore(f"GATEWAY_EXECUTOR_REQUEST with a name of over {NAME_LENGTH} characters")
        return self._work.receive(data, self._link)

    def _on_reply_ack(self, data: wire.WorkerReplyAckData) -> bool:
        return self._work.reply_acked(data.request_id, self._link)

    def _on_lease_ack(self, data: wire.WorkerRequestExtendLeaseAckData) -> bool:
        return self._work.lease_answered(data, self._link)


_HANDLERS: Final[dict[int, Callable[..., bool]]] = {
    Kind.GATEWAY_HELLO: Frames._on_hello,
    Kind.GATEWAY_CONNECTION_READY: Frames._on_ready,
    Kind.GATEWAY_EXECUTOR_REQUEST: Frames._on_request,
    Kind.WORKER_REPLY_ACK: Frames._on_reply_ack,
    Kind.GATEWAY_HEARTBEAT: Frames._on_heartbeat,
    Kind.GATEWAY_CLOSING: Frames._on_closing,
    Kind.WORKER_REQUEST_EXTEND_LEASE_ACK: Frames._on_lease_ack,
    Kind.SYNC_FAILED: Frames._on_sync_failed,
}
_WORK: Final = {Kind.GATEWAY_EXECUTOR_REQUEST, Kind.WORKER_REPLY_ACK, Kind.WORKER_REQUEST_EXTEND_LEASE_ACK}
