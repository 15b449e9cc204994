"""An examination: the checks in their order, each bounded, and what cannot be checked after a failure left out."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Self

from connect.doctor import gateway, origin, surroundings
from connect.doctor.case import Case, Plan
from connect.doctor.findings import Finding, Mark, Seen, Skipped, Wrong, scrubbed
from connect.transport.websocket import open_session


@dataclass(frozen=True)
class Check:
    """One look, after all that it *needs* went well, or had nothing to check; *silence* is the cure where it takes too long."""

    name: str
    look: Callable[[Case], Awaitable[Seen]]
    needs: tuple[str, ...] = ()
    silence: str = "try again, with a longer --timeout"


_DNS: Final = "no name server answers: check this machine's network, and its /etc/resolv.conf"
_DROPPED: Final = "packets are dropped on the way: check firewall, routes and proxy (HTTPS_PROXY)"
_TLS: Final = "is it http or ws, instead of https or wss? Or does a firewall hold TLS up?"
_STUCK: Final = "the server takes connections and does not answer: see its log, or restart it"
_SYNCING: Final = "a first sync may take minutes: try --timeout 120, and see the server's log"

CHECKS: Final = (
    Check("SDK", surroundings.sdk_version),
    Check("keys' form", surroundings.keys),
    Check("settings", surroundings.settings, ("keys' form",)),
    Check("API name", origin.name, ("settings",), _DNS),
    Check("API port", origin.port, ("API name",), _DROPPED),
    Check("API TLS", origin.certificate, ("API port",), _TLS),
    Check("API answers", origin.answers, ("API TLS",), _STUCK),
    Check("clock", origin.clock, ("API answers",)),
    Check("signing key", origin.primary, ("API answers",), _STUCK),
    Check("fallback key", origin.fallback, ("API answers",), _STUCK),
    Check("message size", gateway.size, ("API answers",)),
    Check("gateway address", gateway.address, ("API answers",)),
    Check("gateway name", gateway.name, ("gateway address",), _DNS),
    Check("gateway port", gateway.port, ("gateway name",), _DROPPED),
    Check("gateway TLS", gateway.certificate, ("gateway port",), _TLS),
    Check("WebSocket", gateway.websocket, ("gateway TLS",), _STUCK),
    Check("subprotocol", gateway.subprotocol, ("WebSocket",)),
    Check("hello", gateway.hello, ("WebSocket",), "is it a gateway of Inngest? If so, see its log"),
    Check("registration", gateway.registration, ("hello", "message size"), _SYNCING),
    Check("heartbeat", gateway.heartbeat, ("registration",), "see the gateway's log"),
)
"""In their order."""


class Examination:
    """`async with Examination(plan) as it:`, and then `look` at each of CHECKS in turn."""

    def __init__(self, plan: Plan) -> None:
        self._case = Case(plan, surroundings.secrets())
        self._causes: dict[str, str] = {}
        """Of what failed, or could not be checked: the first failure that led to it."""

    async def __aenter__(self) -> Self:
        session = open_session(trace_configs=[self._case.witness()])
        self._case.session = await self._case.cleanup.enter_async_context(session)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._case.cleanup.aclose()

    async def look(self, check: Check) -> Finding:
        """Make *check*; takes no longer than the plan's timeout."""
        began = asyncio.get_running_loop().time()
        try:
            mark, told = Mark.GOOD, await self._see(check)
        except Wrong as wrong:
            mark, told = Mark.WRONG, Seen(wrong.found, wrong.cure)
            self._causes[check.name] = check.name
        except Skipped as skipped:
            mark, told = Mark.SKIPPED, Seen(skipped.why)
            if skipped.because:
                self._causes[check.name] = skipped.because
        took = asyncio.get_running_loop().time() - began
        found, cure = (scrubbed(text, self._case.secrets) for text in told)
        because = self._causes.get(check.name, "") if mark is Mark.SKIPPED else ""
        return Finding(check.name, mark, found, cure, round(took, 3), because)

    async def _see(self, check: Check) -> Seen:
        for name in check.needs:
            if name in self._causes:
                raise Skipped(because=self._causes[name])
        try:
            async with asyncio.timeout(self._case.plan.timeout):
                return await check.look(self._case)
        except TimeoutError:
            raise Wrong(f"nothing within {self._case.plan.timeout:g} s", check.silence) from None
