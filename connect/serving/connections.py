"""The connections of an HTTP server: how many there may be, and how long a peer may take.

A connection is busy while its request is handled; else it waits: for a request, for the rest of one, or for the peer to read the
answer. What waits for too long is closed. If there are too many, the one that has waited longest makes room for a new one, so that
a probe gets through however many idle or half-open connections there are.
"""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Final, cast

from connect.log_format import REPEATS
from connect.loops import forks
from connect.redaction import logger

REQUEST_SECONDS: Final = 10.0
"""How long a connection may take for a request, its body included, from when it opens or from the request's first byte."""
IDLE_SECONDS: Final = 75.0
"""How long it may do nothing after an answer. Prometheus asks once a minute by default, over the same connection."""

log = logger("connect.http")


class Connections:
    """The open connections of one server, at most *most*. Used on its loop only."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._busy: set[Connection] = set()
        self._waiting: dict[Connection, None] = {}  # in the order in which they began to wait

    def __len__(self) -> int:
        return len(self._busy) + len(self._waiting)

    def admit(self, new: "Connection") -> bool:
        """Count *new* as waiting, and close another one if there are too many. False: all are busy, so *new* has no place."""
        if len(self) >= self._most:
            if not self._waiting:
                log.warning("refused an HTTP connection: %d are busy, the most at once", self._most, extra=REPEATS)
                return False
            next(iter(self._waiting)).close("it waited longest, and there are too many")
        self._waiting[new] = None
        return True

    def waits(self, connection: "Connection") -> None:
        """*connection* waits, from now on."""
        self._busy.discard(connection)
        self._waiting[connection] = None

    def works(self, connection: "Connection") -> None:
        """*connection* is busy, from now on."""
        self._waiting.pop(connection, None)
        self._busy.add(connection)

    def forget(self, connection: "Connection") -> None:
        """*connection* has ended. May be called again."""
        self._busy.discard(connection)
        self._waiting.pop(connection, None)


class Connection(asyncio.Protocol):
    """Passes what comes on to *handler*, the protocol of an HTTP server, and closes the connection if the peer takes too long."""

    def __init__(self, handler: asyncio.Protocol, connections: Connections) -> None:
        self._handler = handler
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._is_busy = False
        self._has_begun = True
        """Bytes of the request that is waited for have come, or it must come at once."""
        self._timer: asyncio.TimerHandle | None = None

    @contextlib.contextmanager
    def busy(self) -> Iterator[None]:
        """A request is handled while the block runs: the peer is not waited for."""
        self._is_busy = True
        self._disarm()
        self._connections.works(self)
        try:
            yield
        finally:
            self._is_busy = self._has_begun = False
            if self._transport:
                self._connections.waits(self)
                self._arm(IDLE_SECONDS, f"it was idle for {IDLE_SECONDS:g} s")
            else:
                self._connections.forget(self)

    def close(self, why: str) -> None:
        """Drop the connection at once."""
        if self._transport:
            log.debug("closed an HTTP connection: %s", why, extra=REPEATS)
            self._transport.abort()
        self._connections.forget(self)

    # -- what the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        tcp = cast(asyncio.Transport, transport)
        if not self._connections.admit(self):
            tcp.abort()
            return
        self._transport = tcp
        forks.close_in_children(self, Connection._descriptors)
        self._arm_for_request()
        self._handler.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if self._transport:
            if not self._is_busy and not self._has_begun:
                self._has_begun = True
                self._arm_for_request()
            self._handler.data_received(data)

    def eof_received(self) -> bool | None:
        return self._handler.eof_received() if self._transport else None

    def pause_writing(self) -> None:
        self._handler.pause_writing()

    def resume_writing(self) -> None:
        self._handler.resume_writing()

    def connection_lost(self, error: Exception | None) -> None:
        self._disarm()
        if self._transport:
            self._transport = None
            self._handler.connection_lost(error)
        if not self._is_busy:
            self._connections.forget(self)

    def _descriptors(self) -> list[int]:
        sock = self._transport and self._transport.get_extra_info("socket")
        return [sock.fileno()] if sock else []

    def _arm_for_request(self) -> None:
        self._arm(REQUEST_SECONDS, f"it sent no whole request within {REQUEST_SECONDS:g} s")

    def _arm(self, seconds: float, why: str) -> None:
        self._disarm()
        self._timer = self._loop.call_later(seconds, self.close, why)

    def _disarm(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
