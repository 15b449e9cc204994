"""The live page and its feed over HTTP, read-only."""

import asyncio
import contextlib
import html
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any, Final, NamedTuple

from aiohttp import web

from connect.watching import feed
from connect.watching.feed import Feed
from connect.watching.page_json import page_json

FEED_SECONDS: Final = 0.1
"""The least time between two snapshots."""
IDLE_SECONDS: Final = 1.0
"""The most time between two snapshots: the page shows countdowns."""
PAGES: Final = 64
"""How many pages may be open at once."""
SLOW_SECONDS: Final = 30.0
"""How long a page may read nothing before it is dropped; its browser connects again."""
_DIGITS: Final = 15
"""Digits of the largest number of a moment: a longer text is none of ours."""

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


class _Shown(NamedTuple):
    """What every page shows, as JSON, up to the moment with this number."""

    state: bytes
    number: int
    at: float
    """When it was made, by the loop's clock."""


class Page:
    """Serves the page and its data. The lab adds *extra* to each snapshot, and *token* to the page."""

    def __init__(self, data: Feed, extra: Callable[[], dict[str, Any]] = dict, token: str = "") -> None:
        self._data = data
        self._extra = extra
        self._token = token
        self._open = 0
        self._making: asyncio.Task[_Shown] | None = None
        self._last: _Shown | None = None

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
        return web.json_response(feed.charts(), headers=_HEADERS, dumps=page_json)

    async def _feed(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events: a snapshot whenever something has changed.

        An event's id names the session and the last moment. A page that reconnects gets the moments after that one; one that knew
        another process gets all moments.
        """
        if self._open >= PAGES:
            raise web.HTTPServiceUnavailable(text=f"{PAGES} pages are open, the most at once: close one\n")
        self._open += 1
        try:
            return await self._send(request, self._seen(request.headers.get("Last-Event-ID", "")))
        finally:
            self._open -= 1
            if not self._open:
                self._last = None
                if self._making:
                    self._making.cancel()

    def _seen(self, event_id: str) -> int:
        """The last moment that the page knows, by the id of its last event; 0: none."""
        session, _, number = event_id.partition("-")
        known = session == self._data.session and number.isascii() and number.isdecimal() and len(number) <= _DIGITS
        return int(number) if known else 0

    async def _send(self, request: web.Request, seen: int) -> web.StreamResponse:
        answer = web.StreamResponse(headers={**_HEADERS, "Content-Type": "text/event-stream"})
        await answer.prepare(request)
        shown = self._first()
        with contextlib.suppress(ConnectionResetError):
            while True:
                moments = page_json(self._data.moments(seen, shown.number)).encode()
                seen = max(seen, shown.number)
                event = b'id: %b-%d\ndata: {"moments": %b, %b\n\n'
                # One snapshot waits for a page that does not read, and no second one is made meanwhile.
                with _dropped_if_slow(request):
                    await answer.write(event % (self._data.session.encode(), seen, moments, shown.state[1:]))
                shown = await self._next()
        return answer

    def _first(self) -> "_Shown":
        """What a page shows at once. Pages that open together share it."""
        now = asyncio.get_running_loop().time()
        return self._last if self._last and now - self._last.at < FEED_SECONDS else self._shown()

    async def _next(self) -> "_Shown":
        """What all pages show once something has changed. It is made once for all of them: with 2,000 requests it takes 25 ms."""
        if self._making is None or self._making.done():
            self._making = asyncio.get_running_loop().create_task(self._make(), name="page")
        return await asyncio.shield(self._making)

    async def _make(self) -> "_Shown":
        await self._data.wait(IDLE_SECONDS)
        await asyncio.sleep(FEED_SECONDS)
        return self._shown()

    def _shown(self) -> "_Shown":
        state = page_json(self._data.state() | self._extra()).encode()
        self._last = _Shown(state, self._data.number, asyncio.get_running_loop().time())
        return self._last


@contextlib.contextmanager
def _dropped_if_slow(request: web.Request) -> Iterator[None]:
    """Drop the connection of *request* if the block takes longer than SLOW_SECONDS."""
    transport = request.transport
    timer = asyncio.get_running_loop().call_later(SLOW_SECONDS, transport.abort) if transport else None
    try:
        yield
    finally:
        if timer:
            timer.cancel()


def _read(name: str) -> str:
    """A part of the page. The diagrams are those of `diagrams/`: an installed package has copies, a checkout has the folder."""
    part = resources.files("connect.watching") / "web" / name
    if not part.is_file():
        part = Path(__file__).parents[2] / "diagrams" / name
    return part.read_text(encoding="utf-8")
