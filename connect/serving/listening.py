"""Sockets that listen at the addresses of a host."""

import contextlib
import socket
from typing import Final

from connect.loops import forks
from connect.transport.names import Names

BACKLOG: Final = 100
"""Connections that wait to be accepted; asyncio's default."""


async def listening(host: str, port: int) -> list[socket.socket]:
    """A socket for each address of *host* on *port*; 0: a free one for each. The caller closes them.

    A name is looked up as the worker's connection does it: uvloop's `create_server` starts the threads of libuv even for an
    address (`connect.transport.connecting`). Raises: OSError: the port is taken; OSError, UnicodeError: the host is none of ours.
    """
    found = dict.fromkeys((family, address) for family, *_, address in await Names().look_up(host, port))
    with contextlib.ExitStack() as stack:
        sockets = [_listen(family, address, stack) for family, address in found]
        stack.pop_all()
    return sockets


def _listen(family: int, address: tuple[str, int], stack: contextlib.ExitStack) -> socket.socket:
    sock = socket.create_server(address, family=family, backlog=BACKLOG)
    return forks.private(stack.enter_context(sock))
