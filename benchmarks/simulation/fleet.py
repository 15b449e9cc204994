"""The workers of a simulation: each is a real `Connection`, with its charts, dialler, backoff and outbox."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Final

import inngest
import tenacity

from benchmarks.simulation.engine import tabled
from benchmarks.simulation.policies import Policy
from benchmarks.simulation.record import Record
from benchmarks.simulation.region import Network, Region, Strength
from connect.configuration import Configuration, resolve
from connect.connection import Connection
from connect.events import Reconnecting
from connect.execution import Invocation, Outcome
from connect.listeners import Listeners
from connect.options import Options
from connect.wire import SDKResponseStatus

SPREAD: Final = 20.0
"""Seconds over which the fleet starts: workers that have run for long beat at times of their own."""
RTT: Final = (0.005, 0.08)
"""Seconds to the server and back: each worker has its own."""
GROUPS: Final = 4


class _Sleeper:
    """An executor whose work is to wait for as many seconds as the payload says."""

    async def start(self) -> None:
        """There is nothing to start."""

    async def execute(self, invocation: Invocation) -> Outcome:
        await asyncio.sleep(float(invocation.payload))
        return Outcome(SDKResponseStatus.DONE, b"1")

    async def stop(self) -> None:
        """There is nothing to stop."""


class Fleet:
    """*size* workers, numbered from 0, that reconnect by *policy*; and the region that they reach."""

    def __init__(self, size: int, policy: Policy, strength: Strength, seed: int) -> None:
        self.size = size
        self.rng = random.Random(seed)
        self.record = Record()
        self.region = Region(strength, GROUPS, self.record, random.Random(self.rng.random()))
        self.owed: list[str] = []
        """Ids of the requests that were sent."""
        self.given_up = 0
        self._policy = policy
        self._known = _configuration()
        self._connections: dict[int, Connection] = {}
        self._running: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """All workers are connected; at the end all have ended."""
        with tabled():
            for worker in range(self.size):
                self._begin(worker, self.rng.uniform(0.0, SPREAD))
            await asyncio.sleep(2 * SPREAD)
            yield
            for connection in self._connections.values():
                connection.close()
            self.region.is_there = True
            await asyncio.gather(*self._running)

    def restart(self, worker: int, boot: float) -> None:
        """As a deploy does: SIGTERM for this one, and another in its place that is up *boot* seconds later."""
        self._connections.pop(worker).close()
        self._begin(worker, boot)

    def work(self, each: int, longest: float) -> None:
        """Send *each* executions to every worker, which take up to *longest* seconds."""
        for group in self.region.groups:
            for socket in group.sockets:
                for _ in range(each):
                    self.owed.append(f"request-{len(self.owed)}")
                    socket.request(self.owed[-1], self.rng.uniform(0.0, longest))

    def _begin(self, worker: int, delay: float) -> None:
        task = asyncio.create_task(self._live(worker, delay))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _live(self, worker: int, delay: float) -> None:
        await asyncio.sleep(delay)
        connection = self._connections[worker] = self._connection(worker)
        await connection.run()

    def _connection(self, worker: int) -> Connection:
        rng = random.Random(self.rng.random())
        network = Network(self.region, worker, rng.uniform(*RTT))
        flush = self._policy.flush
        known = replace(
            self._known,
            options=replace(self._known.options, retry=tenacity.AsyncRetrying(wait=flush) if flush else None),
            rng=rng,
            network=network.reached,
            backoff=lambda: self._policy.backoff(self._known.keyring, rng),
        )
        listeners = Listeners()
        connection = Connection(known, _Sleeper(), listeners)
        if self._policy.tries:
            listeners.on(Reconnecting, lambda event: self._count(connection, event))
        return connection

    def _count(self, connection: Connection, event: Reconnecting) -> None:
        if event.attempt == self._policy.tries:
            self.given_up += 1
            connection.close()


def _configuration() -> Configuration:
    client = inngest.Inngest(app_id="fleet", is_production=False, api_base_url="http://fleet.invalid")

    @client.create_function(fn_id="work", trigger=inngest.TriggerEvent(event="fleet/work"))
    async def work(ctx: inngest.Context) -> None:
        """Never called."""

    return resolve(Options([(client, [work])], instance_id="fleet", shutdown_signals=[], log_executions=False))
