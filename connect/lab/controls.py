"""The lab's buttons, and the requests behind them: they drain, drop, stall or refuse the worker, or invoke its functions."""

import secrets
from dataclasses import dataclass
from typing import Any, Final, Protocol

from aiohttp import web

from connect.gateway import Answer, Gateway, Kind, Run
from connect.redaction import peer_text
from connect.serving import json_body
from connect.watching.feed import Feed
from connect.watching.page_json import cut

RUNS: Final = 20
"""How many runs the page shows: the newest."""
STEPS: Final = 50
"""How many of a run's steps: the newest."""
STEP_NAME: Final = 100
"""Characters of a step's name."""
_ANSWERS: Final = {"refuse": Answer(500), "unauthorized": Answer(401), "too-many": Answer(429)}


@dataclass(frozen=True)
class Control:
    """A button: its name in `/do/NAME`, its label, what it does, and whether it stays pressed."""

    name: str
    label: str
    does: str
    stays: bool = False


CONTROLS: Final = (
    Control(
        "drain",
        "Drain",
        "The gateway announces that it is closing; the worker makes a new link before the old one ends.",
    ),
    Control("drop", "Drop the link", "TCP is reset, without a close frame."),
    Control(
        "mute",
        "Stall",
        "The gateway reads but answers nothing, until the worker misses the heartbeats and drops the link.",
    ),
    Control("refuse", "API down", "Start requests are answered with 500.", stays=True),
    Control("hang", "API hangs", "Start requests are not answered at all.", stays=True),
    Control("unauthorized", "401", "Start requests are answered with 401.", stays=True),
    Control("too-many", "429", "Start requests are answered with 429.", stays=True),
    Control(
        "nack", "Nack a lease", "The next extension of a lease is refused, as if the server took the execution away."
    ),
    Control(
        "lose-acks", "Lose REPLY_ACKs", "Replies are not acknowledged; the worker flushes them over HTTP.", stays=True
    ),
    Control("sigterm", "SIGTERM", "A graceful shutdown; pressed again, it cancels what is in flight."),
    Control("start", "Start again", "A new worker, once this one has ended."),
)


class WorkerControl(Protocol):
    """Ends and restarts the worker. Its methods may be called from any thread."""

    def terminate(self) -> None:
        """Do what SIGTERM does: end gracefully; the second time, cancel user code."""

    def restart(self) -> None:
        """Make a new worker, if the last one has ended."""


class Controls:
    """Does what the buttons say, for requests that carry the session's token."""

    def __init__(self, gateway: Gateway, feed: Feed, worker: WorkerControl) -> None:
        self.token = secrets.token_urlsafe(24)
        self._gateway = gateway
        self._feed = feed
        self._worker = worker
        self._answer = ""
        self._losing = False
        self._hanging = False

    def routes(self) -> list[web.RouteDef]:
        """The routes: `POST /do/NAME` for a button, `POST /invoke` with a function and its event's data."""
        return [web.post("/do/{name}", self._do), web.post("/invoke", self._invoke)]

    def world(self) -> dict[str, Any]:
        """What the page shows besides the worker: the buttons, the functions, the latest runs."""
        pressed = {self._answer, "lose-acks" if self._losing else "", "hang" if self._hanging else ""}
        buttons = [
            {"name": each.name, "label": each.label, "does": each.does, "stays": each.stays, "on": each.name in pressed}
            for each in CONTROLS
        ]
        return {
            "buttons": buttons,
            "functions": sorted(self._gateway.functions),
            "runs": [_run(run) for run in self._gateway.runs[-RUNS:]],
        }

    async def _do(self, request: web.Request) -> web.Response:
        self._check(request)
        name = request.match_info["name"]
        if name not in {each.name for each in CONTROLS}:
            raise web.HTTPNotFound(text=f"there is no button {peer_text(name)!r}\n")
        if name in _ANSWERS:
            self._answer_with(name)
        else:
            await getattr(self, f"_{name.replace('-', '_')}")()
        self._feed.changed()
        return web.Response(status=204)

    async def _invoke(self, request: web.Request) -> web.Response:
        self._check(request)
        try:
            asked = await json_body.read(request)
            slug, data = str(asked["function"]), dict(asked.get("data") or {})
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise web.HTTPBadRequest(text='write {"function": "app-fn", "data": {…}}\n') from None
        if slug not in self._gateway.functions:
            raise web.HTTPNotFound(text=f"there is no function {peer_text(slug)!r}\n")
        run = self._gateway.start_run(slug, data)
        self._feed.changed()
        return web.json_response({"run": run.id})

    def _check(self, request: web.Request) -> None:
        """Refuse requests that do not come from the lab's own page."""
        token = request.headers.get("X-Lab-Token", "")
        # A header may have bytes that are no UTF-8.
        if not secrets.compare_digest(token.encode(errors="replace"), self.token.encode()):
            raise web.HTTPForbidden(text="the token of this session is missing: reload the lab's page\n")

    def _answer_with(self, name: str) -> None:
        """Answer every start request with the answer of button *name*; pressed again, as the server would."""
        self._answer = "" if self._answer == name else name
        if self._answer:
            self._gateway.starts.standing = _ANSWERS[name]
        else:
            self._gateway.starts.clear()

    async def _hang(self) -> None:
        self._hanging = not self._hanging
        if self._hanging:
            self._gateway.starts.hold()
        else:
            self._gateway.starts.release()

    async def _drain(self) -> None:
        await self._gateway.drain()

    async def _drop(self) -> None:
        for connection in self._gateway.connections:
            connection.drop()

    async def _mute(self) -> None:
        for connection in self._gateway.connections:
            connection.mute()

    async def _nack(self) -> None:
        self._gateway.faults.nack()

    async def _lose_acks(self) -> None:
        self._losing = not self._losing
        if self._losing:
            self._gateway.faults.lose(Kind.WORKER_REPLY_ACK, count=None)
        else:
            self._gateway.faults.clear()

    async def _sigterm(self) -> None:
        self._worker.terminate()

    async def _start(self) -> None:
        self._worker.restart()


def _run(run: Run) -> dict[str, Any]:
    steps = list(run.steps.values())[-STEPS:]
    return {
        "id": run.id,
        "function": run.slug,
        "status": run.status,
        "output": cut(run.output),
        "steps": [{"name": cut(str(step.name), STEP_NAME), "failed": step.error is not None} for step in steps],
    }
