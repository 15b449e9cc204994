"""Checks of the API: the way to it, its clock, and whether it accepts the signing keys."""

import asyncio
from typing import Final

import aiohttp

from connect import command_name
from connect.doctor import network
from connect.doctor.context import Context
from connect.doctor.findings import Seen, Skipped, Wrong, wrong
from connect.errors import ApiError, AuthenticationFailed, ConnectError, ProtocolError
from connect.secrets import Keyring
from connect.transport.api import Api, Grant
from connect.transport.connector import forwarding

SKEW: Final = 60.0
"""Seconds that two clocks may differ: half a lease (PROTOCOL.md §7)."""
_START: Final = "/v0/connect/start"
_NO_API: Final = "check that the address is that of Inngest's API; a server of your own has it on port 8288"
_ROTATE: Final = "copy the key of this environment again from the Inngest dashboard"


async def name(context: Context) -> Seen:
    """Resolve the name in the API's address. Raises: Wrong."""
    context.api = network.Target.of(context.configuration.origin, context.session)
    return await network.resolve(context.api)


async def port(context: Context) -> Seen:
    """Open the API's port. Raises: Wrong."""
    return await network.reach(
        context.api,
        f"start the server (to try: {command_name.typed()} gateway), or correct the address ({context.origin_source})",
    )


async def certificate(context: Context) -> Seen:
    """Verify the API's certificate. Raises: Wrong, Skipped."""
    return await network.trust(context.api)


async def answers(context: Context) -> Seen:
    """Send a GET, and accept any answer: the protocol has no GET, so it reserves nothing. Raises: Wrong."""
    url = context.configuration.origin.rstrip("/") + _START
    began = asyncio.get_running_loop().time()
    try:
        forwarded = forwarding(context.session, url)
        async with context.session.get(url, allow_redirects=False, proxy=forwarded.proxy, headers=forwarded.headers):
            took = asyncio.get_running_loop().time() - began
    except (aiohttp.ClientError, OSError) as error:
        raise network.broken(context.api, error) from None
    return Seen(f"speaks HTTP, and answered in {took * 1000:.0f} ms")


async def clock(context: Context) -> Seen:
    """Compare this machine's clock with the server's. Raises: Wrong, Skipped."""
    date = context.answer.date
    if date is None:
        raise Skipped("the server's answer has no Date")
    ahead = context.answer.at - date - 0.5  # the header leaves out the fraction of a second
    if abs(ahead) > SKEW:
        raise Wrong(
            f"this machine's clock is {_span(abs(ahead))} {'ahead of' if ahead > 0 else 'behind'} the server's",
            "set this machine's clock, best by NTP: leases and certificates expire by it",
        )
    return Seen(f"this machine's clock and the server's agree within {max(1, round(abs(ahead)))} s")


def _span(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"


async def primary(context: Context) -> Seen:
    """Send a start request with the first key, or without one in development mode. Raises: Wrong."""
    keyrings = context.configuration.keyring.apart()
    return await _ask(context, keyrings[0] if keyrings else context.configuration.keyring)


async def fallback(context: Context) -> Seen:
    """Send a start request with the fallback key. Raises: Wrong, Skipped."""
    keyrings = context.configuration.keyring.apart()
    if len(keyrings) < 2:
        raise Skipped("none is set" if context.configuration.apps.is_cloud else "development mode: no key is sent")
    return await _ask(context, keyrings[1])


async def _ask(context: Context, keyring: Keyring) -> Seen:
    # Twice the check's own limit: that one must end first, since it says what to do.
    limit = 2 * context.arguments.timeout
    api = Api(context.session, context.configuration.origin, context.configuration.env, keyring, limit)
    has_key = bool(len(keyring))
    try:
        grant = await api.start(())
    except ConnectError as error:
        raise _refusal(context, error, has_key) from None
    context.grant = context.grant or grant
    context.secrets |= {grant.session_token.reveal(), grant.sync_token.reveal()}
    return Seen(f"{'accepted' if has_key else 'no key is needed'}: {_granted(grant)}")


def _granted(grant: Grant) -> str:
    return f"the API grants a gateway of group {grant.group}" if grant.group else "the API grants a gateway"


def _refusal(context: Context, error: ConnectError, has_key: bool) -> Wrong:
    match error:
        case AuthenticationFailed() if has_key:
            said = str(error).partition("unauthorized")[2].partition(": check")[0]
            return Wrong(f"the API does not accept the key: 401{said}", _ROTATE)
        case AuthenticationFailed():
            return Wrong("the API requires a signing key (401), and development mode sends none", _unset(context))
        case ApiError(status=status) if 300 <= status < 400:
            where = context.answer.headers.get("Location", "an address that it does not name")[:200]
            return Wrong(f"{error}: it redirects to {where}", "set that address itself: a worker follows no redirects")
        case ApiError(status=404 | 405):
            return Wrong(f"the server has no Connect API: {error}", _NO_API)
        case ApiError(status=403):
            return Wrong(str(error), "a firewall or proxy on the way refuses the request: ask its operator")
        case ApiError(status=status) if status >= 500:
            return Wrong(
                f"the API failed: {error}", "wait, and see its log or status page; a worker tries again by itself"
            )
        case ProtocolError() if context.answer.is_page:
            return Wrong("the start request was answered with a web page: this is no Inngest server", _NO_API)
        case ProtocolError():
            return Wrong(f"the answer is not one of an Inngest server: {error}", _NO_API)
        case _:
            other = wrong(error)
            return other if other.cure else Wrong(other.found, "see the server's log, or that of a proxy on the way")


def _unset(context: Context) -> str:
    if context.origin_source == "INNGEST_DEV":
        return "set INNGEST_SIGNING_KEY and INNGEST_API_BASE_URL instead of INNGEST_DEV"
    return "unset INNGEST_DEV, and set INNGEST_SIGNING_KEY"
