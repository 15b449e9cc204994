"""An HTTP server of this package. What a peer may take of it is bounded: connections, time, and the size of a request's body."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

from aiohttp import web

from connect.log_format import REPEATS, one_line
from connect.redaction import logger
from connect.serving import trust
from connect.serving.connections import Connection, Connections
from connect.serving.listening import listening

CONNECTIONS: Final = 256
"""How many connections a server has at once, unless it says otherwise."""
BODY_LIMIT: Final = 1024 * 1024
"""Bytes of the largest request body that is read, unless the server says otherwise."""
_LINGER_SECONDS: Final = 1.0
"""How long the rest of a body is read and thrown away after an answer, so that the peer sees the answer before the reset."""

log = logger("connect.http")

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """Serves *routes* at *host* once `start()` has returned, until `close()`; may be started again. Used on one loop.

    It takes at most *connections* connections, and request bodies of at most *body_limit* bytes, which are not decompressed.
    """

    def __init__(
        self,
        routes: Iterable[web.RouteDef],
        host: str,
        *,
        connections: int = CONNECTIONS,
        body_limit: int = BODY_LIMIT,
    ) -> None:
        self._routes = list(routes)
        self._host = host
        self._most = connections
        self._body_limit = body_limit
        self._listening: list[asyncio.Server] = []
        self._runner: web.AppRunner | None = None
        self._local: frozenset[str] | None = frozenset()
        self.port = 0
        """The port that it listens on, or did last."""

    async def start(self, port: int) -> None:
        """Listen on *port*; 0 takes a free one. Raises: OSError: it is taken; OSError, UnicodeError: the host is none of ours."""
        app = web.Application(client_max_size=self._body_limit, middlewares=[self._guard])
        app.add_routes(self._routes)
        # aiohttp decompresses by default, whatever the size becomes.
        runner = web.AppRunner(
            app,
            access_log=None,
            auto_decompress=False,
            lingering_time=_LINGER_SECONDS,
            logger=_PeersFaults(log),
            shutdown_timeout=0.5,
        )
        await runner.setup()
        new_handler, connections = runner.server, Connections(self._most)
        assert new_handler  # noqa: S101 - after setup()
        try:
            sockets = await listening(self._host, port)
        except (OSError, UnicodeError):
            await runner.cleanup()
            raise
        addresses = [each.getsockname() for each in sockets]
        loop = asyncio.get_running_loop()
        self._listening = [
            await loop.create_server(lambda: Connection(new_handler(), connections), sock=each) for each in sockets
        ]
        self._runner = runner
        self.port = addresses[0][1]
        self._local = trust.names(self._host, (each[0] for each in addresses))

    async def close(self) -> None:
        """Close the port, and give requests half a second to end. May be called again."""
        self.stop_listening()
        if self._runner:
            runner, self._runner = self._runner, None
            await runner.cleanup()

    def stop_listening(self) -> None:
        """Close the port; open connections go on."""
        for each in self._listening:
            each.close()
        self._listening = []

    @property
    def _guard(self) -> Any:
        @web.middleware
        async def guard(request: web.Request, handler: _Handler) -> web.StreamResponse:
            trust.check(request, self._local)
            if request.body_exists:
                await _read(request)
            connection = request.transport and request.transport.get_protocol()
            if not isinstance(connection, Connection):
                raise ConnectionResetError("the peer is gone")
            with connection.busy():
                return await handler(request)

        return guard


async def _read(request: web.Request) -> None:
    """Read the body, which *request* keeps. Raises HTTPException: it is too large (413), compressed (415) or broken (400)."""
    encoding = request.headers.get("Content-Encoding", "identity")
    if encoding.lower() != "identity":
        raise web.HTTPUnsupportedMediaType(text=f"send the body as it is, not {encoding[:40]!r}\n")
    if request.content_length and request.content_length > request.client_max_size:
        raise web.HTTPRequestEntityTooLarge(request.client_max_size, request.content_length)
    try:
        await request.read()
    except web.RequestPayloadError as error:
        raise web.HTTPBadRequest(text=f"the body is not valid HTTP: {one_line(str(error))[:200]}\n") from None


class _PeersFaults(logging.LoggerAdapter[logging.Logger]):
    """aiohttp's log of one server: what a peer did wrong is one line at DEBUG; what our own code did is an error as before."""

    def exception(self, msg: object, *args: object, exc_info: Any = True, **kwargs: Any) -> None:
        if isinstance(exc_info, ConnectionError) or _is_of_a_request(exc_info):
            self._note(*args, error=exc_info)
        else:
            super().exception(msg, *args, exc_info=exc_info, **kwargs)

    def debug(self, msg: object, *args: object, exc_info: Any = None, **kwargs: Any) -> None:
        if _is_of_a_request(exc_info):
            self._note(*args, error=exc_info)
        else:
            super().debug(msg, *args, exc_info=exc_info, **kwargs)

    def _note(self, peer: object = "a peer", *_: object, error: Exception) -> None:
        log.debug("a request from %s is broken: %s", peer, one_line(str(error))[:200], extra=REPEATS)


def _is_of_a_request(error: object) -> bool:
    """Whether *error* says that a request is broken: aiohttp's own classes for that carry the status of the answer."""
    return isinstance(error, Exception) and isinstance(getattr(error, "code", None), int)
