"""The gateway that was granted: the way to it, its WebSocket, and as much of the handshake as is wanted."""

import asyncio
import contextlib
from typing import Final, cast

import aiohttp

from connect import wire
from connect.doctor import network
from connect.doctor.case import Case
from connect.doctor.findings import Seen, Skipped, Wrong, wrong
from connect.doctor.talk import Talk
from connect.errors import ConnectError, GatewayDraining, LinkLost, ProtocolError, SyncFailed
from connect.transport.api import gateway_endpoint
from connect.transport.websocket import open_socket
from connect.wire import codec
from connect.wire.codec import MESSAGE_LIMIT, SUBPROTOCOL, Kind
from connect.wire.intervals import Intervals

_UPGRADES: Final = (
    "let what stands between pass WebSockets on (Upgrade, Connection), or name the gateway itself: --gateway-url"
)
_REGISTER: Final = "registers nothing; --register does"


async def size(case: Case) -> Seen:
    """WORKER_CONNECT against what a gateway reads. Raises: Wrong, Skipped."""
    if case.plan.apps is None:
        raise Skipped("no MODULE:APPS is given")
    if case.grant is None:
        raise Skipped(because="signing key")
    apps = case.options.apps.configurations
    case.introduction = case.options.registration.frame(case.grant)
    length = len(case.introduction)
    told = f"WORKER_CONNECT of {len(apps)} app{'s' * (len(apps) != 1)} takes {length:,} of {MESSAGE_LIMIT:,} bytes"
    if length > MESSAGE_LIMIT:
        raise Wrong(f"{told}: a gateway closes the socket (1009)", "spread the apps over several workers")
    return Seen(told)


async def address(case: Case) -> Seen:
    """Where to dial. Raises: Wrong, Skipped."""
    if case.grant is None:
        raise Skipped(because="signing key")
    try:
        case.gateway_url = gateway_endpoint(case.options.endpoint(case.grant.endpoint))
    except ValueError as error:
        raise Wrong(
            str(error), "have the server grant an address that can be dialled, or name one: --gateway-url"
        ) from None
    if case.gateway_url == gateway_endpoint(case.grant.endpoint):
        return Seen(f"{case.gateway_url}, as granted")
    return Seen(f"{case.gateway_url}, instead of {case.grant.endpoint}: --gateway-url or INNGEST_CONNECT_GATEWAY_URL")


async def name(case: Case) -> Seen:
    """Raises: Wrong."""
    case.gateway = network.Target.of(case.gateway_url)
    return await network.resolve(case.gateway)


async def port(case: Case) -> Seen:
    """Raises: Wrong."""
    return await network.reach(
        case.gateway,
        "publish the gateway's port (8289 of a server of your own), or name another address: --gateway-url",
    )


async def certificate(case: Case) -> Seen:
    """Raises: Wrong, Skipped."""
    return await network.trust(case.gateway)


async def websocket(case: Case) -> Seen:
    """Open it. Raises: Wrong."""
    began = asyncio.get_running_loop().time()
    try:
        case.socket = await open_socket(case.session, case.gateway_url)
    except aiohttp.WSServerHandshakeError as error:
        raise Wrong(
            f"{case.gateway_url} refuses the upgrade: {error.message} (status {error.status})", _UPGRADES
        ) from None
    except (aiohttp.ClientError, OSError) as error:
        raise network.broken(case.gateway, error) from None
    took = asyncio.get_running_loop().time() - began
    case.talk = Talk(case.socket)
    case.cleanup.push_async_callback(case.talk.close)
    return Seen(f"open after {took * 1000:.0f} ms")


async def subprotocol(case: Case) -> Seen:
    """Raises: Wrong."""
    if case.socket.protocol != SUBPROTOCOL:
        raise Wrong(
            f"the server did not choose {SUBPROTOCOL}",
            "is it a gateway of Inngest? If so, let what stands between pass Sec-WebSocket-Protocol on",
        )
    return Seen(f"{SUBPROTOCOL} is chosen")


async def hello(case: Case) -> Seen:
    """Raises: Wrong."""
    await _hear(case, Kind.GATEWAY_HELLO)
    return Seen("GATEWAY_HELLO came")


async def registration(case: Case) -> Seen:
    """WORKER_CONNECT, until the gateway is ready; it syncs the functions. Raises: Wrong, Skipped."""
    if not case.plan.register:
        raise Skipped(_REGISTER)
    case.talk.say(case.introduction)
    ready = await _hear(case, Kind.GATEWAY_CONNECTION_READY)
    asked = Intervals.of(cast(wire.GatewayConnectionReadyData, ready.payload))
    functions = f"the functions are synced; heartbeats each {asked.heartbeat:g} s, lease extensions each"
    return Seen(f"{functions} {asked.extend_lease:g} s")


async def heartbeat(case: Case) -> Seen:
    """Its round trip. A gateway answers none before WORKER_READY or WORKER_PAUSE (PROTOCOL.md §4.3), and only the second keeps
    work away. Raises: Wrong, Skipped."""
    if not case.plan.register:
        raise Skipped(_REGISTER)
    case.talk.say(codec.encode(Kind.WORKER_PAUSE))
    while True:
        began = asyncio.get_running_loop().time()
        case.talk.say(codec.encode(Kind.WORKER_HEARTBEAT))
        # One may go unanswered, if it comes before the gateway has finished with the handshake.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(case.plan.timeout / 4):
                await _hear(case, Kind.GATEWAY_HEARTBEAT)
                return Seen(f"answered after {(asyncio.get_running_loop().time() - began) * 1000:.0f} ms")


async def _hear(case: Case, kind: Kind) -> codec.Frame:
    try:
        return await case.talk.hear(kind)
    except ConnectError as error:
        raise _ended(error, Kind.Name(kind)) from None


def _ended(error: ConnectError, awaited: str) -> Wrong:
    match error:
        case SyncFailed():
            return Wrong(
                str(error), "change the functions: the same ones cannot succeed; the server's log may say more"
            )
        case GatewayDraining():
            return Wrong(str(error), "wait a little: a worker gets another gateway, or this one when it is back")
        case LinkLost(reason="connect_authentication_failed"):
            return Wrong(
                str(error), "the session token of the start request is not the gateway's: do both belong together?"
            )
        case LinkLost():
            return Wrong(f"before {awaited}: {error}", "see the gateway's log; a proxy between may cut WebSockets too")
        case ProtocolError():
            return Wrong(f"before {awaited}: {error}", "is it a gateway of Inngest?")
        case _:
            return wrong(error)
