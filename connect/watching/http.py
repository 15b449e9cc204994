"""The worker's own HTTP port: probes for an orchestrator, metrics for Prometheus, the status for people.

    /livez    200 while the connection's loop runs
    /readyz   200 while the worker takes work, a drain by the gateway included; 503 with the reason otherwise
    /status   `conn.status()` as JSON
    /metrics  Prometheus' text format (connect.watching.metrics)
    /         with `status_page`: the lifecycle live, on its own diagrams, read-only

It runs on the connection's loop, which no user code can block (but with `isolation="none"`), from before the first dial to the end.
It answers reads only, and nothing secret; it has no authentication: bind it where only those can reach it who may know. On loopback
it answers only to that name.
"""

import contextlib
import ipaddress
import json
import logging
import os
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from connect.errors import ConfigurationError
from connect.status import ConnectionState, Status

if TYPE_CHECKING:
    from connect.watching.metrics import Metrics, Source

log = logging.getLogger("connect")

_WAITING: Final = {
    ConnectionState.CONNECTING: "not connected yet",
    ConnectionState.RECONNECTING: "the link is lost, a new one is being made",
    ConnectionState.DRAINING: "shutting down",
    ConnectionState.CLOSED: "closed",
}


def address(text: str) -> tuple[str, int]:
    """HOST:PORT, taken apart; `[::1]:80` for IPv6. Raises: ConfigurationError: it is something else."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65_535:
        raise ConfigurationError(f"http is {text!r}: write HOST:PORT, such as 127.0.0.1:9090 or 0.0.0.0:9090")
    return host.strip("[]"), int(port)


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine reaches *host*."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@contextlib.asynccontextmanager
async def monitored(
    worker: "Source", http: tuple[str, int] | None, *, status_page: bool = False
) -> AsyncIterator[None]:
    """Serve *worker* on this address as long as the block runs; None: do nothing. *status_page*: the live page too.

    Raises: ConfigurationError: nothing can listen there.
    """
    if http is None:
        yield
        return
    from aiohttp import web  # this and the metrics are worth 60 ms of start-up to those who do not serve

    from connect.watching.metrics import Metrics
    from connect.watching.page import only_here

    host, port = http
    metrics = Metrics(worker)
    # On loopback a browser may have been lured here under another name; elsewhere any name may be right.
    app = web.Application(middlewares=[only_here(lambda: runner.addresses[0][1], host)] if is_loopback(host) else [])
    app.add_routes(_routes(worker, metrics))
    if status_page:
        _add_page(app, worker)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except (OSError, UnicodeError) as error:
            cure = "choose another address, or stop what listens there"
            raise ConfigurationError(f"http: cannot listen on {host}:{port} ({_why(error)}): {cure}") from error
        what = "the live page, probes and metrics" if status_page else "probes and metrics"
        log.info("%s: http://%s:%d/", what, f"[{host}]" if ":" in host else host, runner.addresses[0][1])
        yield
    finally:
        metrics.stop()
        await runner.cleanup()


def _why(error: OSError | UnicodeError) -> str:
    if isinstance(error, UnicodeError):
        return "it is no host's name"
    return os.strerror(error.errno) if error.errno and error.errno > 0 else str(error.strerror)


def _routes(worker: "Source", metrics: "Metrics") -> Any:
    from aiohttp import web

    from connect.watching.metrics import CONTENT_TYPE

    async def livez(_: web.Request) -> web.Response:
        return web.json_response({"live": True})

    async def readyz(_: web.Request) -> web.Response:
        status = worker.status()
        return web.json_response(readiness(status), status=200 if status.is_ready else 503)

    async def status(_: web.Request) -> web.Response:
        return web.json_response(worker.status(), dumps=to_json)

    async def page(_: web.Request) -> web.Response:
        return web.Response(body=metrics.page(), headers={"Content-Type": CONTENT_TYPE})

    pages = {"/livez": livez, "/readyz": readyz, "/status": status, "/metrics": page}
    return [web.get(path, handler) for path, handler in pages.items()]


def _add_page(app: Any, worker: "Source") -> None:
    from connect.watching.page import Page
    from connect.watching.story import Story

    story = Story()
    story.follow(worker)
    app.add_routes(Page(story).routes())


def readiness(status: Status) -> dict[str, Any]:
    """What `/readyz` says."""
    if status.is_ready:
        return {"ready": True, "state": status.state.value}
    reason = _WAITING.get(status.state, "not connected")
    return {"ready": False, "state": status.state.value, "reason": reason, "last_error": status.last_error}


def to_json(status: Status) -> str:
    """*status* as JSON; states by their names."""
    return json.dumps(asdict(status), default=lambda state: state.value)
