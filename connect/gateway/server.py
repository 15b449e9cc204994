"""The gateway itself: an aiohttp server on a loopback port, and everything that can be asked of it."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from aiohttp import web

from connect.gateway.api import Api
from connect.gateway.connection import Connection, Phase
from connect.gateway.conversation import CLOSING, Conversation
from connect.gateway.dispatch import Dispatcher
from connect.gateway.faults import Faults, Script
from connect.gateway.handshake import Sessions
from connect.gateway.ledger import Ledger
from connect.gateway.log import Call, Frame, Kind, Log, Record, kind_name
from connect.gateway.run import Function, Run, new_event
from connect.gateway.runs import Driver
from connect.gateway.settings import Settings

HOST = "127.0.0.1"
SUBPROTOCOL = "v0.connect.inngest.com"


@dataclass(eq=False, kw_only=True, repr=False)
class Gateway(Settings):
    """A gateway and its API on one loopback port. Every setting is a keyword, and an attribute that may be changed at any time.

    Use it on one event loop: `async with Gateway() as gw`, or `start()` and `close()`. From other threads, see `in_thread`.
    What it did is in `log`; what it is to do wrong, in `faults` by frame kind, and in `starts`, `sockets` and `flushes` by HTTP.
    """

    def __post_init__(self) -> None:
        self.log = Log(self.log_capacity)
        """Everything that happened, in order."""
        self.faults = Faults()
        """Misbehaviour by frame kind."""
        self.sockets = Script()
        """Answers to WebSocket upgrades: another status than 200 refuses the socket."""
        self._sessions = Sessions(self)
        self._dispatcher = Dispatcher(self, self.log)
        self._driver = Driver(self, self._dispatcher, self.log)
        self._api = Api(self, self.log, self._sessions, self._dispatcher)
        self._runner: web.AppRunner | None = None
        self._refusing = False
        self._sockets_made = 0

    def __repr__(self) -> str:
        return f"<Gateway {self.url} {len(self.connections)} connections, {len(self._driver.runs)} runs>"

    # -- life

    async def start(self) -> None:
        """Listen. After `stop()` on the same port again. Raises: OSError: the port is taken."""
        self._api.stopping.clear()
        app = web.Application(client_max_size=0)
        app.router.add_post("/v0/connect/start", self._api.start)
        app.router.add_post("/v0/connect/flush", self._api.flush)
        app.router.add_get("/v0/connect", self._upgrade)
        app.router.add_get("/v0/runs/{run_id}/actions", self._steps_of_run)
        app.router.add_get("/v0/runs/{run_id}/batch", self._events_of_run)
        app.router.add_post("/e/{key}", self._receive_events)
        app.router.add_get("/ready", self._readiness)
        app.router.add_get("/v0/", self._root)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, HOST, self.port, reuse_address=True).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Be gone, as a killed server: every socket is dropped (1006), the port refuses. Runs wait for the next `start()`."""
        if self._runner is None:
            return
        runner, self._runner = self._runner, None
        self._api.stopping.set()
        for script in (self.starts, self.sockets, self.flushes):
            script.release()
        for site in list(runner.sites):
            await site.stop()
        for connection in self.connections:
            connection.drop()
        await runner.cleanup()

    async def close(self) -> None:
        """Stop, and cancel the runs that have not ended. Idempotent."""
        await self._driver.cancel()
        await self.stop()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # -- who is there

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`: what `INNGEST_DEV` or `api_base_url` takes."""
        return f"http://{HOST}:{self.port}"

    @property
    def connections(self) -> list[Connection]:
        """The open sockets, oldest first."""
        return list(self._dispatcher.connections.values())

    @property
    def functions(self) -> dict[str, Function]:
        """Every function that was ever synced, by slug."""
        return self._driver.functions

    @property
    def runs(self) -> list[Run]:
        """The runs, oldest first."""
        return list(self._driver.runs.values())

    @property
    def ledger(self) -> Ledger:
        """What became of every request."""
        return self._dispatcher.ledger

    @property
    def starts(self) -> Script:
        """The answers of POST /v0/connect/start."""
        return self._api.starts

    @property
    def flushes(self) -> Script:
        """The answers of POST /v0/connect/flush."""
        return self._api.flushes

    async def wait_for_worker(self, *, count: int = 1, app: str | None = None, timeout: float = 10.0) -> Connection:  # noqa: ASYNC109
        """Wait for *count* routable connections (of *app*); returns the newest. Raises: TimeoutError."""

        def routable() -> list[Connection]:
            return [c for c in self.connections if c.routable and (app is None or app in c.slugs)]

        await self.log.until(lambda: len(routable()) >= count, within=timeout, what="ready worker")
        return routable()[-1]

    # -- runs

    async def invoke(self, slug: str, data: Any = None, *, event: str | None = None) -> Run:
        """Run function *slug* with *data* to its end. Raises: LookupError: no worker ever synced it."""
        return await self.start_run(slug, data, event=event).done()

    def start_run(self, slug: str, data: Any = None, *, event: str | None = None) -> Run:
        """The same without waiting. *event* names the event; by default it is the function's first trigger."""
        return self._driver.start(slug, data, event)

    def send_event(self, name: str, data: Any = None) -> list[Run]:
        """Send an event: it resumes the runs that wait for it, and starts those that it triggers, which are returned."""
        return self._driver.trigger(new_event(name, data))

    async def redeliver(self, request_id: str, to: Connection | None = None, *, fresh_lease: bool = False) -> None:
        """Send a request of the ledger again: same request id; same lease id, or a newer one."""
        await self._dispatcher.redeliver(self.ledger[request_id], to, fresh_lease=fresh_lease)

    # -- the log

    @property
    def mark(self) -> int:
        """The end of the log as it is now: for `since`."""
        return self.log.total

    def frames(
        self,
        kind: int | None = None,
        *,
        connection: Connection | None = None,
        since: int = 0,
        swallowed: bool = False,
    ) -> list[Frame]:
        """The frames of the log, in order; those that a fault swallowed only if asked for."""
        return [
            record
            for record in self.log.since(since)
            if isinstance(record, Frame)
            and (kind is None or record.kind == kind)
            and (connection is None or record.connection == connection.number)
            and (swallowed or not record.fault)
        ]

    def calls(self, path: str = "", *, since: int = 0) -> list[Call]:
        """The HTTP requests of the log whose path ends with *path* ("start", "flush")."""
        return [r for r in self.log.since(since) if isinstance(r, Call) and r.path.endswith(path)]

    async def wait_for(
        self,
        what: int | Callable[[Record], bool],
        *,
        timeout: float = 5.0,  # noqa: ASYNC109 - awaiting with a limit is what these are for
        count: int = 1,
        since: int = 0,
        connection: Connection | None = None,
    ) -> Record:
        """The *count*-th record after *since* that is a frame of kind *what*, or of which *what* is true. Raises: TimeoutError."""
        matches = what if callable(what) else _of_kind(what, connection)
        name = "such record" if callable(what) else kind_name(what)
        return await self.log.wait_for(matches, within=timeout, count=count, since=since, what=name)

    async def until(self, condition: Callable[[], bool], *, timeout: float = 5.0) -> None:  # noqa: ASYNC109
        """Wait until *condition* holds; it is asked again at every record and change. Raises: TimeoutError."""
        await self.log.until(condition, within=timeout, what="such condition")

    # -- draining

    async def drain(
        self, connection: Connection | None = None, *, window: float | None = None, refuse: bool = False
    ) -> None:
        """Send GATEWAY_CLOSING to every connection, or to one, and close each with 1001 after *window* seconds.

        New connections are taken, as by the rest of a fleet; with *refuse* they are closed 1001 without HELLO until `undrain()`.
        """
        self._refusing = self._refusing or refuse
        for each in [connection] if connection else self.connections:
            if each.phase is not Phase.DISCONNECTING:
                await self._drain(each, self.drain_window if window is None else window)

    def undrain(self) -> None:
        """Take new connections again after a drain that refused them."""
        self._refusing = False

    async def _drain(self, connection: Connection, window: float) -> None:
        if not connection.connected:
            connection.drop()
            return
        connection.announced = True
        connection.advance(Phase.DRAINING)
        await connection.send(Kind.GATEWAY_CLOSING)
        connection.close_after(window, 1001, CLOSING)

    # -- routes

    async def _upgrade(self, request: web.Request) -> web.StreamResponse:
        answer = await self.sockets.take()
        await self._api.wait(answer.delay)
        if answer.status != 200:
            return web.Response(status=answer.status)
        socket = web.WebSocketResponse(
            protocols=(SUBPROTOCOL,), compress=False, max_msg_size=0, timeout=self.close_timeout
        )
        await socket.prepare(request)
        self._sockets_made += 1
        connection = Connection(self._sockets_made, request, socket, self.log, self.faults)
        self._dispatcher.connections[connection.number] = connection
        try:
            await self._converse(connection)
        finally:
            del self._dispatcher.connections[connection.number]
            self.log.changed()
        return socket

    async def _converse(self, connection: Connection) -> None:
        if self._refusing:
            await connection.close(1001, CLOSING)
            return
        conversation = Conversation(
            connection, self, self.log, self.faults, self._sessions, self._dispatcher, self._driver.register
        )
        with contextlib.suppress(ConnectionError):
            await conversation.run()

    async def _steps_of_run(self, request: web.Request) -> web.Response:
        return web.json_response(self._run_of(request).memos)

    async def _events_of_run(self, request: web.Request) -> web.Response:
        return web.json_response([self._run_of(request).event])

    def _run_of(self, request: web.Request) -> Run:
        try:
            return self._driver.runs[request.match_info["run_id"]]
        except KeyError:
            raise web.HTTPNotFound from None

    async def _receive_events(self, request: web.Request) -> web.Response:
        """What the SDKs' `send` posts to: one event, or a list."""
        try:
            sent = await request.json()
            events = [new_event(raw["name"], raw.get("data")) for raw in (sent if isinstance(sent, list) else [sent])]
        except (ValueError, LookupError, TypeError, AttributeError):
            raise web.HTTPBadRequest(text='send {"name": "…", "data": {…}}, or a list of such events\n') from None
        for event in events:
            self._driver.trigger(event)
        return web.json_response({"ids": [event["id"] for event in events], "status": 200})

    async def _readiness(self, _request: web.Request) -> web.Response:
        return web.Response(status=503 if self._refusing else 200)

    async def _root(self, _request: web.Request) -> web.Response:
        return web.Response(text=".")


def _of_kind(kind: int, connection: Connection | None) -> Callable[[Record], bool]:
    def matches(record: Record) -> bool:
        return (
            isinstance(record, Frame)
            and record.kind == kind
            and not record.fault
            and (connection is None or record.connection == connection.number)
        )

    return matches
