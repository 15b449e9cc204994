"""A network between a worker and its gateway that says what becomes of each frame that the worker writes."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from connect import wire
from connect.transport.channel import Socket
from connect.transport.network import Network, Reach

Before = Callable[[int], Awaitable[None]]
"""Awaited with the kind of a frame before it is written, on the worker's loop: it may wait, or raise what aiohttp raises."""


class Spoilt:
    """The network that is there, but for what `before` does."""

    def __init__(self) -> None:
        self.before: list[Before] = []

    def over(self, reach: Reach) -> Reach:
        @contextlib.asynccontextmanager
        async def reached() -> AsyncIterator[Network]:
            async with reach() as network:
                yield _Network(network, self)

        return reached


class _Network:
    def __init__(self, network: Network, spoilt: Spoilt) -> None:
        self._network = network
        self._spoilt = spoilt
        self.start = network.start
        self.flush = network.flush

    async def open(self, url: str) -> Socket:
        return _Socket(await self._network.open(url), self._spoilt)


class _Socket:
    def __init__(self, socket: Socket, spoilt: Spoilt) -> None:
        self._socket = socket
        self._spoilt = spoilt

    def send_at_once(self, frames: Sequence[bytes]) -> bool:
        return not self._spoilt.before and self._socket.send_at_once(frames)

    async def send_together(self, frames: Sequence[bytes]) -> None:
        for frame in frames:
            for before in self._spoilt.before:
                await before(wire.ConnectMessage.FromString(frame).kind)
        await self._socket.send_together(frames)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)
