"""The worker's own HTTP port: probes for an orchestrator, metrics for Prometheus, the status for people.

    /livez    200 while the connection's loop runs
    /readyz   200 while the worker takes work, also while the gateway drains; 503 with the reason otherwise
    /status   `conn.status()` as JSON
    /metrics  Prometheus' text format (connect.watching.metrics)
    /         with `status_page`: the lifecycle live, on its own diagrams, read-only

It is served on the connection's loop, which user code can block only with `isolation="none"`, from before the first dial until the
worker has ended. It answers GET requests only and shows no secret, but it has no authentication: bind it to an address that only
trusted machines reach. On loopback it refuses requests whose Host header is another name.
"""

import contextlib
import ipaddress
import os
from collections.abc import AsyncIterator, Collection, Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from connect.errors import ConfigurationError
from connect.redaction import logger
from connect.state import ConnectionState
from connect.watching.page_json import page_json

if TYPE_CHECKING:
    from connect.serving.server import Server
    from connect.status import Status
    from connect.watching.metrics import Metrics
    from connect.watching.source import Source

log = logger("connect")

_WAITING: Final = {
    ConnectionState.CONNECTING: "not connected yet",
    ConnectionState.RECONNECTING: "the link is lost; the worker is making a new one",
    ConnectionState.DRAINING: "shutting down",
    ConnectionState.CLOSED: "closed",
}


def address(text: str) -> tuple[str, int]:
    """The host and the port of `HOST:PORT`, or of `[::1]:80` for IPv6. Raises: ConfigurationError: *text* is neither."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65_535:
        raise ConfigurationError(f"http is {text!r}: write HOST:PORT, such as 127.0.0.1:9090 or 0.0.0.0:9090", "http")
    return host.strip("[]"), int(port)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches *host*."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@contextlib.asynccontextmanager
async def monitored(
    worker: "Source", http: tuple[str, int], *, status_page: bool = False, functions: Collection[str] = ()
) -> AsyncIterator[None]:
    """Serve *worker* at this host and port while the block runs, with *status_page* the live page too.

    *functions*: ids of the worker's functions, for the metrics.

    Raises: ConfigurationError: the port is taken, or the host is not one of this machine.
    """
    from connect.watching.metrics import Metrics  # this and aiohttp.web take 60 ms, and `address` needs neither

    host, port = http
    metrics = Metrics(worker, functions)
    routes = _routes(worker, metrics) + (_page_routes(worker) if status_page else [])
    try:
        server = await listen(routes, host, port, "choose another address, or stop what listens there", option="http: ")
        try:
            what = "the live page, probes and metrics" if status_page else "probes and metrics"
            log.info("%s: http://%s:%d/", what, f"[{host}]" if ":" in host else host, server.port)
            yield
        finally:
            await server.close()
    finally:
        metrics.stop()


async def listen(routes: Iterable[Any], host: str, port: int, cure: str, option: str = "") -> "Server":
    """Serve *routes* at this address until the server's `close()`.

    Raises: ConfigurationError: the error of `cannot_listen`.
    """
    from connect.serving.server import Server

    server = Server(routes, host)
    try:
        await server.start(port)
    except (OSError, UnicodeError) as error:
        raise cannot_listen(f"{host}:{port}", error, cure, option) from error
    return server


def cannot_listen(where: str, error: OSError | UnicodeError, cure: str, option: str = "") -> ConfigurationError:
    """The error for the user if *error* was raised on listening at *where*; *cure* says what to do, *option* names the option."""
    if isinstance(error, UnicodeError):
        why = "this is not a host's name"
    else:
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error.strerror)
    return ConfigurationError(f"{option}cannot listen on {where} ({why}): {cure}", option.partition(":")[0])


def _routes(worker: "Source", metrics: "Metrics") -> list[Any]:
    from aiohttp import web

    from connect.watching.metrics import CONTENT_TYPE

    async def livez(_: web.Request) -> web.Response:
        return web.json_response({"live": True})

    async def readyz(_: web.Request) -> web.Response:
        status = worker.status()
        return web.json_response(readiness(status), status=200 if status.is_ready else 503, dumps=page_json)

    async def status(_: web.Request) -> web.Response:
        return web.json_response(worker.status(), dumps=to_json)

    async def page(_: web.Request) -> web.Response:
        return web.Response(body=metrics.page(), headers={"Content-Type": CONTENT_TYPE})

    pages = {"/livez": livez, "/readyz": readyz, "/status": status, "/metrics": page}
    return [web.get(path, handler) for path, handler in pages.items()]


def _page_routes(worker: "Source") -> list[Any]:
    from connect.watching.feed import Feed
    from connect.watching.page import Page

    feed = Feed()
    feed.follow(worker)
    return list(Page(feed).routes())


def readiness(status: "Status") -> dict[str, Any]:
    """The answer of `/readyz`."""
    if status.is_ready:
        return {"ready": True, "state": status.state.value}
    reason = _WAITING.get(status.state, "not connected")
    return {"ready": False, "state": status.state.value, "reason": reason, "last_error": status.last_error}


def to_json(status: "Status") -> str:
    """*status* as JSON; states by their names."""
    return page_json(asdict(status))
