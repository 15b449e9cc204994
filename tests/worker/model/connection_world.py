"""Makes the events of a worker's connection happen."""

from typing import ClassVar

from routes import Needs
from world import LONG, SHORT, Broken, World

from connect.connection import Connection as Actor
from connect.gateway import Kind
from connect.request import Request
from statecharts import Connection


class ConnectionWorld(World):
    """Every dial waits until the path wants a link. Two functions run before anything happens to an ACTIVE worker, unless the path
    is about an idle one.
    """

    needs: ClassVar[Needs] = {
        "link_ready": Connection.tasks["dial loop"],
        "give_up": Connection.tasks["give-up timer"],
    }
    broken: ClassVar[Broken] = {
        "connecting": (Actor, "dial", 1),
        "active": (Request, "start_handler", 1),
        "reconnecting": (Actor, "dial", 2),
        "replacing": (Actor, "dial", 2),
        "stopping": (Actor, "pause_links", 1),
    }

    def shown(self) -> list[set[str]]:
        status = self.worker.status()
        return [{status.state.value, *status.substates}]

    async def prepare(self) -> None:
        self.gw.starts.hold()
        self.worker = await self.start(
            ready=False,
            connect_timeout=SHORT if "connect_timeout" in self.path.events else None,
            shutdown_timeout=SHORT if "deadline" in self.path.events else None,
            flush_timeout=SHORT if "give_up" in self.path.events else LONG,
        )

    async def link_ready(self) -> None:
        self.gw.starts.release()
        await self.comes()
        self.gw.starts.hold()

    async def gateway_closing(self) -> None:
        await self._have_work()
        await self.gw.drain(self.gw.connections[-1])

    async def link_lost(self) -> None:
        await self._have_work()
        self.gw.connections[-1].drop()

    async def shutdown(self) -> None:
        await self._have_work()
        await self.worker.close()

    async def rejected(self) -> None:
        self.gw.starts.push(401)
        self.gw.starts.release()

    async def connect_timeout(self) -> None:
        """Nothing to do: the timeout is short, and no start request is answered."""

    async def work_done(self) -> None:
        self.jobs[1].release.set()

    async def handlers_ended(self) -> None:
        """The functions end; the gateway confirms no reply."""
        self.gw.faults.lose(Kind.WORKER_REPLY_ACK, count=None)
        for job in self.jobs:
            job.release.set()

    async def deadline(self) -> None:
        """Nothing to do: the time for work to end is short, and the functions go on."""

    async def hurry(self) -> None:
        """The task that awaits start() is cancelled."""
        self.worker.task.cancel()

    async def give_up(self) -> None:
        """Nothing to do: the timeout for the last replies is short, and the gateway confirms none."""

    async def error_execution(self) -> None:
        """In ACTIVE an action of the request chart raises: a request comes."""
        if "active" in self.here:
            await self.gw.wait_for_worker()
            self.gw.start_run(self.jobs[0].slug)

    async def _have_work(self) -> None:
        if "active" in self.here and not self.path.says("idle"):
            await self.gw.wait_for_worker()
            await self.work(*self.jobs)
