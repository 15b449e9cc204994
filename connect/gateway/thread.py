"""The test gateway on a thread of its own, for programs and tests that are not asynchronous."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from connect.gateway.run import Run
from connect.gateway.server import Gateway

_T = TypeVar("_T")


class ThreadedGateway:
    """A gateway that runs on another thread. Its methods block until they are done; call them from any thread but the gateway's."""

    def __init__(self, gateway: Gateway, loop: asyncio.AbstractEventLoop) -> None:
        self._gateway = gateway
        self._loop = loop

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`."""
        return self._gateway.url

    def run(self, make: Callable[[Gateway], Coroutine[Any, Any, _T]]) -> _T:
        """Run a coroutine on the gateway's loop, and return its result: `threaded.run(lambda gw: gw.drain())`."""
        return asyncio.run_coroutine_threadsafe(make(self._gateway), self._loop).result()

    def call(self, ask: Callable[[Gateway], _T]) -> _T:
        """Call *ask* on the gateway's loop, and return its result: `threaded.call(lambda gw: gw.ledger.summary())`."""

        async def asked(gateway: Gateway) -> _T:
            return ask(gateway)

        return self.run(asked)

    def wait_for_worker(self, *, count: int = 1, app: str | None = None, timeout: float = 10.0) -> None:
        """Wait for *count* routable connections. Raises: TimeoutError."""
        self.run(lambda gateway: gateway.wait_for_worker(count=count, app=app, timeout=timeout))

    def invoke(self, slug: str, data: Any = None, *, event: str | None = None) -> Run:
        """Run function *slug* to its end. Raises: LookupError: no worker ever synced it."""
        return self.run(lambda gateway: gateway.invoke(slug, data, event=event))


@contextmanager
def in_thread(gateway: Gateway) -> Iterator[ThreadedGateway]:
    """Start *gateway* on a loop in a new thread; at the end, close it and end the thread. Raises: OSError: the port is taken."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="connect-gateway", daemon=True)
    thread.start()
    threaded = ThreadedGateway(gateway, loop)
    try:
        threaded.run(lambda started: started.start())
        yield threaded
    finally:
        threaded.run(lambda ended: ended.close())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
