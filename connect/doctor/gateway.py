"""Checks of the gateway: the way to it, its WebSocket, and the handshake, with --register up to the first heartbeat."""

import asyncio
import contextlib
from typing import Final, cast

import aiohttp

from connect import wire
from connect.doctor import network
from connect.doctor.context import Context
from connect.doctor.findings import Seen, Skipped, Wrong, wrong
from connect.doctor.frames import Frames
from connect.errors import ConnectError, GatewayDraining, LinkLost, ProtocolError, SyncFailed
from connect.transport.api import gateway_endpoint
from connect.transport.websocket import open_socket
from connect.wire import codec
from connect.wire.codec import MESSAGE_LIMIT, SUBPROTOCOL, Kind
from connect.wire.intervals import Intervals

_UPGRADES: Final = (
    "let the proxy pass WebSockets on (headers Upgrade and Connection), or name the gateway itself: --gateway-url"
)
_REGISTER: Final = "not checked without --register"


async def size(context: Context) -> Seen:
    """Compare the size of WORKER_CONNECT with what a gateway reads. Raises: Wrong, Skipped."""
    if context.arguments.apps is None:
        raise Skipped("no MODULE:APPS is given")
    if context.grant is None:
        raise Skipped(because="signing key")
    apps = context.configuration.apps.configurations
    context.worker_connect = context.configuration.registration.frame(context.grant)
    length = len(context.worker_connect)
    found = f"WORKER_CONNECT of {len(apps)} app{'s' * (len(apps) != 1)} takes {length:,} of {MESSAGE_LIMIT:,} bytes"
    if length > MESSAGE_LIMIT:
        raise Wrong(f"{found}: a gateway closes the socket (1009)", "spread the apps over several workers")
    return Seen(found)


async def address(context: Context) -> Seen:
    """Find the gateway's address: the granted one, or the one that an option or variable sets. Raises: Wrong, Skipped."""
    if context.grant is None:
        raise Skipped(because="signing key")
    try:
        context.gateway_url = gateway_endpoint(context.configuration.endpoint(context.grant.endpoint))
    except ValueError as error:
        raise Wrong(str(error), "have the server grant a ws or wss address, or name one: --gateway-url") from None
    except ConnectError as error:
        raise wrong(error) from None
    if context.gateway_url == gateway_endpoint(context.grant.endpoint):
        return Seen(f"{context.gateway_url}, as granted")
    return Seen(
        f"{context.gateway_url}, instead of {context.grant.endpoint}: --gateway-url or INNGEST_CONNECT_GATEWAY_URL"
    )


async def name(context: Context) -> Seen:
    """Resolve the name in the gateway's address. Raises: Wrong."""
    context.gateway = network.Target.of(context.gateway_url, context.session)
    return await network.resolve(context.gateway)


async def port(context: Context) -> Seen:
    """Open the gateway's port. Raises: Wrong."""
    return await network.reach(
        context.gateway,
        "publish the gateway's port (8289 of a server of your own), or name another address: --gateway-url",
    )


async def certificate(context: Context) -> Seen:
    """Verify the gateway's certificate. Raises: Wrong, Skipped."""
    return await network.trust(context.gateway)


async def websocket(context: Context) -> Seen:
    """Open the WebSocket. Raises: Wrong."""
    began = asyncio.get_running_loop().time()
    try:
        context.socket = await open_socket(context.session, context.gateway_url)
    except aiohttp.WSServerHandshakeError as error:
        raise Wrong(
            f"{context.gateway_url} refuses the upgrade: {error.message.lower()} (status {error.status})", _UPGRADES
        ) from None
    except (aiohttp.ClientError, OSError) as error:
        raise network.broken(context.gateway, error) from None
    took = asyncio.get_running_loop().time() - began
    context.frames = Frames(context.socket)
    context.cleanup.push_async_callback(context.frames.close)
    return Seen(f"open after {took * 1000:.0f} ms")


async def subprotocol(context: Context) -> Seen:
    """Check that the server chose the protocol's subprotocol. Raises: Wrong."""
    if context.socket.protocol != SUBPROTOCOL:
        raise Wrong(
            f"the server did not choose {SUBPROTOCOL}",
            "check that the address is an Inngest gateway's; let the proxy pass Sec-WebSocket-Protocol on",
        )
    return Seen(f"the server chose {SUBPROTOCOL}")


async def hello(context: Context) -> Seen:
    """Wait for GATEWAY_HELLO. Raises: Wrong."""
    await _receive(context, Kind.GATEWAY_HELLO)
    return Seen("GATEWAY_HELLO came")


async def registration(context: Context) -> Seen:
    """Send WORKER_CONNECT, which syncs the functions, and wait for GATEWAY_CONNECTION_READY. Raises: Wrong, Skipped."""
    if not context.arguments.register:
        raise Skipped(_REGISTER)
    context.frames.send(context.worker_connect)
    ready = await _receive(context, Kind.GATEWAY_CONNECTION_READY)
    asked = Intervals.of(cast(wire.GatewayConnectionReadyData, ready.payload))
    every = f"heartbeats every {asked.heartbeat:g} s, lease extensions every {asked.extend_lease:g} s"
    return Seen(f"the functions are synced; {every}")


async def heartbeat(context: Context) -> Seen:
    """Send a heartbeat, and wait for the answer. Raises: Wrong, Skipped.

    A gateway answers heartbeats only after WORKER_READY or WORKER_PAUSE (PROTOCOL.md §4.3). After WORKER_PAUSE it routes no work.
    """
    if not context.arguments.register:
        raise Skipped(_REGISTER)
    context.frames.send(codec.encode(Kind.WORKER_PAUSE))
    while True:
        began = asyncio.get_running_loop().time()
        context.frames.send(codec.encode(Kind.WORKER_HEARTBEAT))
        # The gateway does not answer a heartbeat that comes before it has finished the handshake: send another.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(context.arguments.timeout / 4):
                await _receive(context, Kind.GATEWAY_HEARTBEAT)
                return Seen(f"answered after {(asyncio.get_running_loop().time() - began) * 1000:.0f} ms")


async def _receive(context: Context, kind: Kind) -> codec.Frame:
    try:
        return await context.frames.receive(kind)
    except ConnectError as error:
        raise _ended(error, Kind.Name(kind)) from None


def _ended(error: ConnectError, awaited: str) -> Wrong:
    match error:
        case SyncFailed():
            return Wrong(
                str(error), "change the functions: the server will refuse the same ones again; its log may say more"
            )
        case GatewayDraining():
            return Wrong(str(error), "wait a little: a worker is granted another gateway, or this one when it is back")
        case LinkLost(reason="connect_authentication_failed"):
            return Wrong(
                str(error), "the gateway does not know the session token: check that API and gateway are of one server"
            )
        case LinkLost():
            return Wrong(f"before {awaited}: {error}", "see the gateway's log, and that of a proxy on the way")
        case ProtocolError():
            return Wrong(f"before {awaited}: {error}", "check that the address is an Inngest gateway's")
        case _:
            return wrong(error)
