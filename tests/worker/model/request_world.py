"""Makes the events of a request happen: the first for function `app-long`."""

import asyncio
from dataclasses import replace
from typing import Any, ClassVar

import aiohttp
import pytest
from journal import Journal
from rig import PATIENT
from routes import Needs
from world import LONG, SHORT, World

from connect import ConnectionState, wire
from connect.gateway import Kind
from statecharts import Request


class Valve:
    """Holds frames that the worker writes, by kind, as a full socket does."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._held: dict[int, asyncio.Future[None]] = {}
        send_bytes = aiohttp.ClientWebSocketResponse.send_bytes

        async def send(socket: aiohttp.ClientWebSocketResponse, data: bytes, compress: int | None = None) -> None:
            held = self._held.get(wire.ConnectMessage.FromString(data).kind)
            if held:
                await asyncio.shield(held)
            await send_bytes(socket, data, compress)

        patch.setattr(aiohttp.ClientWebSocketResponse, "send_bytes", send)

    def hold(self, kind: int) -> None:
        """Hold frames of *kind*."""
        self._held[kind] = asyncio.get_running_loop().create_future()

    def release(self, kind: int) -> None:
        """Write the held frames."""
        held = self._held.pop(kind, None)
        if held and not held.done():
            held.set_result(None)

    def fail(self, kind: int) -> None:
        """Fail to write the held frames."""
        self._held[kind].set_exception(ConnectionResetError("Cannot write to closing transport"))


class RequestWorld(World):
    """The worker's ACK is held, and the gateway confirms no reply and answers no flush; the path does."""

    needs: ClassVar[Needs] = {
        "finished": Request.tasks["handler"],
        "reply_acked": ("send_reply", "forget"),
        "reply_lost": Request.tasks["wait for REPLY_ACK"],
        "flush_ok": Request.tasks["flush"],
        "flush_failed": Request.tasks["flush"],
    }

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.valve = Valve(args[-1])

    @property
    def subject(self) -> Journal | None:
        slug = self.jobs[0].slug
        found = (each for each in self.journals.of(Request) if each.actor.data.function_slug == slug)
        return next(found, None)

    def shown(self) -> list[set[str]]:
        assert self.subject
        actor, open_ = self.subject.actor, self.worker.status().in_flight
        return [{actor.state.upper()}, *({each.state} for each in open_ if each.request_id == actor.id)]

    async def prepare(self) -> None:
        """The flush timeout is short if the path needs that, and a lost lease cancels if the path says so."""
        events = self.path.events
        out = SHORT if "discard" in events else LONG
        self.worker = await self.start(
            ready=True,
            deadlines=replace(PATIENT, settle=LONG, reply_ack=SHORT if "reply_lost" in events else LONG),
            on_lease_lost="cancel" if self.path.says("cancel_on_loss") else "finish",
            shutdown_timeout=out,
            flush_timeout=out,
        )
        self.gw.faults.lose(Kind.WORKER_REPLY_ACK, count=None)
        self.gw.flushes.hold()

    async def end(self) -> None:
        self.valve.release(Kind.WORKER_REQUEST_ACK)
        await super().end()

    # -- from its coming to its function

    async def accept(self) -> None:
        self.valve.hold(Kind.WORKER_REQUEST_ACK)
        self.run = self.gw.start_run(self.jobs[0].slug)

    async def begin(self) -> None:
        self.valve.release(Kind.WORKER_REQUEST_ACK)

    async def ack_failed(self) -> None:
        self.valve.fail(Kind.WORKER_REQUEST_ACK)

    async def lease_lost(self) -> None:
        nack = wire.WorkerRequestExtendLeaseAckData(request_id=self.id)
        await self.gw.connections[0].send(Kind.WORKER_REQUEST_EXTEND_LEASE_ACK, nack)

    # -- its reply

    async def finished(self) -> None:
        if "link_up" not in self.move.truths:
            await self._be_without_a_current_link()
        self.jobs[0].release.set()

    async def redelivered(self) -> None:
        """Without a current link the request comes over the retired one, which is still read."""
        if "link_up" in self.move.truths:
            await self._have_a_link()
        over = -1 if "link_up" in self.move.truths else 0
        await self.gw.redeliver(self.id, self.gw.connections[over])

    async def reply_acked(self) -> None:
        self.gw.faults.clear()
        data = wire.WorkerReplyAckData(request_id=self.id)
        await self.gw.connections[-1].send(Kind.WORKER_REPLY_ACK, data)

    async def reply_lost(self) -> None:
        """Nothing to do: the time to confirm the reply is short."""

    async def flush_ok(self) -> None:
        self.gw.flushes.release()

    async def flush_failed(self) -> None:
        if "link_up" in self.move.truths:
            await self._have_a_link()
        self.gw.flushes.push(500)
        self.gw.flushes.release()

    async def discard(self) -> None:
        """The server refuses a buffered reply for good; anything else is given up at the end of a shutdown."""
        if "buffered" in self.here:
            self.gw.flushes.push(400)
            self.gw.flushes.release()
        else:
            await self.worker.close()

    @property
    def id(self) -> str:
        """The request's id."""
        return self.run.requests[0]

    async def _be_without_a_current_link(self) -> None:
        """Drop the link that replaced the first. The first one stays, since the gateway has not confirmed another reply there."""
        await self.work(self.jobs[1])
        self.jobs[1].release.set()
        await self.gw.wait_for(Kind.WORKER_REPLY)
        await self.gw.drain()
        await self.gw.wait_for_worker()
        self.gw.starts.hold()
        self.gw.connections[-1].drop()
        await self.journals.until(lambda: self.worker.get_state() is ConnectionState.RECONNECTING)

    async def _have_a_link(self) -> None:
        self.gw.starts.release()
        await self.gw.wait_for_worker()
