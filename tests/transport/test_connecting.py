"""Sockets are connected by asyncio's and by uvloop's loop alike."""

import asyncio
import socket
from collections.abc import Callable, Iterator

import pytest
import uvloop

from connect.transport.connecting import Connecting

Loop = Callable[[], asyncio.AbstractEventLoop]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop])
def loop(request: pytest.FixtureRequest) -> Loop:
    made: Loop = request.param
    return made


@pytest.fixture
def sock() -> Iterator[socket.socket]:
    with socket.socket() as made:
        made.setblocking(False)
        yield made


def connected(loop: Loop, sock: socket.socket, address: tuple[str, int], patience: float = 5.0) -> None:
    async def connect() -> None:
        async with asyncio.timeout(patience):
            await Connecting(asyncio.get_running_loop()).sock_connect(sock, address)

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(connect())


def test_a_port_that_listens(loop: Loop, sock: socket.socket) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        connected(loop, sock, server.getsockname())
        assert sock.getpeername() == server.getsockname()


def test_a_port_where_nothing_listens(loop: Loop, sock: socket.socket) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
    with pytest.raises(ConnectionRefusedError, match="Connection refused"):
        connected(loop, sock, address)


def test_an_attempt_that_is_cancelled_leaves_the_socket_to_its_owner(loop: Loop, sock: socket.socket) -> None:
    """The queue of the port is full, so that the system does not answer."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        address = server.getsockname()
        with socket.create_connection(address), pytest.raises(TimeoutError):
            connected(loop, sock, address, patience=0.05)
        sock.close()
