"""Connects sockets, without a look-up.

uvloop's `sock_connect` looks up even an address, on the four threads of libuv. The look-ups of user code can fill them. Once they
are there, a fork that ends as a C program does (`exit()`) crashes, for it waits for threads that it does not have.
"""

import asyncio
import os
import socket
from typing import Any


class Connecting:
    """`sock_connect` of *loop*, for those who take a loop to connect sockets with. On *loop* only."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    async def sock_connect(self, sock: socket.socket, address: tuple[Any, ...]) -> None:
        """Connect *sock*, which does not block, to *address*. If it is cancelled, the caller closes *sock*. Raises: OSError."""
        try:
            sock.connect(address)
        except (BlockingIOError, InterruptedError):
            await self._until_writable(sock)
            if number := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise OSError(number, f"{os.strerror(number)}: {address}") from None

    async def _until_writable(self, sock: socket.socket) -> None:
        writable: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_writer(sock, _note, writable)
        try:
            await writable
        finally:
            self._loop.remove_writer(sock)


def _note(writable: asyncio.Future[None]) -> None:
    if not writable.done():
        writable.set_result(None)
