"""A service manager's end of NOTIFY_SOCKET."""

import asyncio
import contextlib
import select
import socket


class NotifySocket:
    """The service manager's end: a datagram socket at *address*, a path or `@NAME`."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)

    def heard(self) -> list[str]:
        """The messages that have come since the last call."""
        messages = []
        with contextlib.suppress(BlockingIOError):
            while True:
                messages.append(self._socket.recv(4096).decode())
        return messages

    async def hears(self) -> str:
        """Wait for the next message."""
        async with asyncio.timeout(5):
            return (await asyncio.get_running_loop().sock_recv(self._socket, 4096)).decode()

    def waits(self) -> str:
        """As `hears`, for a test that is not asynchronous."""
        select.select([self._socket], [], [], 30)
        return self._socket.recv(4096).decode()

    def fill(self) -> int:
        """Fill its queue. Returns with how many messages."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
            other.setblocking(False)
            for count in range(100_000):
                try:
                    other.sendto(b"X=1", self._socket.getsockname())
                except BlockingIOError:
                    return count
        raise AssertionError("it takes everything")

    def close(self) -> None:
        self._socket.close()
