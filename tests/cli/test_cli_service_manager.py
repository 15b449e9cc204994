"""What the command tells a service manager, over real datagram sockets."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from connect.cli.service_manager import ServiceManager

Heard = Callable[[], list[str]]


class Socket:
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


@pytest.fixture
def theirs(tmp_path: Path) -> Iterator[Socket]:
    made = Socket(str(tmp_path / "notify"))
    yield made
    made.close()


async def test_it_is_told_what_it_does_not_know(theirs: Socket) -> None:
    manager = ServiceManager(theirs.address)
    with manager.watches():
        manager.tell(READY="1", STATUS="ACTIVE")
        manager.tell(READY="1", STATUS="ACTIVE")
        manager.tell(READY="1", STATUS="DRAINING: \ud800")
        assert theirs.heard() == ["READY=1\nSTATUS=ACTIVE", "STATUS=DRAINING: \\ud800"]


@pytest.mark.skipif(not hasattr(os, "uname") or os.uname().sysname != "Linux", reason="abstract sockets are Linux's")
async def test_an_abstract_socket_will_do() -> None:
    theirs = Socket(f"@connect-{os.getpid()}-notify")
    manager = ServiceManager(theirs.address)
    with contextlib.closing(theirs), manager.watches():
        manager.tell(READY="1")
        assert theirs.heard() == ["READY=1"]


async def test_a_full_queue_is_not_waited_for_and_nothing_is_lost(theirs: Socket) -> None:
    """Of what waits, the newest value of each variable is sent."""
    count = theirs.fill()
    manager = ServiceManager(theirs.address)
    with manager.watches():
        for state in ("CONNECTING", "ACTIVE"):
            manager.tell(STATUS=state)
        manager.tell(READY="1")
        assert [await theirs.hears() for _ in range(count)] == ["X=1"] * count
        assert await theirs.hears() == "STATUS=ACTIVE\nREADY=1"
        manager.tell(STOPPING="1")
        assert await theirs.hears() == "STOPPING=1"


@pytest.mark.parametrize("name", ["missing", "x" * 200])
async def test_a_socket_that_cannot_be_reached_is_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    manager = ServiceManager(str(tmp_path / name), 0.002)
    with manager.watches():
        manager.tell(READY="1")
        await asyncio.sleep(0.01)
        manager.tell(STOPPING="1")
    [warning] = [record.getMessage() for record in caplog.records]
    assert warning.startswith(f"the service manager hears nothing of this worker: NOTIFY_SOCKET is {tmp_path}")


async def test_what_could_not_be_said_is_said_later(tmp_path: Path) -> None:
    manager = ServiceManager(str(tmp_path / "notify"))
    with manager.watches():
        manager.tell(READY="1")
        with contextlib.closing(Socket(str(tmp_path / "notify"))) as theirs:
            manager.tell(STATUS="ACTIVE")
            assert theirs.heard() == ["READY=1\nSTATUS=ACTIVE"]


@pytest.mark.parametrize("pid", [(), ("WATCHDOG_PID",)], ids=["no pid", "our pid"])
async def test_signs_of_life_come_twice_in_the_time_of_the_watchdog(
    theirs: Socket, monkeypatch: pytest.MonkeyPatch, pid: tuple[str, ...]
) -> None:
    """The variables are gone then: what the command starts does not have them."""
    given = {"NOTIFY_SOCKET": theirs.address, "WATCHDOG_USEC": "40000", **{name: str(os.getpid()) for name in pid}}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    manager = ServiceManager.of_environment()
    assert not set(given) & set(os.environ)
    began = asyncio.get_running_loop().time()
    with manager.watches():
        assert [await theirs.hears() for _ in range(3)] == ["WATCHDOG=1"] * 3
    assert asyncio.get_running_loop().time() - began >= 3 * 0.02
    await asyncio.sleep(0.03)
    assert not theirs.heard()


@pytest.mark.parametrize(
    "given",
    [
        {"WATCHDOG_USEC": "20", "WATCHDOG_PID": "1"},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "-1"},
        {"WATCHDOG_USEC": "soon"},
        {"WATCHDOG_USEC": "9" * 400},
        {},
    ],
)
async def test_no_sign_is_given_where_none_is_wanted(
    theirs: Socket, monkeypatch: pytest.MonkeyPatch, given: dict[str, str]
) -> None:
    for name, value in {"NOTIFY_SOCKET": theirs.address, **given}.items():
        monkeypatch.setenv(name, value)
    with ServiceManager.of_environment().watches():
        await asyncio.sleep(0.01)
    assert not theirs.heard()
    assert "WATCHDOG_USEC" not in os.environ


async def test_without_a_service_manager_nothing_happens(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "20")
    manager = ServiceManager.of_environment()
    with manager.watches():
        manager.tell(READY="1")
        await asyncio.sleep(0.01)
    assert not caplog.records
