"""The test gateway's dispatcher: it routes requests to workers and takes their replies (PROTOCOL.md §6.4, §8, §11.4)."""

import asyncio
import time

from connect.gateway.granted_leases import Leases
from connect.gateway.ledger import ACKS, Ledger, Request, Via
from connect.gateway.log import Kind, Log
from connect.gateway.settings import Settings
from connect.gateway.worker_socket import Connection
from connect.wire import GatewayExecutorRequestData, SDKResponse

STOPPED_RESPONDING = "connect_worker_stopped_responding"
NO_HEALTHY_CONNECTION = "connect_no_healthy_connection"


class DispatchError(Exception):
    """A request got no reply. The text is the server's syscode, with which the attempt fails."""


class Dispatcher:
    """Takes requests to workers, and their replies back to the callers of `execute`."""

    def __init__(self, settings: Settings, log: Log) -> None:
        self._settings = settings
        self._log = log
        self._turn = 0
        self._arrival: asyncio.Future[None] | None = None
        self.leases = Leases(settings)
        self.ledger = Ledger(settings.ledger_capacity, settings.record_bytes)
        self.connections: dict[int, Connection] = {}
        """The open sockets, by number."""

    async def execute(self, message: GatewayExecutorRequestData) -> SDKResponse:
        """Send *message* to a worker that has its function, and return the reply. Raises: DispatchError: no reply came."""
        message.lease_id = self.leases.grant(message.request_id)
        request = Request(message, asyncio.get_running_loop().create_future())
        self.ledger.add(request)
        try:
            await self._forwarded(request)
            return await self._answered(request)
        except asyncio.CancelledError:
            request.status = "cancelled"
            raise

    # -- forwarding

    async def _forwarded(self, request: Request) -> None:
        for _ in range(self._settings.forwards):
            connection = await self._routed(request)
            if await self._taken(request, connection):
                return
        request.status = "undelivered"
        raise DispatchError(STOPPED_RESPONDING)

    async def _taken(self, request: Request, connection: Connection) -> bool:
        verdict = request.verdict = asyncio.get_running_loop().create_future()
        connection.unacked[request.id] = request
        try:
            await self._send(request, connection)
            await asyncio.wait({verdict}, timeout=self._settings.ack_timeout)
        finally:
            connection.unacked.pop(request.id, None)
        return verdict.done() and verdict.result()

    async def _send(self, request: Request, connection: Connection) -> None:
        request.dispatched.append((time.monotonic(), connection.number))
        await connection.send(Kind.GATEWAY_EXECUTOR_REQUEST, request.message)

    async def redeliver(self, request: Request, connection: Connection | None, *, fresh_lease: bool) -> None:
        """Send *request* once more, over *connection* or one that the router picks."""
        if fresh_lease:
            message = GatewayExecutorRequestData()
            message.CopyFrom(request.message)
            message.lease_id = self.leases.renew(request.id)
            request.message = message
        await self._send(request, connection or await self._routed(request))

    # -- routing

    async def _routed(self, request: Request) -> Connection:
        if connection := self._pick(request.message):
            return connection
        request.unrouted += 1
        deadline = time.monotonic() + self._settings.routing_timeout
        while (connection := self._pick(request.message)) is None:
            if not await self._arrived(deadline - time.monotonic()):
                request.status = "undelivered"
                raise DispatchError(NO_HEALTHY_CONNECTION)
        return connection

    def _pick(self, message: GatewayExecutorRequestData) -> Connection | None:
        fit = [c for c in self.connections.values() if c.serves(message.app_name, message.function_slug)]
        self._turn += 1
        return fit[self._turn % len(fit)] if fit else None

    async def _arrived(self, within: float) -> bool:
        if self._arrival is None:
            self._arrival = asyncio.get_running_loop().create_future()
        done, _ = await asyncio.wait({self._arrival}, timeout=max(within, 0))
        return bool(done)

    def arrived(self) -> None:
        """A connection became routable: requests that wait for one look again."""
        if self._arrival is not None:
            self._arrival.set_result(None)
            self._arrival = None

    # -- what workers answer

    def acknowledge(self, request_id: str) -> None:
        """Note a WORKER_REQUEST_ACK. It is matched by request id alone; an unknown id is ignored."""
        if (request := self.ledger.get(request_id)) is not None:
            if len(request.acked) < ACKS:
                request.acked.append(time.monotonic())
            request.decide(accepted=True)

    def extend(self, request_id: str, lease_id: str, instance_id: str, *, refused: bool) -> str | None:
        """Handle a WORKER_REQUEST_EXTEND_LEASE. Returns the new lease id, None for a nack."""
        new = None if refused else self.leases.extend(request_id, lease_id, instance_id)
        if (request := self.ledger.get(request_id)) is not None:
            request.extended += new is not None
            request.nacked += new is None
        return new

    def store(self, reply: SDKResponse, via: Via) -> None:
        """Keep the first reply of a request; count the rest."""
        request = self.ledger.get(reply.request_id)
        if request is None:
            self.ledger.note_stranger(reply.request_id)
        elif request.reply is not None:
            request.duplicates += 1
        else:
            self.ledger.note_reply(request, reply, via)
            request.decide(accepted=True)
            if not request.answer.done():
                request.answer.set_result(reply)

    async def _answered(self, request: Request) -> SDKResponse:
        while not request.answer.done():
            left = self.leases.expires(request.id) + self._settings.grace - time.monotonic()
            if left <= 0:
                request.status = "lapsed"
                raise DispatchError(STOPPED_RESPONDING)
            await asyncio.wait({request.answer}, timeout=left)
        self.leases.delete(request.id)
        request.status = "replied"
        self._log.changed()
        return request.answer.result()
