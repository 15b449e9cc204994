"""A gateway and its API that do at random what neither should: in every state of the worker's links, at any time."""

import asyncio
import contextlib
import random
from collections.abc import Callable
from typing import Any, Self

import aiohttp
from aiohttp import web
from forge import KINDS, Forge

from connect.gateway import Answer, Connection, Gateway, Kind
from connect.wire import SDKResponse

REASONS = (
    "",
    "connect_internal_error",
    "connect_gateway_closing",
    "connect_too_many_apps_per_connection",
    "é" * 61,
    "x" * 123,
)
CODES = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1011, 3000, 4001, 4999)
FROM_WORKER = (Kind.WORKER_CONNECT, Kind.WORKER_REQUEST_ACK, Kind.WORKER_REPLY, Kind.WORKER_REQUEST_EXTEND_LEASE)


class Hostile:
    """`gateway` speaks the protocol until `act` makes it misbehave. `url` is its API, which spoils answers on their way."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.forge = Forge(chance)
        self.gateway = Gateway(
            heartbeat_interval="50ms",
            extend_lease_interval="50ms",
            close_timeout=0.2,
            ack_timeout=0.3,
            routing_timeout=0.3,
            lease_duration=1.5,
            forwards=2,
            log_capacity=1_000_000,
            record_bytes=2**30,
        )
        self.flushed: set[str] = set()
        """Request ids of the replies that came by HTTP, however they were answered."""
        self.spoils = True
        """Whether answers of the API are spoilt."""
        self.sent = 0
        self._runner: web.AppRunner
        self._session: aiohttp.ClientSession
        self._acts: tuple[tuple[int, Callable[[], Any]], ...] = (
            (40, self._send_forged),
            (10, self._replace),
            (6, self._mistreat),
            (10, self._run),
            (6, self._redeliver),
            (3, self._nack),
            (3, self._close),
            (2, self._drain),
            (1, self._drop),
            (1, self._mute),
            (1, self._stall),
            (2, self._resume),
            (2, self._refuse_socket),
            (1, self._clear),
        )

    async def __aenter__(self) -> Self:
        await self.gateway.start()
        self._session = aiohttp.ClientSession()
        app = web.Application(client_max_size=0)
        app.router.add_post("/v0/connect/{what}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.gateway.close()
        await self._runner.cleanup()
        await self._session.close()

    def calm(self) -> None:
        """Behave from now on."""
        self.spoils = False
        self._clear()
        self._resume()

    async def act(self) -> None:
        """Do one thing that a gateway should not do, or one that it may do at any time."""
        weights = [weight for weight, _ in self._acts]
        ((_, act),) = self._chance.choices(self._acts, weights)
        with contextlib.suppress(TimeoutError, ConnectionError, LookupError):
            done = act()
            if done is not None:
                await asyncio.wait_for(done, 0.5)

    # -- the API

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        if request.match_info["what"] == "flush":
            with contextlib.suppress(Exception):
                self.flushed.add(SDKResponse.FromString(body).request_id)
        if self.spoils and (spoilt := await self._spoilt()):
            return spoilt
        url = f"{self.gateway.url}{request.path}"
        async with self._session.post(url, data=body, headers={"Content-Type": "application/protobuf"}) as answer:
            content = await answer.read()
        if self.spoils and self._chance.random() < 0.15:
            content = self.forge.answer(content)
        return web.Response(body=content, status=answer.status)

    async def _spoilt(self) -> web.StreamResponse | None:
        """An answer that has nothing to do with the request; None: the right one."""
        luck = self._chance.random()
        if luck < 0.7:
            return None
        if luck < 0.74:
            await asyncio.sleep(self._chance.random())
            return None
        status = self._chance.choice((200, 200, 201, 204, 301, 302, 400, 401, 403, 404, 418, 429, 500, 502, 503, 599))
        bodies = (
            b"",
            b"\xff" * 50,
            b'{"error": "no"}',
            b'{"error": [1]}',
            b"[" * 50_000,
            b"null",
            b'{"error": "\\ud800"}',
        )
        headers = self._chance.choice(
            (
                {},
                {"Location": "http://127.0.0.1:1/"},
                {"Set-Cookie": "a=b"},
                {"Content-Type": "text/html; charset=nonsense"},
                {"X": "y" * 7_000},
            )
        )
        return web.Response(body=self._chance.choice(bodies), status=status, headers=headers)

    # -- the gateway

    def _connection(self) -> Connection:
        """An open socket, in whatever phase. Raises: LookupError: there is none."""
        return self._chance.choice(self.gateway.connections)

    async def _send_forged(self) -> None:
        connection = self._connection()
        for _ in range(self._chance.choice((1, 1, 5, 50))):
            self.sent += 1
            await connection.send_raw(self.forge.frame())

    def _replace(self) -> None:
        kind = self._chance.choice(list(KINDS))
        self.gateway.faults.replace(kind, self.forge.payload(kind))

    def _mistreat(self) -> None:
        faults, kind = self.gateway.faults, self._chance.choice((*KINDS, *FROM_WORKER))
        match self._chance.randrange(4):
            case 0:
                faults.lose(kind)
            case 1:
                faults.delay(kind, self._chance.random() / 5)
            case 2:
                faults.repeat(kind)
            case _:
                faults.cut(kind, code=self._chance.choice((None, *CODES)), reason=self._chance.choice(REASONS)[:60])

    def _run(self) -> None:
        for _ in range(self._chance.choice((1, 5))):
            slug = self._chance.choice(("app-echo", "app-slow", "app-fail", "app-sync"))
            self.gateway.start_run(slug, {"value": self._chance.random()})

    async def _redeliver(self) -> None:
        request = self._chance.choice(list(self.gateway.ledger)[-50:])
        self.forge.ids.append(request.id)
        await self.gateway.redeliver(request.id, self._connection(), fresh_lease=self._chance.random() < 0.5)

    def _nack(self) -> None:
        self.gateway.faults.nack()

    def _close(self) -> None:
        self._connection().close_after(0, self._chance.choice(CODES), self._chance.choice(REASONS)[:61])

    async def _drain(self) -> None:
        await self.gateway.drain(self._connection(), window=self._chance.random())

    def _drop(self) -> None:
        self._connection().drop()

    def _mute(self) -> None:
        self._connection().mute()

    def _stall(self) -> None:
        self._connection().stall()

    def _resume(self) -> None:
        for connection in self.gateway.connections:
            connection.resume()

    def _refuse_socket(self) -> None:
        self.gateway.sockets.push(Answer(self._chance.choice((400, 403, 404, 429, 503))))

    def _clear(self) -> None:
        self.gateway.faults.clear()
        self.gateway.sockets.clear()
