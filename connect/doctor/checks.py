"""The list of the doctor's checks, in order, and the examination that makes them."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Self

from connect.doctor import api, environment, gateway
from connect.doctor.context import Arguments, Context
from connect.doctor.findings import Finding, Mark, Seen, Skipped, Wrong, scrubbed
from connect.doctor.network import NO_NAME_SERVER
from connect.transport.progress import Progress


@dataclass(frozen=True)
class Check:
    """One check: *run* makes it, unless a check that it *needs* has failed. *on_timeout*: what to do if it takes too long."""

    name: str
    run: Callable[[Context], Awaitable[Seen]]
    needs: tuple[str, ...] = ()
    on_timeout: str = "try again, with a longer --timeout"


_DROPPED: Final = "packets are dropped on the way: check firewall, routes and proxy (HTTPS_PROXY)"
_TLS: Final = "if the server speaks no TLS, write http or ws instead of https or wss; else check the firewall"
_STUCK: Final = "the server accepts connections but does not answer: see its log, or restart it"
_SYNCING: Final = "a first sync may take minutes: try --timeout 120, and see the server's log"

CHECKS: Final = (
    Check("SDK", environment.sdk_version),
    Check("keys' form", environment.keys),
    Check("settings", environment.settings, ("keys' form",)),
    Check("API name", api.name, ("settings",), NO_NAME_SERVER),
    Check("API port", api.port, ("API name",), _DROPPED),
    Check("API TLS", api.certificate, ("API port",), _TLS),
    Check("API answers", api.answers, ("API TLS",), _STUCK),
    Check("clock", api.clock, ("API answers",)),
    Check("signing key", api.primary, ("API answers",), _STUCK),
    Check("fallback key", api.fallback, ("API answers",), _STUCK),
    Check("message size", gateway.size, ("API answers",)),
    Check("gateway address", gateway.address, ("API answers",)),
    Check("gateway name", gateway.name, ("gateway address",), NO_NAME_SERVER),
    Check("gateway port", gateway.port, ("gateway name",), _DROPPED),
    Check("gateway TLS", gateway.certificate, ("gateway port",), _TLS),
    Check("WebSocket", gateway.websocket, ("gateway TLS",), _STUCK),
    Check("subprotocol", gateway.subprotocol, ("WebSocket",)),
    Check("hello", gateway.hello, ("WebSocket",), "check that the address is an Inngest gateway's, and see its log"),
    Check("registration", gateway.registration, ("hello", "message size"), _SYNCING),
    Check("heartbeat", gateway.heartbeat, ("registration",), "see the gateway's log"),
)
"""In the order in which they are made."""


class Examination:
    """Makes checks: `async with Examination(arguments) as examination:`, and then `check` each of CHECKS in turn."""

    def __init__(self, arguments: Arguments) -> None:
        self._context = Context(arguments, environment.secrets())
        self._causes: dict[str, str] = {}
        """By the name of a check that failed or could not be made: the check whose failure is the cause."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._context.cleanup.aclose()

    async def check(self, check: Check) -> Finding:
        """Make *check*. It takes at most `Arguments.timeout` seconds."""
        began = asyncio.get_running_loop().time()
        try:
            mark, seen = Mark.GOOD, await self._run(check)
        except Wrong as wrong:
            mark, seen = Mark.WRONG, Seen(wrong.found, wrong.cure)
            self._causes[check.name] = check.name
        except Skipped as skipped:
            mark, seen = Mark.SKIPPED, Seen(skipped.why)
            if skipped.because:
                self._causes[check.name] = skipped.because
        took = asyncio.get_running_loop().time() - began
        found, cure = (scrubbed(text, self._context.secrets) for text in seen)
        because = self._causes.get(check.name, "") if mark is Mark.SKIPPED else ""
        return Finding(check.name, mark, found, cure, round(took, 3), because)

    async def _run(self, check: Check) -> Seen:
        for name in check.needs:
            if name in self._causes:
                raise Skipped(because=self._causes[name])
        limit = self._context.arguments.timeout
        progress = Progress()
        progress.begin()
        try:
            async with asyncio.timeout(limit):
                return await check.run(self._context)
        except TimeoutError:
            missing = f": {progress.missing}" if progress.missing else ""
            raise Wrong(f"no result within {limit:g} s{missing}", check.on_timeout) from None
