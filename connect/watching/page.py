"""The page and its feed over HTTP: reads only, for whoever may reach the address by its own name.

A browser that was lured here under another host name (DNS rebinding) is refused by the Host header, so a page from elsewhere can
neither read the feed nor find the token that the lab's buttons need.
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

from connect.watching import story
from connect.watching.story import Story

FEED_SECONDS: Final = 0.1
"""Between two snapshots, at least."""
IDLE_SECONDS: Final = 1.0
"""Between two snapshots, at most: countdowns are told anew."""

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
    """Serves *told*; *extra* is added to each snapshot, *token* to the page, both by the lab."""

    def __init__(self, told: Story, extra: Callable[[], dict[str, Any]] = dict, token: str = "") -> None:
        self._story = told
        self._extra = extra
        self._token = token

    def routes(self) -> list[web.RouteDef]:
        """Where it is to be found: `/`, its parts, `/feed`."""
        parts = [web.get(f"/{name}", self._part) for name in _KINDS]
        return [web.get("/", self._index), web.get("/charts.json", self._charts), web.get("/feed", self._feed), *parts]

    async def _index(self, _: web.Request) -> web.Response:
        text = _read("index.html").replace("{{token}}", html.escape(self._token))
        return web.Response(text=text, content_type="text/html", headers=_HEADERS)

    async def _part(self, request: web.Request) -> web.Response:
        name = request.path.removeprefix("/")
        return web.Response(text=_read(name), content_type=_KINDS[name], headers=_HEADERS)

    async def _charts(self, _: web.Request) -> web.Response:
        return web.json_response(story.charts(), headers=_HEADERS)

    async def _feed(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events: a snapshot whenever something has happened. The id is the timeline's, so a page that was away catches
        up; one that knew another process, whose numbers were others, is told everything."""
        session, _, number = request.headers.get("Last-Event-ID", "").partition("-")
        seen = int(number) if session == self._story.session and number.isdecimal() else 0
        answer = web.StreamResponse(headers={**_HEADERS, "Content-Type": "text/event-stream"})
        await answer.prepare(request)
        with contextlib.suppress(ConnectionResetError):
            while True:
                snapshot = self._story.snapshot(seen) | self._extra()
                seen = max([seen, *(moment["number"] for moment in snapshot["moments"])])
                data = json.dumps(snapshot, default=str)
                await answer.write(f"id: {self._story.session}-{seen}\ndata: {data}\n\n".encode())
                await self._story.news(IDLE_SECONDS)
                await asyncio.sleep(FEED_SECONDS)
        return answer


def only_here(port: Callable[[], int], host: str = "127.0.0.1") -> Any:
    """A middleware: requests must name this machine's loopback, or *host*, the address of it that is listened on; 403 otherwise."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.host not in {f"{name}:{port()}" for name in ("127.0.0.1", "localhost", "[::1]", host)}:
            raise web.HTTPForbidden(text=f"this page is not served as {request.host}\n")
        return await handler(request)

    return guard


def _read(name: str) -> str:
    """A part of the page. The pictures are `diagrams/`'s own: the package carries copies, a checkout has them beside it."""
    part = resources.files("connect.watching") / "web" / name
    if not part.is_file():
        part = Path(__file__).parents[2] / "diagrams" / name
    return part.read_text(encoding="utf-8")
