"""The live page and its feed over HTTP, read-only.

On loopback a request whose Host header is another name is refused (`only_here`). So a web page from elsewhere that makes a browser
come here under its own name (DNS rebinding) can neither read the feed nor find the token that the lab's buttons need.
"""

import asyncio
import contextlib
import html
import json
from collections.abc import Awaitable, Callable
from importlib import resources
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from connect.watching import feed
from connect.watching.feed import Feed

FEED_SECONDS: Final = 0.1
"""The least time between two snapshots."""
IDLE_SECONDS: Final = 1.0
"""The most time between two snapshots: the page shows countdowns."""

_KINDS: Final = {
    "app.js": "text/javascript",
    "style.css": "text/css",
    "connection.svg": "image/svg+xml",
    "link.svg": "image/svg+xml",
}
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Page:
    """Serves the page and its data. The lab adds *extra* to each snapshot, and *token* to the page."""

    def __init__(self, data: Feed, extra: Callable[[], dict[str, Any]] = dict, token: str = "") -> None:
        self._data = data
        self._extra = extra
        self._token = token

    def routes(self) -> list[web.RouteDef]:
        """The routes of the page, its parts and its feed."""
        parts = [web.get(f"/{name}", self._part) for name in _KINDS]
        return [web.get("/", self._index), web.get("/charts.json", self._charts), web.get("/feed", self._feed), *parts]

    async def _index(self, _: web.Request) -> web.Response:
        text = _read("index.html").replace("{{token}}", html.escape(self._token))
        return web.Response(text=text, content_type="text/html", headers=_HEADERS)

    async def _part(self, request: web.Request) -> web.Response:
        name = request.path.removeprefix("/")
        return web.Response(text=_read(name), content_type=_KINDS[name], headers=_HEADERS)

    async def _charts(self, _: web.Request) -> web.Response:
        return web.json_response(feed.charts(), headers=_HEADERS)

    async def _feed(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events: a snapshot whenever something has changed.

        An event's id names the session and the last moment. A page that reconnects gets the moments after that one; one that knew
        another process gets all moments.
        """
        session, _, number = request.headers.get("Last-Event-ID", "").partition("-")
        seen = int(number) if session == self._data.session and number.isdecimal() else 0
        answer = web.StreamResponse(headers={**_HEADERS, "Content-Type": "text/event-stream"})
        await answer.prepare(request)
        with contextlib.suppress(ConnectionResetError):
            while True:
                snapshot = self._data.snapshot(seen) | self._extra()
                seen = max([seen, *(moment["number"] for moment in snapshot["moments"])])
                data = json.dumps(snapshot, default=str)
                await answer.write(f"id: {self._data.session}-{seen}\ndata: {data}\n\n".encode())
                await self._data.wait(IDLE_SECONDS)
                await asyncio.sleep(FEED_SECONDS)
        return answer


def only_here(port: Callable[[], int], host: str = "127.0.0.1") -> Any:
    """A middleware: it answers 403 to requests whose Host header is neither a loopback name nor *host*, the listening address."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.host not in {f"{name}:{port()}" for name in ("127.0.0.1", "localhost", "[::1]", host)}:
            raise web.HTTPForbidden(text=f"this page is not served as {request.host}\n")
        return await handler(request)

    return guard


def _read(name: str) -> str:
    """A part of the page. The diagrams are those of `diagrams/`: an installed package has copies, a checkout has the folder."""
    part = resources.files("connect.watching") / "web" / name
    if not part.is_file():
        part = Path(__file__).parents[2] / "diagrams" / name
    return part.read_text(encoding="utf-8")
