"""An API for tests: a real server on this machine, which gives each request the next of the test's answers."""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from connect import wire
from connect.secrets import Keyring, SigningKey

PRIMARY, FALLBACK = "ab" * 32, "cd" * 32
GRANT = wire.StartResponse(
    connection_id="01CONNECTION",
    gateway_endpoint="ws://gateway.example/v0/connect",
    gateway_group="group-1",
    session_token="session-zzyzx",
    sync_token="sync-zzyzx",
)

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


def hashed(key: str) -> str:
    """What the API is shown of *key* (PROTOCOL.md §1.2)."""
    return hashlib.sha256(bytes.fromhex(key)).hexdigest()


def answer(status: int = 200, body: bytes = b"", **headers: str) -> Answer:
    """An answer with this status and body."""

    async def give(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, body=body, headers=headers)

    return give


def refusal(status: int, error: str) -> Answer:
    """An answer with the server's own words (PROTOCOL.md §1.4)."""
    return answer(status, json.dumps({"error": error}).encode())


def granted() -> Answer:
    return answer(200, GRANT.SerializeToString())


async def silence(_: web.Request) -> web.StreamResponse:
    """No answer, until the client gives up."""
    await asyncio.sleep(60)
    raise AssertionError("the client has waited for a minute")


async def half_an_answer(request: web.Request) -> web.StreamResponse:
    """Headers and one byte, and no more, until the client gives up."""
    response = web.StreamResponse(headers={"Content-Length": "100"})
    await response.prepare(request)
    await response.write(b"x")
    return await silence(request)


async def hang_up(request: web.Request) -> web.StreamResponse:
    """The connection is closed in place of an answer."""
    assert request.transport
    request.transport.close()
    return web.Response()


async def hang_up_within(request: web.Request) -> web.StreamResponse:
    """The connection is closed in the middle of the answer."""
    response = web.StreamResponse(headers={"Content-Length": "100"})
    await response.prepare(request)
    await response.write(b"x")
    return await hang_up(request)


@dataclass
class Asked:
    """A request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes
    peer: Any

    @property
    def bearer(self) -> str | None:
        return self.headers.get("authorization", "").removeprefix("Bearer ") or None


@dataclass
class Server:
    """An API: it keeps what it was asked, and gives the answers in turn; the last one for ever."""

    url: str = ""
    answers: list[Answer] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        assert request.transport
        peer = request.transport.get_extra_info("peername")
        headers = {name.lower(): text for name, text in request.headers.items()}
        self.asked.append(Asked(request.path, headers, await request.read(), peer))
        return await (self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])(request)


def ring(*keys: str) -> Keyring:
    return Keyring(*(SigningKey.parse(f"signkey-prod-{key}") for key in keys)) if keys else Keyring(None)
