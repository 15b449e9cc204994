"""The API: does it answer, what time is it there, and does it take the keys."""

import asyncio
from typing import Final

import aiohttp

from connect.doctor import network
from connect.doctor.case import Case
from connect.doctor.findings import Seen, Skipped, Wrong, wrong
from connect.errors import ApiError, AuthenticationFailed, ConnectError, ProtocolError
from connect.secrets import Keyring
from connect.transport.api import Api, Grant
from connect.transport.proxies import proxy_for

SKEW: Final = 60.0
"""Seconds that two clocks may differ: half a lease (PROTOCOL.md §7)."""
_START: Final = "/v0/connect/start"
_NO_API: Final = "is it the address of Inngest's API? A server of your own has it on port 8288"
_ROTATE: Final = "copy it again from the Inngest dashboard, of this environment"


async def name(case: Case) -> Seen:
    """Raises: Wrong."""
    case.api = network.Target.of(case.options.origin)
    return await network.resolve(case.api)


async def port(case: Case) -> Seen:
    """Raises: Wrong."""
    return await network.reach(
        case.api,
        f"start the server (to try: python -m connect gateway), or correct the address ({case.origin_from})",
    )


async def certificate(case: Case) -> Seen:
    """Raises: Wrong, Skipped."""
    return await network.trust(case.api)


async def answers(case: Case) -> Seen:
    """Any answer will do: a GET is none of the protocol's requests, and costs nothing. Raises: Wrong."""
    url = case.options.origin.rstrip("/") + _START
    began = asyncio.get_running_loop().time()
    try:
        async with case.session.get(url, allow_redirects=False, proxy=proxy_for(url)):
            took = asyncio.get_running_loop().time() - began
    except (aiohttp.ClientError, OSError) as error:
        raise network.broken(case.api, error) from None
    return Seen(f"speaks HTTP, and answered in {took * 1000:.0f} ms")


async def clock(case: Case) -> Seen:
    """This machine's against the server's. Raises: Wrong, Skipped."""
    date = case.answer.date
    if date is None:
        raise Skipped("the server's answer has no Date")
    ahead = case.answer.at - date - 0.5  # the header leaves out the fraction of a second
    if abs(ahead) > SKEW:
        raise Wrong(
            f"this machine's clock is {_span(abs(ahead))} {'ahead of' if ahead > 0 else 'behind'} the server's",
            "set it, best by NTP: leases and certificates end by the clock",
        )
    return Seen(f"this machine's and the server's agree within {max(1, round(abs(ahead)))} s")


def _span(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"


async def primary(case: Case) -> Seen:
    """A start request with the first key, or with none where none is used. Raises: Wrong."""
    keyrings = case.options.keyring.apart()
    return await _ask(case, keyrings[0] if keyrings else case.options.keyring)


async def fallback(case: Case) -> Seen:
    """One with the second key. Raises: Wrong, Skipped."""
    keyrings = case.options.keyring.apart()
    if len(keyrings) < 2:
        raise Skipped("none is set" if case.options.apps.is_cloud else "development mode: none is sent")
    return await _ask(case, keyrings[1])


async def _ask(case: Case, keyring: Keyring) -> Seen:
    # The check's own time limit comes first, and says what to do.
    limit = 2 * case.plan.timeout
    api = Api(case.session, case.options.origin, case.options.env, keyring, limit)
    has_key = bool(len(keyring))
    try:
        grant = await api.start(())
    except ConnectError as error:
        raise _refusal(case, error, has_key) from None
    case.grant = case.grant or grant
    case.secrets |= {grant.session_token.reveal(), grant.sync_token.reveal()}
    return Seen(f"{'accepted' if has_key else 'none is needed'}: {_granted(grant)}")


def _granted(grant: Grant) -> str:
    return f"the API grants a gateway of group {grant.group}" if grant.group else "the API grants a gateway"


def _refusal(case: Case, error: ConnectError, has_key: bool) -> Wrong:
    match error:
        case AuthenticationFailed() if has_key:
            said = str(error).partition("unauthorized")[2].partition(": check")[0]
            return Wrong(f"the API does not accept it: 401{said}", _ROTATE)
        case AuthenticationFailed():
            return Wrong("the API wants a signing key (401), and development mode sends none", _unset(case))
        case ApiError(status=status) if 300 <= status < 400:
            where = case.answer.headers.get("Location", "somewhere else")
            return Wrong(f"{error}: it redirects to {where}", "name that address itself: a worker follows no redirects")
        case ApiError(status=404 | 405):
            return Wrong(f"a server without the Connect API: {error}", _NO_API)
        case ApiError(status=403):
            return Wrong(str(error), "a firewall or proxy on the way refuses: ask who runs it")
        case ApiError(status=status) if status >= 500:
            return Wrong(
                f"the API has trouble of its own: {error}", "wait, and see its log or status page; a worker tries again"
            )
        case ProtocolError() if case.answer.is_page:
            return Wrong("a web page answers the start request: no Inngest server", _NO_API)
        case ProtocolError():
            return Wrong(f"no answer of an Inngest server: {error}", _NO_API)
        case _:
            return wrong(error)


def _unset(case: Case) -> str:
    if case.origin_from == "INNGEST_DEV":
        return "set INNGEST_SIGNING_KEY and INNGEST_API_BASE_URL instead of INNGEST_DEV"
    return "unset INNGEST_DEV, and set INNGEST_SIGNING_KEY"
