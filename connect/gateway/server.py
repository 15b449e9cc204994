"""The test gateway itself: an HTTP and WebSocket server on a loopback port, and the methods with which a test controls it."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Self

from aiohttp import web

from connect.gateway.dispatcher import Dispatcher
from connect.gateway.endpoints import Endpoints
from connect.gateway.executor_request import canonical
from connect.gateway.faults import Faults, Script
from connect.gateway.frame_handlers import CLOSING, MessageHandler
from connect.gateway.handshake import Sessions
from connect.gateway.ledger import Ledger
from connect.gateway.log import Call, Frame, Kind, Log, Record
from connect.gateway.run import Function, Run, new_event
from connect.gateway.scheduler import Scheduler
from connect.gateway.settings import Settings
from connect.gateway.worker_socket import Connection, Phase, Socket
from connect.serving import json_body
from connect.serving.server import Server
from connect.wire.codec import MESSAGE_LIMIT, kind_name

HOST = "127.0.0.1"
CONNECTIONS: Final = 1_000
"""How many connections it takes at once: workers' sockets, and HTTP requests."""
BODY_LIMIT: Final = MESSAGE_LIMIT
"""Bytes of the largest request body. A worker makes no reply that would not fit into a frame."""


@dataclass(eq=False, kw_only=True, repr=False)
class Gateway(Settings):
    """A gateway and its API on one loopback port. Every setting is a keyword, and an attribute that may be changed at any time.

    Use it on one event loop: `async with Gateway() as gw`, or `start()` and `close()`. From other threads, see `in_thread`.
    `log` has what it did. `faults` makes it mishandle frames; `starts`, `sockets` and `flushes` script its HTTP answers.
    """

    def __post_init__(self) -> None:
        self.log = Log(self.log_capacity, self.record_bytes)
        """Every frame, call and connection, in order."""
        self.faults = Faults()
        """What to do wrong, by frame kind."""
        self.sockets = Script()
        """The answers to WebSocket upgrades: a status other than 200 refuses the socket."""
        self._sessions = Sessions(self)
        self._dispatcher = Dispatcher(self, self.log)
        self._scheduler = Scheduler(self, self._dispatcher, self.log)
        self._endpoints = Endpoints(self, self.log, self._sessions, self._dispatcher)
        self._server = Server(self._routes(), HOST, connections=CONNECTIONS, body_limit=BODY_LIMIT)
        self._runs = False
        self._refusing = False
        self._sockets_made = 0

    def __repr__(self) -> str:
        return f"<Gateway {self.url} {len(self.connections)} connections, {len(self._scheduler.runs)} runs>"

    # -- life

    async def start(self) -> None:
        """Listen; after `stop()`, on the same port again. Raises: OSError: the port is taken."""
        self._endpoints.stopping.clear()
        await self._server.start(self.port)
        self._runs = True
        self.port = self._server.port

    async def stop(self) -> None:
        """Stop as if killed: drop every socket (1006) and close the port. Runs wait for the next `start()`."""
        if not self._runs:
            return
        self._runs = False
        self._endpoints.stopping.set()
        for script in (self.starts, self.sockets, self.flushes):
            script.release()
        self._server.stop_listening()
        for connection in self.connections:
            connection.drop()
        await self._server.close()

    async def close(self) -> None:
        """Stop, and cancel the runs that have not ended. May be called again."""
        await self._scheduler.cancel()
        await self.stop()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # -- what it knows

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`: for `INNGEST_DEV` or `api_base_url`."""
        return f"http://{HOST}:{self.port}"

    @property
    def connections(self) -> list[Connection]:
        """The open sockets, oldest first."""
        return list(self._dispatcher.connections.values())

    @property
    def functions(self) -> dict[str, Function]:
        """The functions that workers synced, by slug; of very many those that came last."""
        return self._scheduler.functions

    @property
    def runs(self) -> list[Run]:
        """The runs, oldest first."""
        return list(self._scheduler.runs)

    @property
    def ledger(self) -> Ledger:
        """The outcome of every request."""
        return self._dispatcher.ledger

    @property
    def starts(self) -> Script:
        """The answers of POST /v0/connect/start."""
        return self._endpoints.starts

    @property
    def flushes(self) -> Script:
        """The answers of POST /v0/connect/flush."""
        return self._endpoints.flushes

    async def wait_for_worker(self, *, count: int = 1, app: str | None = None, timeout: float = 10.0) -> Connection:  # noqa: ASYNC109
        """Wait for *count* routable connections, with *app* for ones that serve it; return the newest. Raises: TimeoutError."""

        def routable() -> list[Connection]:
            return [c for c in self.connections if c.routable and (app is None or app in c.slugs)]

        await self.log.until(lambda: len(routable()) >= count, within=timeout, what="ready worker")
        return routable()[-1]

    # -- runs

    async def invoke(self, slug: str, data: Any = None, *, event: str | None = None) -> Run:
        """Run function *slug* with *data* to its end. Raises: LookupError: no worker ever synced it."""
        return await self.start_run(slug, data, event=event).done()

    def start_run(self, slug: str, data: Any = None, *, event: str | None = None) -> Run:
        """As `invoke`, but do not wait for the end. *event* names the event; default: the function's first trigger."""
        return self._scheduler.start(slug, data, event)

    def send_event(self, name: str, data: Any = None) -> list[Run]:
        """Send an event: resume the runs that wait for it, and start those that it triggers; return the new runs."""
        return self._scheduler.trigger(new_event(name, data))

    async def redeliver(self, request_id: str, to: Connection | None = None, *, fresh_lease: bool = False) -> None:
        """Send a request of the ledger again, with the same request id; with *fresh_lease* under a new lease id."""
        await self._dispatcher.redeliver(self.ledger[request_id], to, fresh_lease=fresh_lease)

    # -- the log

    @property
    def mark(self) -> int:
        """The log's present end: for `since`."""
        return self.log.total

    def frames(
        self,
        kind: int | None = None,
        *,
        connection: Connection | None = None,
        since: int = 0,
        swallowed: bool = False,
    ) -> list[Frame]:
        """The frames of the log, in order; with *swallowed*, also those that a fault swallowed."""
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
        timeout: float = 5.0,  # noqa: ASYNC109 - these methods wait, and the limit is a part of the question
        count: int = 1,
        since: int = 0,
        connection: Connection | None = None,
    ) -> Record:
        """Return the *count*-th record after *since* that is a frame of kind *what*, or for which *what* is true; wait for it if it
        is not there yet. Raises: TimeoutError."""
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

        The gateway takes new connections meanwhile, as the rest of a fleet would. With *refuse* it closes them with 1001, without
        HELLO, until `undrain()`.
        """
        self._refusing = self._refusing or refuse
        for each in [connection] if connection else self.connections:
            if each.phase is not Phase.DISCONNECTING:
                await self._drain(each, self.drain_window if window is None else window)

    def undrain(self) -> None:
        """Take new connections again, after a drain with *refuse*."""
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

    def _routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v0/connect/start", self._endpoints.start),
            web.post("/v0/connect/flush", self._endpoints.flush),
            web.get("/v0/connect", self._upgrade),
            web.get("/v0/runs/{run_id}/actions", self._steps_of_run),
            web.get("/v0/runs/{run_id}/batch", self._events_of_run),
            web.post("/e/{key}", self._receive_events),
            web.get("/ready", self._readiness),
            web.get("/v0/", self._root),
        ]

    async def _upgrade(self, request: web.Request) -> web.StreamResponse:
        answer = await self.sockets.take()
        await self._endpoints.wait(answer.delay)
        if answer.status != 200:
            return web.Response(status=answer.status, headers=answer.headers)
        socket = Socket(self.close_timeout)
        await socket.prepare(request)
        self._sockets_made += 1
        connection = Connection(self._sockets_made, request, socket, self.log, self.faults)
        self._dispatcher.connections[connection.number] = connection
        try:
            await self._handle(connection)
        finally:
            del self._dispatcher.connections[connection.number]
            self.log.changed()
        return socket

    async def _handle(self, connection: Connection) -> None:
        if self._refusing:
            await connection.close(1001, CLOSING)
            return
        handler = MessageHandler(
            connection, self, self.log, self.faults, self._sessions, self._dispatcher, self._scheduler.register
        )
        with contextlib.suppress(ConnectionError):
            await handler.run()

    async def _steps_of_run(self, request: web.Request) -> web.Response:
        return _json(self._run_of(request).memos)

    async def _events_of_run(self, request: web.Request) -> web.Response:
        return _json([self._run_of(request).event])

    def _run_of(self, request: web.Request) -> Run:
        try:
            return self._scheduler.runs[request.match_info["run_id"]]
        except KeyError:
            raise web.HTTPNotFound from None

    async def _receive_events(self, request: web.Request) -> web.Response:
        """POST /e/KEY, to which the SDKs' `send` posts one event or a list."""
        try:
            sent = await json_body.read(request)
            events = [_event(raw) for raw in (sent if isinstance(sent, list) else [sent])]
        except (ValueError, LookupError, TypeError):
            raise web.HTTPBadRequest(text='send {"name": "…", "data": {…}}, or a list of such events\n') from None
        for event in events:
            self._scheduler.trigger(event)
        return web.json_response({"ids": [event["id"] for event in events], "status": 200})

    async def _readiness(self, _request: web.Request) -> web.Response:
        return web.Response(status=503 if self._refusing else 200)

    async def _root(self, _request: web.Request) -> web.Response:
        return web.Response(text=".")


def _json(content: Any) -> web.Response:
    return web.Response(body=canonical(content), content_type="application/json", charset="utf-8")


def _event(raw: Any) -> dict[str, Any]:
    """The event that was posted as *raw*. Raises: ValueError, LookupError, TypeError: it is none."""
    name, data = raw["name"], raw.get("data")
    if not name or not isinstance(name, str) or not isinstance(data, dict | None):
        raise ValueError("an event has a name, and an object or nothing as its data")
    return new_event(name, data)


def _of_kind(kind: int, connection: Connection | None) -> Callable[[Record], bool]:
    def matches(record: Record) -> bool:
        return (
            isinstance(record, Frame)
            and record.kind == kind
            and not record.fault
            and (connection is None or record.connection == connection.number)
        )

    return matches
