"""Makes the events of a link happen: the worker's first."""

from dataclasses import replace
from typing import ClassVar

from rig import PATIENT
from routes import Needs
from world import LONG, Broken, World

from connect import wire
from connect.gateway import Connection, Kind, Opened
from connect.link import Link as Actor

FRAMES = ("gateway_hello", "connection_ready", "sync_failed", "gateway_closing", "lost", "heartbeat_seen")
"""What only an open socket can bring."""


class LinkWorld(World):
    """The gateway answers nothing by itself, neither the start request nor the upgrade nor a frame; the path does."""

    needs: ClassVar[Needs] = dict.fromkeys(FRAMES, ("opened", "close_socket"))
    broken: ClassVar[Broken] = {
        "starting": (Actor, "post_start", 1),
        "up": (Actor, "report_ready", 1),
    }

    @property
    def peer(self) -> Connection:
        """The gateway's end of the link."""
        return self.gw.connections[0]

    def shown(self) -> list[set[str]]:
        assert self.subject
        return [set(self.subject.actor.states)]

    async def prepare(self) -> None:
        self.gw.starts.hold()
        self.gw.sockets.hold()
        self.gw.faults.lose(Kind.GATEWAY_HELLO)
        pause = PATIENT.pause if "pause" in self.path.events else LONG
        self.worker = await self.start(ready=False, deadlines=replace(PATIENT, pause=pause))
        await self.journals.until(lambda: self.subject is not None)

    # -- the handshake

    async def started(self) -> None:
        self.gw.starts.release()
        await self.comes()
        self.gw.starts.hold()

    async def opened(self) -> None:
        """From here on the gateway writes nothing by itself."""
        self.gw.sockets.release()
        await self.gw.wait_for(lambda record: isinstance(record, Opened))
        self.peer.mute()

    async def failed(self) -> None:
        self.gw.starts.push(500)
        self.gw.starts.release()

    async def gateway_hello(self) -> None:
        await self._say(Kind.GATEWAY_HELLO)

    async def connection_ready(self) -> None:
        """On a path about heartbeats they are quick and unanswered; on any other the gateway answers, and none is due."""
        beats = "beat" in self.path.events
        interval = "150ms" if "heartbeat_seen" in self.path.events else "30ms" if beats else "60s"
        self.peer.connected = True
        if not beats:
            self.peer.resume()
        ready = wire.GatewayConnectionReadyData(heartbeat_interval=interval, extend_lease_interval="60s")
        await self._say(Kind.GATEWAY_CONNECTION_READY, ready.SerializeToString())

    async def sync_failed(self) -> None:
        await self._say(Kind.SYNC_FAILED)

    # -- traffic

    async def gateway_closing(self) -> None:
        await self._say(Kind.GATEWAY_CLOSING)

    async def lost(self) -> None:
        self.peer.drop()

    async def close(self) -> None:
        """The worker ends and closes its links. It would pause one that is UP first, unless it had just acknowledged a request."""
        if "up" in self.here:
            await self._work()
        await self.worker.close()
        self.jobs[0].release.set()

    async def pause(self) -> None:
        await self._work()
        await self.worker.close()

    async def retire(self) -> None:
        """A replacement is ready."""
        self.gw.starts.release()

    async def settled(self) -> None:
        """Nothing to do: the link is owed nothing."""

    # -- pulse

    async def beat(self) -> None:
        """Nothing to do: time passes."""

    async def heartbeat_seen(self) -> None:
        await self._say(Kind.GATEWAY_HEARTBEAT)

    async def _work(self) -> None:
        await self.gw.wait_for_worker()
        await self.work(self.jobs[0])

    async def _say(self, kind: Kind.ValueType, payload: bytes = b"") -> None:
        await self.peer.send_raw(wire.ConnectMessage(kind=kind, payload=payload).SerializeToString())
